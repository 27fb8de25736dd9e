// Adds a tile of a sliding window to the sums of an image: mirrored copies of the network's output back in place, their
// mean, the weight and the sum in one pass over each copy. Host and device compile this same code;
// kernels/accumulate.cpp has the CPU's loops over it. Only the last of several copies touches the image's sums; before,
// a buffer of the tile's size keeps the copies' sum, so that additions have the order of nnU-Net's.
#pragma once
#include "kernels/element.h"
#include "kernels/layout.h"

namespace voxgrad {

/// One copy of a tile; index: of a voxel of the tile.
template <class Element>
struct Accumulate {
  const Element* output;      // of the network; upright voxel 0
  int64_t output_strides[4];  // of class, z, y, x; negative along a mirrored axis
  float* copies_sum;          // (classes, z, y, x) contiguous; unused with a single copy
  const float* weights;       // (z, y, x) contiguous
  float* sums;                // the tile's place in (classes, z, y, x) of the image
  int64_t sum_strides[3];     // of class, z, y
  float* weight_sums;         // likewise in (z, y, x)
  int64_t weight_strides[2];  // of z, y
  int64_t classes, extents[3];
  bool first, last;
  float copies;

  /// The sum of the copies so far.
  VOXGRAD_HOST_DEVICE float sum_with(float value, float earlier) const { return first ? value : earlier + value; }
  VOXGRAD_HOST_DEVICE float weighted_mean(float sum, float weight) const { return sum / copies * weight; }

  VOXGRAD_HOST_DEVICE void operator()(int64_t voxel) const {
    const auto [z, y, x] = voxel_of(voxel, extents);
    const Element* from = output + z * output_strides[1] + y * output_strides[2] + x * output_strides[3];
    float* to = sums + z * sum_strides[1] + y * sum_strides[2] + x;
    const int64_t volume = extents[0] * extents[1] * extents[2];
    for (int64_t c = 0; c < classes; ++c) {
      float* kept = copies_sum + c * volume + voxel;
      const float sum = sum_with(to_float(from[c * output_strides[0]]), first ? 0.0f : *kept);
      if (last) {
        to[c * sum_strides[0]] += weighted_mean(sum, weights[voxel]);
      } else {
        *kept = sum;
      }
    }
    if (last) weight_sums[z * weight_strides[0] + y * weight_strides[1] + x] += weights[voxel];
  }
};

}  // namespace voxgrad
