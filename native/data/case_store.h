// The cases of a run, in memory on the training device, with each case's foreground locations on the host.
#pragma once
#include <ATen/core/Tensor.h>

#include <array>
#include <string>
#include <vector>

namespace voxgrad {

/// Positions (z, y, x).
using Voxels = std::vector<std::array<int32_t, 3>>;

/// A preprocessed case. Its images lie on the device, all else on the host, so that choosing a patch reads nothing
/// back.
struct Case {
  std::string id;
  at::Tensor image;         // (C, D, H, W) float32
  at::Tensor segmentation;  // (D, H, W) int16; -1 outside the nonzero region
  std::array<int64_t, 3> shape;
  /// Per class or region that occurs in this case: voxels of it.
  std::vector<Voxels> foreground;
  /// In a cascade the previous stage's segmentation, (D, H, W) int16 on the host, where its augmentation works;
  /// undefined without one.
  at::Tensor previous;
  /// With an ignore label: voxels that are annotated.
  Voxels annotated;
};

/// What a case must be.
struct CaseRules {
  int64_t channels;
  std::vector<int64_t> labels;  // all values of a segmentation besides -1, the ignore label included
  bool has_ignore_label;
  std::string previous_stage;  // folder of the previous stage's segmentations; empty without a cascade
  int64_t previous_labels;     // their foreground labels
};

/// Reads CASE.b2nd and CASE_seg.b2nd (or the same as .npy) and CASE.pkl of nnU-Net's preprocessed folder, and CASE.b2nd
/// of a previous stage. Throws Failure: ERR_FORMAT for a damaged file, ERR_DATASET that names the case, what was
/// expected and what was found for a case that does not fit (channels, shapes, labels, values that are not finite).
Case load_case(const std::string& folder, const std::string& id, const CaseRules& rules, at::Device device);

/// A previous stage's segmentation of a case of extents (z, y, x), as nnU-Net stores it in predicted_next_stage:
/// (D, H, W) int16 on the host. Throws Failure as load_case does.
at::Tensor read_previous_stage(const std::string& folder, const std::string& id, at::IntArrayRef extents,
                               int64_t labels);

/// (labels, ...) float32 channels of 0 and 1 for foreground labels 1 to `labels`, on the segmentation's device.
at::Tensor one_hot_labels(const at::Tensor& segmentation, int64_t labels);

}  // namespace voxgrad
