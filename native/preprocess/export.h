// From logits on the network's grid back to labels on the grid of the original image.
#pragma once
#include <span>
#include <variant>
#include <vector>

#include "preprocess/case.h"

namespace voxgrad::preprocess {

/// Labels of one byte, or of two from 255 foreground labels on.
using ExportedLabels = std::variant<Volume<uint8_t>, Volume<uint16_t>>;

/// Resamples logits (classes, a0, a1, a2) to the cropped grid, takes the largest (ties: the lowest class), fills the
/// crop box of an otherwise zero volume and undoes the transpose. target_spacing is the plan's, in transposed order.
/// One class at a time is held at the original resolution. Source: nnU-Net, inference/export_prediction.py,
/// convert_predicted_logits_to_segmentation_with_correct_shape.
ExportedLabels export_segmentation(std::span<const float> logits, int64_t classes, const Shape3& shape,
                                   const CaseProperties& properties, const std::vector<double>& target_spacing,
                                   const std::array<int, 3>& transpose_forward, const ResamplingRule& rule);

}  // namespace voxgrad::preprocess
