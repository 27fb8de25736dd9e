// A stack of 3D grids in C order, the boxes cut from it, and the reordering of its axes.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace voxgrad::preprocess {

/// Extents of the three spatial axes, slowest first.
using Shape3 = std::array<int64_t, 3>;
/// Millimeters between neighboring voxels along the three spatial axes.
using Spacing3 = std::array<double, 3>;

inline int64_t voxel_count(const Shape3& shape) { return shape[0] * shape[1] * shape[2]; }

/// A volume (channels, a0, a1, a2) that owns its values.
template <class T>
struct Volume {
  std::vector<T> values;
  int64_t channels = 0;
  Shape3 shape{};

  Volume() = default;
  Volume(int64_t channels, const Shape3& shape)
      : values(static_cast<size_t>(channels * voxel_count(shape))), channels(channels), shape(shape) {}

  std::span<T> channel(int64_t c) {
    return {values.data() + c * voxel_count(shape), static_cast<size_t>(voxel_count(shape))};
  }
  std::span<const T> channel(int64_t c) const {
    return {values.data() + c * voxel_count(shape), static_cast<size_t>(voxel_count(shape))};
  }
};

/// A half-open box of voxel indices.
struct Box {
  Shape3 begin{};
  Shape3 end{};

  Shape3 shape() const { return {end[0] - begin[0], end[1] - begin[1], end[2] - begin[2]}; }
};

/// The entries of `values` in the order that `axes` gives: result[i] = values[axes[i]].
template <class T>
std::array<T, 3> reordered(const std::array<T, 3>& values, const std::array<int, 3>& axes) {
  return {values[axes[0]], values[axes[1]], values[axes[2]]};
}

/// The permutation that undoes `axes`.
inline std::array<int, 3> inverse(const std::array<int, 3>& axes) {
  std::array<int, 3> result{};
  for (int i = 0; i < 3; ++i) result[axes[i]] = i;
  return result;
}

/// numpy.transpose of the spatial axes: axis i of the result is axis axes[i] of the input. Takes the memory over where
/// nothing changes.
template <class T>
Volume<T> transposed(Volume<T>&& input, const std::array<int, 3>& axes) {
  if (axes == std::array<int, 3>{0, 1, 2}) return std::move(input);
  const Shape3 strides = reordered(Shape3{input.shape[1] * input.shape[2], input.shape[2], 1}, axes);
  Volume<T> result(input.channels, reordered(input.shape, axes));
  T* out = result.values.data();
  for (int64_t c = 0; c < input.channels; ++c) {
    const T* in = input.channel(c).data();
    for (int64_t i = 0; i < result.shape[0]; ++i)
      for (int64_t j = 0; j < result.shape[1]; ++j)
        for (int64_t k = 0; k < result.shape[2]; ++k) *out++ = in[i * strides[0] + j * strides[1] + k * strides[2]];
  }
  return result;
}

}  // namespace voxgrad::preprocess
