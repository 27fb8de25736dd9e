// Patch sampling in nnU-Net's way.
#include "data/sampler.h"

#include <algorithm>

namespace voxgrad {

bool is_foreground_forced(int64_t sample, int64_t batch_size, double share) {
  return sample >= static_cast<int64_t>(std::nearbyint(static_cast<double>(batch_size) * (1.0 - share)));
}

bool draw_foreground_forced(int64_t sample, int64_t batch_size, double share, bool by_probability, Draw& draw) {
  return by_probability ? draw.chance(share) : is_foreground_forced(sample, batch_size, share);
}

Extents draw_box_start(const Case& source, const Extents& load, const Extents& patch, bool force_foreground,
                       Draw& draw) {
  Extents lowest, highest;
  for (size_t axis = 0; axis < 3; ++axis) {
    const int64_t need = std::max(load[axis] - patch[axis], load[axis] - source.shape[axis]);
    lowest[axis] = -((need + 1) / 2);
    highest[axis] = source.shape[axis] + (need + 1) / 2 - load[axis];
  }
  const Voxels* candidates = &source.annotated;
  if (force_foreground && !source.foreground.empty()) {
    candidates = &source.foreground[static_cast<size_t>(draw.below(static_cast<int64_t>(source.foreground.size())))];
  }
  Extents start;
  if (!candidates->empty()) {
    const auto& voxel = (*candidates)[static_cast<size_t>(draw.below(static_cast<int64_t>(candidates->size())))];
    for (size_t axis = 0; axis < 3; ++axis) start[axis] = std::max(lowest[axis], voxel[axis] - load[axis] / 2);
  } else {
    for (size_t axis = 0; axis < 3; ++axis) start[axis] = lowest[axis] + draw.below(highest[axis] - lowest[axis] + 1);
  }
  return start;
}

namespace {
/// Cuts the last three axes, (z, y, x), to [start, start + extent).
at::Tensor cut(at::Tensor tensor, const Extents& start, const Extents& extent, double fill) {
  const int64_t lead = tensor.dim() - 3;
  std::vector<int64_t> padding;  // last axis first, as constant_pad_nd wants it
  for (int64_t axis = 2; axis >= 0; --axis) {
    const auto a = static_cast<size_t>(axis);
    const int64_t size = tensor.size(lead + axis);
    const int64_t from = std::clamp<int64_t>(start[a], 0, size);
    const int64_t to = std::clamp<int64_t>(start[a] + extent[a], from, size);
    tensor = tensor.narrow(lead + axis, from, to - from);
    const int64_t before = std::min(std::max<int64_t>(-start[a], 0), extent[a]);
    padding.push_back(before);
    padding.push_back(extent[a] - before - (to - from));
  }
  return at::constant_pad_nd(tensor, padding, fill);
}
}  // namespace

std::pair<at::Tensor, at::Tensor> crop(const Case& source, const Extents& start, const Extents& extent) {
  return {cut(source.image, start, extent, 0), cut(source.segmentation, start, extent, -1)};
}

at::Tensor crop_previous(const Region& region) {
  return region.previous.defined() ? cut(region.previous, region.start, region.extent, -1) : at::Tensor();
}

}  // namespace voxgrad
