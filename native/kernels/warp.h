// One output voxel of the spatial transform: which eight input voxels it lies between, with which weights, and the
// label that follows from them. Host and device compile this same code.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/draw.h"

namespace voxgrad {

/// Extents (z, y, x) of input and output, and the row-major matrix from output offsets to input offsets, both from the
/// center of the volume.
struct WarpGeometry {
  int64_t input[3];
  int64_t output[3];
  float matrix[9];
};

/// The eight voxels around a position; voxel i is offset[i] in memory, or outside the volume where that is negative.
struct Corners {
  int64_t offset[8];
  float weight[8];
  int nearest;  // index of the nearest one; halfway goes to the even coordinate, as in at::grid_sampler
};

VOXGRAD_HOST_DEVICE inline Corners corners_of(const WarpGeometry& geometry, int64_t z, int64_t y, int64_t x) {
  const float from_center[3] = {z - 0.5f * (geometry.output[0] - 1), y - 0.5f * (geometry.output[1] - 1),
                                x - 0.5f * (geometry.output[2] - 1)};
  constexpr int64_t kOutside = -(int64_t{1} << 40);  // makes any sum with it negative
  int64_t part[3][2];
  float weight[3][2];
  int nearest = 0;
  int64_t stride = 1;
  for (int axis = 2; axis >= 0; --axis) {
    const float* row = geometry.matrix + axis * 3;
    const float position =
        row[0] * from_center[0] + row[1] * from_center[1] + row[2] * from_center[2] + 0.5f * (geometry.input[axis] - 1);
    const int64_t truncated = static_cast<int64_t>(position);
    const int64_t low = truncated - (position < static_cast<float>(truncated));
    const float fraction = position - static_cast<float>(low);
    const int64_t extent = geometry.input[axis];
    part[axis][0] = low >= 0 && low < extent ? low * stride : kOutside;
    part[axis][1] = low >= -1 && low < extent - 1 ? (low + 1) * stride : kOutside;
    weight[axis][0] = 1 - fraction;
    weight[axis][1] = fraction;
    const bool up = fraction > 0.5f || (fraction == 0.5f && (low & 1));
    nearest |= up << (2 - axis);
    stride *= extent;
  }
  Corners corners;
  corners.nearest = nearest;
  for (int corner = 0; corner < 8; ++corner) {
    const int up[3] = {corner >> 2, corner >> 1 & 1, corner & 1};
    corners.offset[corner] = part[0][up[0]] + part[1][up[1]] + part[2][up[2]];
    corners.weight[corner] = weight[0][up[0]] * weight[1][up[1]] * weight[2][up[2]];
  }
  return corners;
}

/// Linear interpolation of one channel; 0 outside.
VOXGRAD_HOST_DEVICE inline float interpolate(const Corners& corners, const float* channel) {
  float sum = 0;
  for (int i = 0; i < 8; ++i) {
    if (corners.offset[i] >= 0) sum += corners.weight[i] * channel[corners.offset[i]];
  }
  return sum;
}

/// The nearest voxel's value, or `outside` where there is none.
template <class Value>
VOXGRAD_HOST_DEVICE inline Value nearest_value(const Corners& corners, const Value* values, Value outside) {
  const int64_t offset = corners.offset[corners.nearest];
  return offset >= 0 ? values[offset] : outside;
}

/// Rounds a normal, non-negative number to float16's 11 significant bits, half to even.
VOXGRAD_HOST_DEVICE inline float round_to_half_precision(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  bits = (bits + 0xFFFu + (bits >> 13 & 1u)) & ~0x1FFFu;
  std::memcpy(&value, &bits, sizeof bits);
  return value;
}

/// The label with the most weight; -1 outside. Scores are 1000 times the weight in float16, as batchgeneratorsv2 has
/// them, because that decides what ties: a tie goes to the nearest voxel's label if it takes part, else to the
/// smallest.
template <class Label>
VOXGRAD_HOST_DEVICE inline Label warp_label(const Corners& corners, const Label* labels) {
  Label label[8];
  bool uniform = true;
  for (int i = 0; i < 8; ++i) {
    label[i] = corners.offset[i] >= 0 ? labels[corners.offset[i]] : static_cast<Label>(-1);
    uniform = uniform && label[i] == label[0];
  }
  if (uniform) return label[0];
  float best = -1, nearest_score = 0;
  Label winner = label[0];
  bool counted[8] = {};
  for (int i = 0; i < 8; ++i) {
    if (counted[i]) continue;
    float sum = 0;
    for (int j = 0; j < 8; ++j) {
      const bool same = label[j] == label[i];
      counted[j] = counted[j] || same;
      sum += same ? corners.weight[j] : 0.f;
    }
    const float score = round_to_half_precision(1000.f * sum);
    if (label[i] == label[corners.nearest]) nearest_score = score;
    if (score > best || (score == best && label[i] < winner)) {
      best = score;
      winner = label[i];
    }
  }
  return nearest_score == best ? label[corners.nearest] : winner;
}

}  // namespace voxgrad
