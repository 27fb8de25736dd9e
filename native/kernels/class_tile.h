// The CPU's view of logits: a few voxels at a time, class by class, in a buffer that stays in the first cache, whatever
// layout and number format they come from; so that loops over voxels become vector instructions for any number of
// classes.
#pragma once
#include <ATen/Parallel.h>

#include <algorithm>
#include <type_traits>
#include <vector>

#include "kernels/loss.h"

// The wheel's own kernels choose their instructions at run time; so do these.
#define VOXGRAD_VECTORIZED __attribute__((target_clones("avx512f", "avx2", "default")))

namespace voxgrad {

/// Voxels of a tile.
constexpr int64_t kTile = 64;

template <int kChannels>
__attribute__((always_inline)) inline void split_by(const float* __restrict voxels, float* __restrict classes) {
  for (int64_t t = 0; t < kTile; ++t) {
    for (int c = 0; c < kChannels; ++c) classes[c * kTile + t] = voxels[t * kChannels + c];
  }
}
template <int kChannels>
__attribute__((always_inline)) inline void join_by(const float* __restrict classes, float* __restrict voxels) {
  for (int64_t t = 0; t < kTile; ++t) {
    for (int c = 0; c < kChannels; ++c) voxels[t * kChannels + c] = classes[c * kTile + t];
  }
}

/// A whole tile from channels-last to class by class. With few classes, known to the compiler, vectors are shuffled
/// where else each value is moved by itself. False if there are too many.
[[maybe_unused]] VOXGRAD_VECTORIZED static bool split_tile(const float* voxels, int64_t channels, float* classes) {
  switch (channels) {
    case 2:
      return split_by<2>(voxels, classes), true;
    case 3:
      return split_by<3>(voxels, classes), true;
    case 4:
      return split_by<4>(voxels, classes), true;
    default:
      return false;
  }
}
/// And back.
[[maybe_unused]] VOXGRAD_VECTORIZED static bool join_tile(const float* classes, int64_t channels, float* voxels) {
  switch (channels) {
    case 2:
      return join_by<2>(classes, voxels), true;
    case 3:
      return join_by<3>(classes, voxels), true;
    case 4:
      return join_by<4>(classes, voxels), true;
    default:
      return false;
  }
}

struct ClassTile {
  static constexpr int64_t kVoxels = kTile;
  int64_t channels;
  std::vector<float> values;                 // (channels, kVoxels)
  alignas(64) int32_t labels[kVoxels] = {};  // -1 where a voxel does not count

  explicit ClassTile(int64_t channels) : channels(channels), values(static_cast<size_t>(channels * kVoxels), 0.0f) {}

  /// Takes `count` voxels from `first` on; the rest of the tile does not count.
  template <class Element>
  void load(const Element* logits, const Layout& layout, const LevelLabels& from, int64_t sample, int64_t first,
            int64_t count) {
    const Element* start = logits + layout.offset(sample, first, 0);
    load_labels(from, sample, first, count);
    if constexpr (std::is_same_v<Element, float>) {
      if (count == kVoxels && layout.channels_last() && split_tile(start, channels, values.data())) return;
    }
    for (int64_t c = 0; c < channels; ++c) {
      const Element* in = start + c * layout.channel_stride;
      float* out = values.data() + c * kVoxels;
      for (int64_t t = 0; t < count; ++t) out[t] = to_float(in[t * layout.voxel_stride]);
      for (int64_t t = count; t < kVoxels; ++t) out[t] = 0;
    }
  }

  template <class Element>
  void store(Element* result, const Layout& layout, int64_t sample, int64_t first, int64_t count) const {
    Element* start = result + layout.offset(sample, first, 0);
    if constexpr (std::is_same_v<Element, float>) {
      if (count == kVoxels && layout.channels_last() && join_tile(values.data(), channels, start)) return;
    }
    for (int64_t c = 0; c < channels; ++c) {
      Element* out = start + c * layout.channel_stride;
      const float* in = values.data() + c * kVoxels;
      for (int64_t t = 0; t < count; ++t) out[t * layout.voxel_stride] = from_float<Element>(in[t]);
    }
  }

 private:
  void load_labels(const LevelLabels& from, int64_t sample, int64_t first, int64_t count) {
    const int64_t width = from.extents[2];
    for (int64_t t = 0; t < count;) {  // row by row
      const int64_t x = (first + t) % width, y = (first + t) / width;
      const int64_t row =
          from.row(sample, static_cast<int32_t>(y / from.extents[1]), static_cast<int32_t>(y % from.extents[1]));
      const int64_t here = std::min(count - t, width - x);
      if (from.bytes) {
        read_row(static_cast<const int8_t*>(from.labels) + row, from, x, here, labels + t);
      } else {
        read_row(static_cast<const int16_t*>(from.labels) + row, from, x, here, labels + t);
      }
      t += here;
    }
    std::fill(labels + count, labels + kVoxels, -1);
  }
  template <class Label>
  static void read_row(const Label* row, const LevelLabels& from, int64_t first, int64_t count, int32_t* out) {
    const int32_t ignored = from.ignored;
    if (from.extents[2] == from.full[2]) {
      for (int64_t k = 0; k < count; ++k) out[k] = row[first + k] == ignored ? -1 : row[first + k];
      return;
    }
    for (int64_t k = 0; k < count; ++k) {
      const Label label = row[LevelLabels::source(static_cast<int32_t>(first + k), from.ratios[2], from.full[2])];
      out[k] = label == ignored ? -1 : label;
    }
  }
};

/// Voxels whose sums are one row. Fixed, so that the result does not depend on the number of threads.
constexpr int64_t kRun = 64 * kTile;

/// Runs of a sample.
inline int64_t runs_of(const Layout& layout) { return (layout.voxels + kRun - 1) / kRun; }

/// Calls work(tile, sample, first voxel, voxels, row) for all tiles of all runs, in parallel by runs.
template <class Work>
void for_each_tile(const Layout& layout, const Work& work) {
  const int64_t runs = runs_of(layout);
  at::parallel_for(0, layout.samples * runs, 1, [&](int64_t begin, int64_t end) {
    ClassTile tile(layout.channels);
    for (int64_t row = begin; row < end; ++row) {
      const int64_t sample = row / runs, last = std::min(layout.voxels, (row % runs + 1) * kRun);
      for (int64_t first = row % runs * kRun; first < last; first += kTile)
        work(tile, sample, first, std::min(kTile, last - first), row);
    }
  });
}

}  // namespace voxgrad
