// The gather: crop, affine, interpolation and mirroring of image and labels in one pass, from a stored case into a
// sample's place in the batch. Host and device compile this same code; kernels/gather.cpp has the CPU's loops over it.
// Rules of interpolation and of labels: kernels/warp.h.
#pragma once
#include "kernels/element.h"
#include "kernels/layout.h"
#include "kernels/warp.h"

namespace voxgrad {

/// Extents and positions are (z, y, x).
struct GatherGeometry {
  int64_t stored[3];  // extents of what is stored
  int64_t start[3];   // of the box in it; the box may reach beyond
  int64_t box[3];     // beyond the box there is nothing, as if it had been cut out before
  int64_t output[3];
  float matrix[9];  // row-major, from output to box offsets, both from the center
  bool identity;    // the middle of the box, without interpolation
  bool flip[3];     // axes along which the output is mirrored
  bool nearest_image, nearest_labels;
  bool background;  // label -1 (nothing there) becomes 0
};

/// Where an output voxel lies between two voxels of an axis.
struct AxisPosition {
  int32_t low;     // in the box; the other one is low + 1
  float fraction;  // 0 at low
};

VOXGRAD_HOST_DEVICE inline AxisPosition axis_position(float position) {
  const auto truncated = static_cast<int32_t>(position);
  const int32_t low = truncated - (position < static_cast<float>(truncated));
  return {low, position - static_cast<float>(low)};
}

/// A matrix row's part that is the same for all voxels of an output row; the whole is (this + row[2] * x) + center.
VOXGRAD_HOST_DEVICE inline float row_position(const GatherGeometry& geometry, int axis, int64_t z, int64_t y) {
  const float* row = geometry.matrix + axis * 3;
  return row[0] * (static_cast<float>(z) - 0.5f * static_cast<float>(geometry.output[0] - 1)) +
         row[1] * (static_cast<float>(y) - 0.5f * static_cast<float>(geometry.output[1] - 1));
}
VOXGRAD_HOST_DEVICE inline float voxel_position(const GatherGeometry& geometry, int axis, float row_part, int64_t x) {
  return row_part +
         geometry.matrix[axis * 3 + 2] * (static_cast<float>(x) - 0.5f * static_cast<float>(geometry.output[2] - 1)) +
         0.5f * static_cast<float>(geometry.box[axis] - 1);
}

/// Whether position p of the box is stored, and where: never outside of memory.
VOXGRAD_HOST_DEVICE inline bool is_stored(const GatherGeometry& geometry, int axis, int32_t p) {
  const int64_t at = geometry.start[axis] + p;
  return p >= 0 && p < geometry.box[axis] && at >= 0 && at < geometry.stored[axis];
}
VOXGRAD_HOST_DEVICE inline int64_t stored_index(const GatherGeometry& geometry, int axis, int32_t p) {
  const int64_t at = geometry.start[axis] + p, last = geometry.stored[axis] - 1;
  return at < 0 ? 0 : at > last ? last : at;
}

/// The eight voxels around a position, as kernels/warp.h wants them.
VOXGRAD_HOST_DEVICE inline Corners corners_at(const GatherGeometry& geometry, const AxisPosition (&at)[3]) {
  constexpr int64_t kOutside = -(int64_t{1} << 40);  // makes any sum with it negative
  int64_t part[3][2];
  int64_t stride = 1;
  Corners corners;
  corners.nearest = 0;
  for (int axis = 2; axis >= 0; --axis) {
    for (int up = 0; up < 2; ++up) {
      const int32_t p = at[axis].low + up;
      part[axis][up] = is_stored(geometry, axis, p) ? stored_index(geometry, axis, p) * stride : kOutside;
    }
    const bool up = at[axis].fraction > 0.5f || (at[axis].fraction == 0.5f && (at[axis].low & 1));
    corners.nearest |= up << (2 - axis);
    stride *= geometry.stored[axis];
  }
  for (int corner = 0; corner < 8; ++corner) {
    const int up[3] = {corner >> 2, corner >> 1 & 1, corner & 1};
    corners.offset[corner] = part[0][up[0]] + part[1][up[1]] + part[2][up[2]];
    const auto weight = [&](int axis) { return up[axis] ? at[axis].fraction : 1 - at[axis].fraction; };
    corners.weight[corner] = weight(0) * weight(1) * weight(2);
  }
  return corners;
}

/// The index in the output of voxel (z, y, x) of what is not mirrored.
VOXGRAD_HOST_DEVICE inline int64_t mirrored_index(const int64_t (&extents)[3], const bool (&flip)[3], int64_t z,
                                                  int64_t y, int64_t x) {
  const int64_t at[3] = {flip[0] ? extents[0] - 1 - z : z, flip[1] ? extents[1] - 1 - y : y,
                         flip[2] ? extents[2] - 1 - x : x};
  return (at[0] * extents[1] + at[1]) * extents[2] + at[2];
}

/// index: of an output voxel before mirroring. Stored: float or Float16; Label: int8_t or int16_t.
template <class Stored, class Label>
struct Gather {
  const Stored* image;  // (c, z, y, x)
  const Label* labels;  // (z, y, x)
  float* target;
  int16_t* label_target;
  GatherGeometry geometry;
  int64_t channels, voxel_stride, channel_stride;  // of target

  VOXGRAD_HOST_DEVICE void operator()(int64_t i) const {
    const Voxel at = voxel_of(i, geometry.output);
    voxel(at.z, at.y, at.x);
  }

  VOXGRAD_HOST_DEVICE void voxel(int64_t z, int64_t y, int64_t x) const {
    const int64_t to = mirrored_index(geometry.output, geometry.flip, z, y, x);
    const int64_t volume = geometry.stored[0] * geometry.stored[1] * geometry.stored[2];
    if (geometry.identity) {
      const int64_t at[3] = {z, y, x};
      bool inside = true;
      int64_t from = 0;
      for (int axis = 0; axis < 3; ++axis) {
        const auto p = static_cast<int32_t>(at[axis] + geometry.box[axis] / 2 - geometry.output[axis] / 2);
        inside = inside && is_stored(geometry, axis, p);
        from = from * geometry.stored[axis] + stored_index(geometry, axis, p);
      }
      for (int64_t c = 0; c < channels; ++c) put(to, c, inside ? to_float(image[c * volume + from]) : 0.f);
      put_label(to, inside ? labels[from] : static_cast<Label>(-1));
      return;
    }
    AxisPosition at[3];
    for (int axis = 0; axis < 3; ++axis)
      at[axis] = axis_position(voxel_position(geometry, axis, row_position(geometry, axis, z, y), x));
    const Corners corners = corners_at(geometry, at);
    for (int64_t c = 0; c < channels; ++c) {
      const Stored* channel = image + c * volume;
      put(to, c, geometry.nearest_image ? nearest_stored(corners, channel) : interpolate_stored(corners, channel));
    }
    put_label(to, geometry.nearest_labels ? nearest_value(corners, labels, static_cast<Label>(-1))
                                          : warp_label(corners, labels));
  }

  VOXGRAD_HOST_DEVICE void put(int64_t to, int64_t c, float value) const {
    target[to * voxel_stride + c * channel_stride] = value;
  }
  VOXGRAD_HOST_DEVICE void put_label(int64_t to, Label label) const {
    label_target[to] = geometry.background && label < 0 ? int16_t{0} : static_cast<int16_t>(label);
  }

  VOXGRAD_HOST_DEVICE static float interpolate_stored(const Corners& corners, const Stored* channel) {
    float sum = 0;
    for (int i = 0; i < 8; ++i) {
      if (corners.offset[i] >= 0) sum += corners.weight[i] * to_float(channel[corners.offset[i]]);
    }
    return sum;
  }
  VOXGRAD_HOST_DEVICE static float nearest_stored(const Corners& corners, const Stored* channel) {
    const int64_t offset = corners.offset[corners.nearest];
    return offset >= 0 ? to_float(channel[offset]) : 0.f;
  }
};

}  // namespace voxgrad
