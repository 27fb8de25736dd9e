// Where elements lie in memory, and how an index is split. Host and device compile this same code.
#pragma once
#include <cstdint>

#include "kernels/draw.h"

namespace voxgrad {

/// A dense (samples, channels, ...) tensor, channels-last or contiguous.
struct Layout {
  int64_t samples, channels, voxels;
  int64_t voxel_stride, channel_stride;

  VOXGRAD_HOST_DEVICE int64_t offset(int64_t sample, int64_t voxel, int64_t channel) const {
    return sample * voxels * channels + voxel * voxel_stride + channel * channel_stride;
  }
  VOXGRAD_HOST_DEVICE bool channels_last() const { return channel_stride == 1; }
  /// Of the element that lies at i: its channel, and sample * channels + channel.
  VOXGRAD_HOST_DEVICE int64_t channel_of(int64_t i) const { return i / channel_stride % channels; }
  VOXGRAD_HOST_DEVICE int64_t row_of(int64_t i) const { return i / (voxels * channels) * channels + channel_of(i); }
  /// Splits an index over samples, items (voxels, or shares of them) and groups of channels so that neighboring threads
  /// read neighboring memory.
  VOXGRAD_HOST_DEVICE void split(int64_t i, int64_t items, int64_t groups, int64_t& sample, int64_t& item,
                                 int64_t& group) const {
    const int64_t inner = channels_last() ? groups : items, outer = channels_last() ? items : groups;
    const int64_t a = i % inner, b = i / inner % outer;
    sample = i / inner / outer;
    item = channels_last() ? b : a;
    group = channels_last() ? a : b;
  }
};

struct Voxel {
  int64_t z, y, x;
};

/// Voxel i of a volume, x fastest.
VOXGRAD_HOST_DEVICE inline Voxel voxel_of(int64_t i, const int64_t (&extents)[3]) {
  return {i / extents[2] / extents[1], i / extents[2] % extents[1], i % extents[2]};
}

}  // namespace voxgrad
