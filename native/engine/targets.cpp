// Labels to classes and regions, and the counts that the pseudo-Dice is made of.
#include "engine/targets.h"

#include <algorithm>

#include "failure.h"
#include "kernels/ops.h"

namespace voxgrad {

Targets::Targets(const LabelsConfig& config, int64_t output_channels, at::Device device) : config_(config) {
  const auto outputs = static_cast<int64_t>(config.outputs.size());
  if (outputs != output_channels) {
    throw Failure("ERR_CONFIG", "labels.outputs: expected " + std::to_string(output_channels) + " entries, found " +
                                    std::to_string(outputs));
  }
  int64_t largest = config.ignoreLabel;
  for (int64_t output = 0; output < outputs; ++output) {
    const auto& labels = config.outputs[static_cast<size_t>(output)];
    if (labels.empty() || (!config.overlapping && labels != std::vector<int64_t>{output}))
      throw Failure("ERR_CONFIG", "labels.outputs: output " + std::to_string(output) + " stands for other labels");
    largest = std::max(largest, *std::max_element(labels.begin(), labels.end()));
  }
  if (!config.overlapping) return;
  at::Tensor membership = at::zeros({largest + 1, outputs}, at::kFloat);
  for (int64_t output = 0; output < outputs; ++output) {
    for (const int64_t label : config.outputs[static_cast<size_t>(output)]) membership[label][output] = 1;
  }
  membership_ = membership.to(device);
}

int64_t Targets::foreground_count() const {
  return static_cast<int64_t>(config_.outputs.size()) - (config_.overlapping ? 0 : 1);
}

at::Tensor Targets::annotated(const at::Tensor& labels) const {
  return has_ignore_label() ? labels.ne(config_.ignoreLabel).unsqueeze(1) : at::Tensor();
}

at::Tensor Targets::classes(const at::Tensor& labels) const {
  const at::Tensor target = labels.to(at::kLong).unsqueeze(1);
  return has_ignore_label() ? target.masked_fill(target.eq(config_.ignoreLabel), 0) : target;
}

at::Tensor Targets::regions(const at::Tensor& labels) const {
  std::vector<int64_t> shape = labels.sizes().vec();
  shape.push_back(membership_.size(1));
  return membership_.index_select(0, labels.flatten().to(at::kLong)).view(shape).movedim(-1, 1);
}

void count_dice(const at::Tensor& logits, const at::Tensor& labels, const Targets& targets, DiceCounts& counts) {
  add_dice_counts(logits, labels, targets.ignore_label(), targets.membership(), /*kernels=*/false,
                  {counts.true_positives, counts.false_positives, counts.false_negatives});
}

}  // namespace voxgrad
