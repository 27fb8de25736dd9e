// Soft Dice and cross-entropy with deep supervision: by kernels of our own, or composed of ATen operators.
#include "engine/loss.h"

#include <ATen/core/Reduction.h>

#include "failure.h"

namespace voxgrad {

at::Tensor soft_dice(const at::Tensor& probabilities, const at::Tensor& truth, const at::Tensor& annotated,
                     bool batch_dice, double smooth) {
  std::vector<int64_t> axes;
  for (int64_t axis = 2; axis < probabilities.dim(); ++axis) axes.push_back(axis);
  if (batch_dice) axes.insert(axes.begin(), 0);
  // The truth is 0 wherever nothing is annotated.
  const at::Tensor counted = annotated.defined() ? probabilities * annotated : probabilities;
  const at::Tensor intersection = (counted * truth).sum(axes);
  const at::Tensor volumes = counted.sum(axes) + truth.sum(axes);
  return ((2 * intersection + smooth) / (volumes + smooth).clamp_min(1e-8)).mean();
}

at::Tensor cross_entropy_mean(const at::Tensor& terms, const at::Tensor& annotated, double top_k_percent,
                              bool annotated_mean) {
  const auto share_of = [&](auto&& count) { return count * top_k_percent / 100; };
  if (!annotated.defined() || (top_k_percent < 100 && !annotated_mean)) {
    const at::Tensor counted = annotated.defined() ? terms * annotated : terms;
    if (top_k_percent == 100) return counted.mean();
    const auto largest = std::max<int64_t>(1, static_cast<int64_t>(share_of(static_cast<double>(terms.numel()))));
    return std::get<0>(counted.flatten().topk(largest)).mean();
  }
  const at::Tensor counted = terms * annotated;
  const at::Tensor count = annotated.sum() * (annotated_mean ? terms.size(1) : 1);
  if (top_k_percent == 100) return counted.sum() / count.clamp_min(1);
  // How many terms count is known to the device alone: the most there can be are sorted, and the rest weighs nothing.
  const auto most = std::max<int64_t>(1, static_cast<int64_t>(share_of(static_cast<double>(terms.numel()))));
  const at::Tensor largest = std::get<0>(counted.flatten().topk(most));
  const at::Tensor wanted = share_of(count).floor().clamp_min(1);
  return (largest * at::arange(most, wanted.options()).lt(wanted)).sum() / wanted;
}

at::Tensor level_loss(const at::Tensor& logits_in, const at::Tensor& labels, const Targets& targets,
                      const LossConfig& config) {
  const at::Tensor logits = logits_in.scalar_type() == at::kDouble ? logits_in : logits_in.to(at::kFloat);
  at::Tensor annotated = targets.annotated(labels);
  if (annotated.defined()) annotated = annotated.to(logits.scalar_type());
  at::Tensor terms, probabilities, truth;
  if (targets.overlapping()) {
    truth = targets.regions(labels).to(logits.scalar_type());
    if (config.crossEntropyWeight != 0)
      terms = at::binary_cross_entropy_with_logits(logits, truth, {}, {}, at::Reduction::None);
    probabilities = logits.sigmoid();
  } else {
    const at::Tensor log_probabilities = at::log_softmax(logits, 1);
    const at::Tensor target = targets.classes(labels);
    terms = -log_probabilities.gather(1, target);
    if (config.labelSmoothing != 0)
      terms = (1 - config.labelSmoothing) * terms - config.labelSmoothing * log_probabilities.mean(1, /*keepdim=*/true);
    const int64_t foreground = logits.size(1) - 1;
    std::vector<int64_t> class_shape(static_cast<size_t>(logits.dim()), 1);
    class_shape[1] = foreground;
    const at::Tensor classes = at::arange(1, foreground + 1, target.options()).view(class_shape);
    truth = target.eq(classes).to(logits.scalar_type());
    probabilities = log_probabilities.narrow(1, 1, foreground).exp();
  }
  at::Tensor loss;
  if (config.crossEntropyWeight != 0) {
    loss = config.crossEntropyWeight * cross_entropy_mean(terms, annotated, config.topKPercent, config.annotatedMean);
  }
  if (config.diceWeight != 0) {
    const at::Tensor dice =
        config.diceWeight * soft_dice(probabilities, truth, annotated, config.batchDice, config.smooth);
    loss = loss.defined() ? loss - dice : -dice;
  }
  return loss;
}

LossTerms loss_terms(const Targets& targets, const LossConfig& config) {
  return {.level_weights = {},
          .dice_weight = config.diceWeight,
          .entropy_weight = config.crossEntropyWeight,
          .label_smoothing = targets.overlapping() ? 0 : config.labelSmoothing,
          .annotated_mean = config.annotatedMean,
          .batch_dice = config.batchDice,
          .smooth = config.smooth,
          .ignored = targets.ignore_label(),
          .membership = targets.membership(),
          .kernels = false};
}

Loss::Loss(const LossConfig& config, Targets targets, const std::vector<int64_t>& patch_size,
           const std::vector<std::vector<int64_t>>& strides, at::Device device, const BatchShare& share,
           std::shared_ptr<ProcessGroup> group)
    : config_(config), targets_(std::move(targets)), share_(group ? share : BatchShare{0, 0, 0}) {
  if (group && config.topKPercent != 100) {
    throw Failure(
        "ERR_CONFIG",
        "loss.kind: expected one without topk, whose selection is over the whole batch, where several devices "
        "share it");
  }
  // Sums over the batch's samples that a quotient is taken of.
  if (group && (config.batchDice || targets_.has_ignore_label())) {
    gather_ = [group, share](const at::Tensor& sums) {
      at::Tensor all = at::zeros({sums.size(0), share.total, sums.size(2)}, sums.options());
      all.narrow(1, share.first, share.count).copy_(sums);
      group->sum(all);
      return all;
    };
  }
  if (config.diceWeight == 0 && config.crossEntropyWeight == 0)
    throw Failure("ERR_CONFIG", "loss: expected a weight above 0 for Dice or cross-entropy");
  const size_t dimensions = patch_size.size();
  std::vector<double> scale(dimensions, 1.0);
  for (size_t level = 0; level < config.deepSupervisionWeights.size(); ++level) {
    heads_.push_back(config.deepSupervisionWeights[level] != 0.0);
    auto& indices = source_indices_.emplace_back(dimensions);
    for (size_t axis = 0; axis < dimensions; ++axis) {
      scale[axis] *= static_cast<double>(strides[level][axis]);
      const int64_t in = patch_size[axis];
      const auto out = static_cast<int64_t>(std::nearbyint(static_cast<double>(in) / scale[axis]));
      if (in == out) continue;
      const float ratio = static_cast<float>(in) / static_cast<float>(out);
      std::vector<int64_t> source(static_cast<size_t>(out));
      for (int64_t i = 0; i < out; ++i) {
        source[static_cast<size_t>(i)] = std::min(static_cast<int64_t>((static_cast<float>(i) + 0.5f) * ratio), in - 1);
      }
      indices[axis] = at::tensor(source, at::kLong).to(device);
    }
  }
}

at::Tensor Loss::labels_at_level(const at::Tensor& labels, size_t level) const {
  at::Tensor result = labels;
  for (size_t axis = 0; axis < source_indices_[level].size(); ++axis) {
    const at::Tensor& index = source_indices_[level][axis];
    if (index.defined()) result = result.index_select(static_cast<int64_t>(axis) + 1, index);
  }
  return result;
}

at::Tensor Loss::operator()(const std::vector<at::Tensor>& logits, const at::Tensor& labels) const {
  std::vector<at::Tensor> counted;
  LossTerms terms = loss_terms(targets_, config_);
  terms.batch = share_.total;
  terms.first_sample = share_.first;
  terms.gather = gather_;
  for (size_t level = 0; level < heads_.size(); ++level) {
    if (!heads_[level]) continue;
    counted.push_back(logits[level]);
    terms.level_weights.push_back(config_.deepSupervisionWeights[level]);
  }
  if (config_.topKPercent == 100) return deep_supervision_loss(counted, labels, terms);
  at::Tensor sum;  // the largest terms are found by a selection over all voxels
  for (size_t level = 0; level < heads_.size(); ++level) {
    if (!heads_[level]) continue;
    const at::Tensor loss = config_.deepSupervisionWeights[level] *
                            level_loss(logits[level], labels_at_level(labels, level), targets_, config_);
    sum = sum.defined() ? sum + loss : loss;
  }
  return sum;
}

}  // namespace voxgrad
