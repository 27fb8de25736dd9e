// The chunk and block shapes that nnU-Net gives its preprocessed arrays.
#include <algorithm>
#include <bit>

#include "failure.h"
#include "io/blosc2_array.h"

namespace voxgrad::io {

namespace {
constexpr int64_t block_cap_bytes = 128 * 1024;
constexpr int64_t chunk_cap_bytes = 6 * 1024 * 1024;
using Extents = std::array<int64_t, 3>;

int64_t bytes_of(const Extents& extents, int64_t element_bytes) {
  return extents[0] * extents[1] * extents[2] * element_bytes;
}

int64_t power_of_two_from(int64_t value) { return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(value))); }

Extents shrink_to_cap(Extents block, const Extents& target, int64_t element_bytes) {
  while (bytes_of(block, element_bytes) > block_cap_bytes) {
    int largest = -1;
    double largest_cover = 0;
    for (int axis = 0; axis < 3; ++axis) {
      const double cover = static_cast<double>(block[axis]) / static_cast<double>(target[axis]);
      if (block[axis] > 1 && (largest < 0 || cover >= largest_cover)) {
        largest = axis;
        largest_cover = cover;
      }
    }
    block[largest] = power_of_two_from(block[largest]) / 2;
  }
  return block;
}

Extents grow_to_cap(const Extents& block, const Extents& image, const Extents& target, const Extents& patch,
                    int64_t element_bytes) {
  Extents chunk = block;
  for (;;) {
    int chosen = -1;
    double chosen_cover = 0;
    Extents grown = chunk;
    for (int axis = 0; axis < 3; ++axis) {
      if (patch[axis] == 1 || chunk[axis] >= target[axis]) continue;
      Extents candidate = chunk;
      candidate[axis] = std::min(chunk[axis] + block[axis], target[axis]);
      if (bytes_of(candidate, element_bytes) > chunk_cap_bytes) continue;
      const double cover = static_cast<double>(chunk[axis]) / static_cast<double>(target[axis]);
      if (chosen < 0 || cover < chosen_cover || (cover == chosen_cover && image[axis] > image[chosen])) {
        chosen = axis;
        chosen_cover = cover;
        grown = candidate;
      }
    }
    if (chosen < 0) return chunk;
    chunk = grown;
  }
}
}  // namespace

// Source: nnunetv2/training/dataloading/nnunet_dataset.py, comp_blosc2_params.
Blosc2Layout blosc2_layout(const std::vector<int64_t>& shape, const std::vector<int64_t>& patch,
                           int64_t element_bytes) {
  const auto is_positive = [](int64_t extent) { return extent > 0; };
  if (shape.size() != 4 || (patch.size() != 2 && patch.size() != 3) || element_bytes <= 0 ||
      !std::all_of(shape.begin(), shape.end(), is_positive) || !std::all_of(patch.begin(), patch.end(), is_positive)) {
    throw Failure("ERR_CONFIG",
                  "a Blosc2 layout needs a shape (c, z, y, x) and a patch of 2 or 3 extents, all positive");
  }
  Extents spatial_patch{1, 1, 1}, image, target, block;
  std::copy(patch.rbegin(), patch.rend(), spatial_patch.rbegin());
  for (int axis = 0; axis < 3; ++axis) {
    image[axis] = shape[axis + 1];
    target[axis] = std::min(image[axis], std::max<int64_t>(1, spatial_patch[axis] * 3 / 2));
    block[axis] = std::min(power_of_two_from(spatial_patch[axis]), image[axis]);
  }
  block = shrink_to_cap(block, target, element_bytes);
  const Extents chunk = grow_to_cap(block, image, target, spatial_patch, element_bytes);
  return {{1, chunk[0], chunk[1], chunk[2]}, {1, block[0], block[1], block[2]}};
}

}  // namespace voxgrad::io
