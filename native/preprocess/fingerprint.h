// What planning must know of a case (extent after the crop, foreground intensities) and of the dataset (their
// statistics).
#pragma once
#include <span>
#include <vector>

#include "preprocess/normalize.h"
#include "preprocess/volume.h"

namespace voxgrad::preprocess {

struct CaseFingerprint {
  Shape3 shape_after_crop{};
  double relative_size_after_crop = 0;
  /// Drawn foreground intensities per channel; empty where the case has no foreground.
  std::vector<std::vector<float>> intensities;
};

/// Crops one case to nonzero and draws `samples` of its foreground intensities (labels above 0) per channel, with
/// replacement, from RandomState(1234). image: (channels, a0, a1, a2); segmentation: (a0, a1, a2).
/// Throws Failure(ERR_DATASET) for values that are not finite.
/// Source: nnU-Net, fingerprint_extractor.py, analyze_case and collect_foreground_intensities.
CaseFingerprint fingerprint_case(std::span<const float> image, int64_t channels, const Shape3& shape,
                                 std::span<const float> segmentation, int64_t samples);

/// Statistics of one channel over the draws of all cases, summed in float32 (in float64 if a case had no foreground)
/// and rounded as NumPy does. Throws Failure(ERR_DATASET) if there is no value at all.
IntensityProperties intensity_statistics(const std::vector<std::span<const float>>& draws);

}  // namespace voxgrad::preprocess
