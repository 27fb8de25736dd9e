// Cases of random values made in memory, for benchmarks: noise as image, blocks of labels as segmentation. Never zeros,
// on which arithmetic may be faster.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "data/case_store.h"

namespace voxgrad {

struct RandomCases {
  int64_t count;
  std::array<int64_t, 3> shape;  // (z, y, x)
  int64_t channels;
  std::vector<int64_t> labels;                // values of the segmentation, 0 included
  std::vector<std::vector<int64_t>> targets;  // labels of each class or region that foreground is listed for
  int64_t ignore_label;                       // one of `labels`, or -1
  bool previous_stage;                        // the same blocks as segmentation of a previous stage
};

/// Labels come in blocks of 4 voxels' extent, each drawn from all of them. At most 10000 locations a target are
/// listed, as nnU-Net does.
std::vector<Case> random_cases(const RandomCases& rules, uint64_t seed, at::Device device);

}  // namespace voxgrad
