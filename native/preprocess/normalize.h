// Intensity normalization of one cropped case, by the scheme that the plan names for each channel.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "preprocess/volume.h"

namespace voxgrad::preprocess {

/// Statistics of the foreground intensities of one channel over the whole dataset.
struct IntensityProperties {
  double max = 0, mean = 0, median = 0, min = 0, percentile_00_5 = 0, percentile_99_5 = 0, std = 0;
};

struct ChannelNormalization {
  /// ZScoreNormalization, CTNormalization, NoNormalization, RescaleTo01Normalization or RGBTo01Normalization.
  std::string scheme;
  /// ZScoreNormalization only: mean, deviation and replacement at voxels with a segmentation of 0 or more.
  bool use_mask = false;
  /// CTNormalization only.
  IntensityProperties properties;
};

/// Normalizes every channel in place, in float32 with NumPy's rounding.
/// image: (channels, a0, a1, a2); segmentation: (1, a0, a1, a2), -1 outside the nonzero mask. `contiguous` tells
/// whether the crop was one run of the original memory, which decides the order of NumPy's sums. Throws Failure:
/// ERR_CONFIG for an unknown scheme or a wrong number of channels, ERR_DATASET for an RGB channel outside [0, 255] or
/// an empty mask. Source: nnU-Net, preprocessing/normalization/default_normalization_schemes.py.
void normalize(Volume<float>& image, const Volume<int16_t>& segmentation,
               const std::vector<ChannelNormalization>& channels, bool contiguous);

}  // namespace voxgrad::preprocess
