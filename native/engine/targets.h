// The labels of a batch as what the network's outputs are compared with: classes that exclude each other, or regions
// that overlap. Source: nnunetv2/utilities/label_handling (LabelManager), ConvertSegmentationToRegionsTransform.
#pragma once
#include <ATen/core/Tensor.h>

#include "engine/config.h"

namespace voxgrad {

/// Holds one small table on the device. Labels are (B, ...) integers without negative values.
class Targets {
 public:
  /// Throws Failure(ERR_CONFIG) unless there is an entry for each of `output_channels` outputs, and without regions
  /// output i stands for label i alone.
  Targets(const LabelsConfig& config, int64_t output_channels, at::Device device);

  bool overlapping() const { return config_.overlapping; }
  /// What is counted and evaluated: every region, or every label but the background.
  int64_t foreground_count() const;
  bool has_ignore_label() const { return config_.ignoreLabel >= 0; }
  int64_t ignore_label() const { return config_.ignoreLabel; }
  /// (labels, regions) float32 of 0 and 1 on the device; undefined without regions.
  const at::Tensor& membership() const { return membership_; }

  /// (B, 1, ...) booleans; undefined if there is no ignore label.
  at::Tensor annotated(const at::Tensor& labels) const;
  /// The output that is right: (B, 1, ...) int64; 0 where nothing is annotated. Without regions only.
  at::Tensor classes(const at::Tensor& labels) const;
  /// (B, regions, ...) float32 of 0 and 1; 0 where nothing is annotated. With regions only.
  at::Tensor regions(const at::Tensor& labels) const;

 private:
  LabelsConfig config_;
  at::Tensor membership_;  // (labels, regions) float32
};

/// Counts of hard predictions against the labels, one entry a foreground class or region, int64 on the device.
struct DiceCounts {
  at::Tensor true_positives, false_positives, false_negatives;
};

/// Adds the counts of what `logits` (B, outputs, ...) predict: the largest one, or regions whose sigmoid exceeds 0.5.
/// Voxels that are not annotated do not count. Source: nnUNetTrainer.validation_step.
void count_dice(const at::Tensor& logits, const at::Tensor& labels, const Targets& targets, DiceCounts& counts);

}  // namespace voxgrad
