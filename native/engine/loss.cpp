// Soft Dice + cross-entropy with deep supervision, composed of ATen operators.
#include "engine/loss.h"

namespace voxgrad {

at::Tensor dice_and_cross_entropy(const at::Tensor& logits, const at::Tensor& labels, bool batch_dice, double smooth) {
  const at::Tensor log_probabilities = at::log_softmax(logits.to(at::kFloat), 1);
  const at::Tensor target = labels.to(at::kLong).unsqueeze(1);
  const at::Tensor cross_entropy = -log_probabilities.gather(1, target).mean();

  std::vector<int64_t> axes, class_shape(static_cast<size_t>(logits.dim()), 1);
  for (int64_t axis = 2; axis < logits.dim(); ++axis) axes.push_back(axis);
  if (batch_dice) axes.insert(axes.begin(), 0);
  const int64_t foreground = logits.size(1) - 1;
  class_shape[1] = foreground;
  const at::Tensor classes = at::arange(1, foreground + 1, target.options()).view(class_shape);
  const at::Tensor truth = target.eq(classes).to(at::kFloat);
  const at::Tensor probabilities = log_probabilities.narrow(1, 1, foreground).exp();
  const at::Tensor intersection = (probabilities * truth).sum(axes);
  const at::Tensor volumes = probabilities.sum(axes) + truth.sum(axes);
  const at::Tensor dice = (2 * intersection + smooth) / (volumes + smooth).clamp_min(1e-8);
  return cross_entropy - dice.mean();
}

Loss::Loss(const LossConfig& config, const std::vector<int64_t>& patch_size,
           const std::vector<std::vector<int64_t>>& strides, at::Device device)
    : config_(config) {
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
  at::Tensor sum;
  for (size_t level = 0; level < heads_.size(); ++level) {
    if (!heads_[level]) continue;
    const at::Tensor loss =
        config_.deepSupervisionWeights[level] *
        dice_and_cross_entropy(logits[level], labels_at_level(labels, level), config_.batchDice, config_.smooth);
    sum = sum.defined() ? sum + loss : loss;
  }
  return sum;
}

}  // namespace voxgrad
