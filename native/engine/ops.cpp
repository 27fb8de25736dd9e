// Losses and counts as ops, so that tests reach them by name. Schemas: kernels/schemas.cpp.
#include <c10/core/InferenceMode.h>
#include <torch/library.h>

#include "engine/loss.h"
#include "kernels/tensors.h"

namespace voxgrad {

namespace {
Targets targets_of(at::IntArrayRef outputs, bool overlapping, int64_t ignore_label, const at::Tensor& logits) {
  LabelsConfig config{{}, overlapping, ignore_label};
  std::vector<int64_t> labels;
  for (const int64_t value : outputs) {
    if (value >= 0) {
      labels.push_back(value);
    } else {
      config.outputs.push_back(std::move(labels));
      labels.clear();
    }
  }
  return Targets(config, logits.size(1), logits.device());
}

std::tuple<at::Tensor, at::Tensor> level_loss_op(const at::Tensor& logits, const at::Tensor& labels,
                                                 at::IntArrayRef outputs, bool overlapping, int64_t ignore_label,
                                                 at::ArrayRef<double> weights, double top_k_percent,
                                                 double label_smoothing, bool annotated_mean, bool batch_dice,
                                                 double smooth) {
  const c10::InferenceMode off(false);  // callOp runs every op in inference mode
  const at::Tensor leaf = logits.clone().requires_grad_(true), truth = labels.clone();
  const LossConfig config{weights[0],     weights[1], top_k_percent, label_smoothing,
                          annotated_mean, batch_dice, smooth,        {}};
  const at::Tensor loss = level_loss(leaf, truth, targets_of(outputs, overlapping, ignore_label, logits), config);
  loss.backward();
  return {loss.detach(), leaf.grad()};
}

std::tuple<at::Tensor, at::Tensor> fused_loss_op(const at::Tensor& logits, const at::Tensor& labels,
                                                 at::IntArrayRef outputs, bool overlapping, int64_t ignore_label,
                                                 at::ArrayRef<double> weights, double label_smoothing,
                                                 bool annotated_mean, bool batch_dice, double smooth, int64_t format,
                                                 int64_t layout, bool kernels, int64_t repeats) {
  const c10::InferenceMode off(false);  // callOp runs every op in inference mode
  const at::Tensor leaf = laid_out(logits.to(element_type(format)), layout).requires_grad_(true);
  const at::Tensor truth = labels.clone();
  const LossConfig config{weights[0], weights[1], 100, label_smoothing, annotated_mean, batch_dice, smooth, {}};
  LossTerms terms = loss_terms(targets_of(outputs, overlapping, ignore_label, logits), config);
  terms.level_weights = {1};
  terms.kernels = kernels;
  at::Tensor loss;
  for (int64_t i = 0; i < repeats; ++i) {
    leaf.mutable_grad() = at::Tensor();
    loss = deep_supervision_loss({leaf}, truth, terms);
    loss.backward();
  }
  return {loss.detach(), leaf.grad().contiguous()};
}

at::Tensor count_dice_op(const at::Tensor& logits_in, const at::Tensor& labels, at::IntArrayRef outputs,
                         bool overlapping, int64_t ignore_label, int64_t layout, bool kernels, int64_t repeats) {
  const at::Tensor logits = laid_out(logits_in, layout);
  const Targets targets = targets_of(outputs, overlapping, ignore_label, logits);
  const at::Tensor counts = at::zeros({3, targets.foreground_count()}, logits.options().dtype(at::kLong));
  for (int64_t i = 0; i < repeats; ++i) {
    add_dice_counts(logits, labels, targets.ignore_label(), targets.membership(), kernels,
                    {counts[0], counts[1], counts[2]});
  }
  return counts;
}
}  // namespace

TORCH_LIBRARY_IMPL(voxgrad, CompositeImplicitAutograd, m) {
  m.impl("level_loss", level_loss_op);
  m.impl("fused_loss", fused_loss_op);
  m.impl("count_dice", count_dice_op);
}

}  // namespace voxgrad
