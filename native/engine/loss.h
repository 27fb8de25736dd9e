// nnU-Net's training losses: soft Dice and cross-entropy at every deep-supervision level, weighted.
// Source: nnunetv2/training/loss (DC_and_CE_loss, DC_and_BCE_loss, DC_and_topk_loss, MemoryEfficientSoftDiceLoss,
// TopKLoss, DeepSupervisionWrapper).
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "dist/process_group.h"
#include "engine/targets.h"
#include "kernels/ops.h"

namespace voxgrad {

/// Weighs the levels' losses and makes the pyramid of labels. Holds only index tensors.
class Loss {
 public:
  /// `patch_size` and `strides` (one entry a stage) give the extents of the levels. With a group the labels and logits
  /// that are given are this rank's `share` of a batch.
  /// Throws Failure(ERR_CONFIG) for a loss that cannot be divided over ranks.
  Loss(const LossConfig& config, Targets targets, const std::vector<int64_t>& patch_size,
       const std::vector<std::vector<int64_t>>& strides, at::Device device, const BatchShare& share = {0, 0, 0},
       std::shared_ptr<ProcessGroup> group = nullptr);

  /// Which heads have a weight; the others need not be computed (nnU-Net's lowest resolution has weight 0).
  const std::vector<bool>& heads() const { return heads_; }
  const Targets& targets() const { return targets_; }

  /// `logits`: one (B, C, ...) tensor a level, highest resolution first; `labels`: (B, ...) integers at full
  /// resolution, without negative values. Returns the weighted sum as a 0-dimensional float32 tensor on the device; of
  /// a batch that ranks share a part, whose value and gradient add up to those of the whole over the ranks.
  at::Tensor operator()(const std::vector<at::Tensor>& logits, const at::Tensor& labels) const;

  /// Labels at a level: nearest-exact downsampling, floor((i + 0.5) * in / out) (nnU-Net: DownsampleSegForDSTransform).
  at::Tensor labels_at_level(const at::Tensor& labels, size_t level) const;

 private:
  LossConfig config_;
  Targets targets_;
  BatchShare share_;
  std::function<at::Tensor(const at::Tensor&)> gather_;  // see LossTerms
  std::vector<bool> heads_;
  std::vector<std::vector<at::Tensor>> source_indices_;  // [level][axis]; undefined where the extent does not change
};

/// What the kernels make of it, without levels.
LossTerms loss_terms(const Targets& targets, const LossConfig& config);

/// Composed of ATen operators, for the selection of the largest terms and as a reference for the kernels.
/// The loss of one level: weighted cross-entropy minus weighted soft Dice, both in float32 (float64 for float64
/// logits). Without regions softmax and the foreground's Dice, with regions sigmoid, binary cross-entropy and every
/// region's Dice. Label smoothing s, of softmax alone, takes 1 - s of the label's cross-entropy and s of the mean over
/// all classes. Where nothing is annotated a voxel counts for neither; without any such voxel the loss is finite.
at::Tensor level_loss(const at::Tensor& logits, const at::Tensor& labels, const Targets& targets,
                      const LossConfig& config);

/// Mean over classes, and over samples unless batch_dice sums them first, of (2 I + smooth) / max(G + P + smooth,
/// 1e-8): I, P, G are the sums over space of product, probabilities and truth, (B, C, ...) each. `annotated`: (B, 1,
/// ...) of 0 and 1, or undefined.
at::Tensor soft_dice(const at::Tensor& probabilities, const at::Tensor& truth, const at::Tensor& annotated,
                     bool batch_dice, double smooth);

/// Mean of `terms` (B, C, ...), or of the top_k_percent largest of them. Of annotated voxels (B, 1, ...) the mean is
/// over their terms alone, and the share is one of their number. With annotated_mean false it is nnU-Net's: terms of
/// several channels are summed over the channels, and the share is one of all voxels.
at::Tensor cross_entropy_mean(const at::Tensor& terms, const at::Tensor& annotated, double top_k_percent,
                              bool annotated_mean);

}  // namespace voxgrad
