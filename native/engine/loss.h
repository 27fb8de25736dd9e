// nnU-Net's training loss: soft Dice + cross-entropy at every deep-supervision level, weighted.
// Source: nnunetv2/training/loss (DC_and_CE_loss, MemoryEfficientSoftDiceLoss, DeepSupervisionWrapper).
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "engine/config.h"

namespace voxgrad {

/// Weighs the levels' losses and makes the pyramid of labels. Holds only index tensors.
class Loss {
 public:
  /// `patch_size` and `strides` (one entry a stage) give the extents of the levels.
  Loss(const LossConfig& config, const std::vector<int64_t>& patch_size,
       const std::vector<std::vector<int64_t>>& strides, at::Device device);

  /// Which heads have a weight; the others need not be computed (nnU-Net's lowest resolution has weight 0).
  const std::vector<bool>& heads() const { return heads_; }

  /// `logits`: one (B, C, ...) tensor a level, highest resolution first; `labels`: (B, ...) integers at full
  /// resolution, without negative values. Returns the weighted sum as a 0-dimensional float32 tensor on the device.
  at::Tensor operator()(const std::vector<at::Tensor>& logits, const at::Tensor& labels) const;

  /// Labels at a level: nearest-exact downsampling, floor((i + 0.5) * in / out) (nnU-Net: DownsampleSegForDSTransform).
  at::Tensor labels_at_level(const at::Tensor& labels, size_t level) const;

 private:
  LossConfig config_;
  std::vector<bool> heads_;
  std::vector<std::vector<at::Tensor>> source_indices_;  // [level][axis]; undefined where the extent does not change
};

/// Soft Dice + cross-entropy of one level, weights 1 and 1: mean cross-entropy over voxels, minus the mean over the
/// foreground classes of (2 I + smooth) / max(G + P + smooth, 1e-8). With batch_dice I, P, G are summed over the batch
/// first.
at::Tensor dice_and_cross_entropy(const at::Tensor& logits, const at::Tensor& labels, bool batch_dice, double smooth);

}  // namespace voxgrad
