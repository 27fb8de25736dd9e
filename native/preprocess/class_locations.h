// Voxel positions per class, drawn once at preprocessing, from which training picks the centers of foreground patches.
#pragma once
#include <span>
#include <vector>

#include "preprocess/volume.h"

namespace voxgrad::preprocess {

/// What a patch can be centered on: one label, or a region of several that becomes a tuple in the pickle.
struct LocationKey {
  std::vector<int64_t> labels;
  bool is_region = false;
};

/// For each key the drawn positions as rows (0, a0, a1, a2) in draw order; no rows where none of its labels occurs.
/// At least 10000 voxels of a class or all it has, and at least 1 percent. segmentation: (1, a0, a1, a2).
/// Source: nnU-Net, default_preprocessor.py, _sample_foreground_locations; the draws are RandomState(1234)'s.
std::vector<std::vector<int64_t>> sample_class_locations(std::span<const int16_t> segmentation, const Shape3& shape,
                                                         std::span<const LocationKey> keys);

}  // namespace voxgrad::preprocess
