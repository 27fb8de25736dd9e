// Four normal numbers of an addressed field. Host and device compile this same code.
#pragma once
#include <array>
#include <cmath>

#include "kernels/gather.h"

namespace voxgrad {

/// Normal numbers 4 * index ... 4 * index + 3 of the stream: Box-Muller on the block's two pairs of 24-bit uniforms.
VOXGRAD_HOST_DEVICE inline std::array<float, 4> normal_block(const Draw& draw, uint32_t index) {
  const PhiloxBlock words = draw.block(index);
  std::array<float, 4> normal{};
  for (int pair = 0; pair < 2; ++pair) {
    const float radius = std::sqrt(-2.f * std::log(to_uniform(words[2 * pair]) + 0x1.0p-24f));
    const float angle = 6.283185307179586f * to_uniform(words[2 * pair + 1]);
    normal[2 * pair] = radius * std::cos(angle);
    normal[2 * pair + 1] = radius * std::sin(angle);
  }
  return normal;
}

/// Adds deviation times the field to values (c, z, y, x), which may have been mirrored: number i belongs to the voxel
/// that lay at i before. index: of a block of four.
struct AddNormalField {
  float* values;
  int64_t count;
  Draw draw;
  float deviation;
  int64_t extents[3];
  bool flip[3];

  VOXGRAD_HOST_DEVICE void operator()(int64_t block) const {
    const std::array<float, 4> normal = normal_block(draw, static_cast<uint32_t>(block));
    for (int64_t i = 4 * block; i < 4 * block + 4 && i < count; ++i)
      values[place_of(i)] += deviation * normal[i - 4 * block];
  }
  VOXGRAD_HOST_DEVICE int64_t place_of(int64_t i) const {
    if (!flip[0] && !flip[1] && !flip[2]) return i;
    const int64_t volume = extents[0] * extents[1] * extents[2], at = i % volume;
    const Voxel voxel = voxel_of(at, extents);
    return i - at + mirrored_index(extents, flip, voxel.z, voxel.y, voxel.x);
  }
};

}  // namespace voxgrad
