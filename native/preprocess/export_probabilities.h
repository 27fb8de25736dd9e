// From logits on the network's grid back to probabilities on the grid of the original image.
#pragma once
#include <span>
#include <vector>

#include "preprocess/case.h"

namespace voxgrad::preprocess {

/// Resamples logits (classes, a0, a1, a2) to the cropped grid, takes the softmax over the classes, or with
/// `overlapping` regions a sigmoid each, and undoes crop and transpose. Outside the crop box the background is certain:
/// class 0 is 1, regions are 0. Returns (classes, z, y, x). target_spacing is the plan's, in transposed order. Source:
/// nnU-Net, inference/export_prediction.py; label_handling.py, revert_cropping_on_probabilities.
Volume<float> export_probabilities(std::span<const float> logits, int64_t classes, const Shape3& shape,
                                   const CaseProperties& properties, const std::vector<double>& target_spacing,
                                   const std::array<int, 3>& transpose_forward, const ResamplingRule& rule,
                                   bool overlapping);

}  // namespace voxgrad::preprocess
