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
  /// With an ignore label: voxels that are annotated.
  Voxels annotated;
};

/// Reads CASE.b2nd and CASE_seg.b2nd (or the same as .npy) and CASE.pkl of nnU-Net's preprocessed folder. `labels`: all
/// values a segmentation may hold besides -1, the ignore label included. Throws Failure: ERR_FORMAT for a damaged file,
/// ERR_DATASET that names the case, what was expected and what was found for a case that does not fit (channels,
/// shapes, labels, values that are not finite).
Case load_case(const std::string& folder, const std::string& id, int64_t channels, const std::vector<int64_t>& labels,
               bool has_ignore_label, at::Device device);

}  // namespace voxgrad
