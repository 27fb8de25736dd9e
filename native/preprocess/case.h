// One case through all steps of preprocessing: crop, normalize, transpose, resample.
#pragma once
#include <array>
#include <span>
#include <vector>

#include "preprocess/normalize.h"
#include "preprocess/resample.h"
#include "preprocess/volume.h"

namespace voxgrad::preprocess {

/// The parts of a plan's configuration that preprocessing follows.
struct PreprocessingPlan {
  std::array<int, 3> transpose_forward{0, 1, 2};
  /// Millimeters in transposed order; two values (of axes 1 and 2) for a 2D configuration, where axis 0 keeps its
  /// spacing.
  std::vector<double> target_spacing;
  std::vector<ChannelNormalization> channels;
  ResamplingRule image_resampling;
  ResamplingRule segmentation_resampling;
};

/// Borrowed memory of one case as it was read: image (channels, a0, a1, a2), segmentation (a0, a1, a2) or empty.
struct CaseInput {
  std::span<const float> image;
  int64_t channels = 0;
  Shape3 shape{};
  std::span<const float> segmentation;
  /// Millimeters.
  Spacing3 spacing{};
};

/// What brings a prediction back to the original grid. All but `spacing` in transposed axis order.
struct CaseProperties {
  Spacing3 spacing{};
  Shape3 shape_before_cropping{};
  Box crop_box;
};

struct PreparedCase {
  Volume<float> image;
  /// (1, a0, a1, a2); -1 outside the nonzero mask.
  Volume<int16_t> segmentation;
  CaseProperties properties;
};

/// A plan's spacing with the case's own one on axis 0 where the plan is a 2D one. Both in transposed order.
Spacing3 complete_spacing(const std::vector<double>& target_spacing, const Spacing3& case_spacing);

/// Runs all steps in nnU-Net's order (normalization before resampling). Without a segmentation the mask alone is made,
/// and it is not resampled. Throws Failure(ERR_DATASET) on faulty data, ERR_CONFIG on a plan that does not fit.
/// Source: nnU-Net, default_preprocessor.py, run_case_npy.
PreparedCase prepare_case(const CaseInput& input, const PreprocessingPlan& plan);

/// Appends a channel of 0 and 1 to an image for each foreground label 1 to `labels` of a segmentation on its grid: what
/// a cascade sees of the previous stage.
void append_one_hot(Volume<float>& image, const Volume<int16_t>& segmentation, int64_t labels);

}  // namespace voxgrad::preprocess
