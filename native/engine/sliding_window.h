// Sliding-window prediction of a whole image with Gaussian weights and mirroring.
// Source: nnunetv2/inference/{predict_from_raw_data,sliding_window_prediction}.py.
#pragma once
#include <atomic>
#include <functional>
#include <vector>

#include "engine/network.h"

namespace voxgrad {

struct SlidingWindow {
  std::vector<int64_t> patch_size;   // (z, y, x), or (y, x): every slice of axis 0 by itself
  double tile_step;                  // share of the patch between two tiles
  bool gaussian;                     // weigh a tile's middle more
  std::vector<int64_t> mirror_axes;  // spatial axes of the patch; the mean over all subsets is taken
};

/// Logits (classes, z, y, x) in float32 on the CPU for a preprocessed image (C, z, y, x) float32. The image is padded
/// with zeros up to the patch. `progress(done, total)` counts tiles and returns false to stop; then the result is
/// undefined. nnU-Net adds its tiles in float16; here they are float32, with the weights rounded to float16 as
/// nnU-Net's are.
at::Tensor predict_sliding_window(const Network& network, const at::Tensor& image, const SlidingWindow& window,
                                  at::ScalarType precision, const std::function<bool(int64_t, int64_t)>& progress);

/// First voxels of the tiles along one axis: as few tiles as possible at most `tile_step` apart, evenly spread.
std::vector<int64_t> tile_starts(int64_t size, int64_t tile, double tile_step);

/// nnU-Net's Gaussian importance map: sigma = tile / 8, peak 10, float16 values, zeros replaced by the smallest other
/// value.
at::Tensor gaussian_weights(const std::vector<int64_t>& tile);

}  // namespace voxgrad
