// The normalization schemes of nnU-Net.
#include "preprocess/normalize.h"

#include <algorithm>
#include <cmath>

#include "failure.h"
#include "preprocess/pairwise_sum.h"

namespace voxgrad::preprocess {

namespace {

constexpr float epsilon = 1e-8f;

struct Moments {
  float mean;
  float deviation;
};

/// numpy.mean and numpy.std of float32 values; the mean's sum runs over the array as it lies in memory, the deviation's
/// over a fresh contiguous one.
Moments moments(std::span<const float> values, bool contiguous) {
  const double count = static_cast<double>(values.size());
  const auto value = [&](size_t i) { return values[i]; };
  const float sum =
      contiguous ? pairwise_sum<float>(0, values.size(), value) : buffered_sum<float>(values.size(), value);
  const float mean = static_cast<float>(sum / count);
  const float squares = pairwise_sum<float>(0, values.size(), [&](size_t i) {
    const float difference = values[i] - mean;
    return difference * difference;
  });
  return {mean, std::sqrt(static_cast<float>(squares / count))};
}

void shift_and_scale(std::span<float> values, float shift, float divisor) {
  for (float& value : values) value = (value - shift) / divisor;
}

void z_score(std::span<float> values, bool contiguous) {
  const auto [mean, deviation] = moments(values, contiguous);
  shift_and_scale(values, mean, std::max(deviation, epsilon));
}

void masked_z_score(std::span<float> values, std::span<const int16_t> segmentation) {
  std::vector<float> inside;
  for (size_t i = 0; i < values.size(); ++i)
    if (segmentation[i] >= 0) inside.push_back(values[i]);
  if (inside.empty())
    throw Failure("ERR_IMAGE",
                  "expected nonzero voxels to normalize by, found none; remove the case or its blank image");
  z_score(inside, true);
  size_t next = 0;
  for (size_t i = 0; i < values.size(); ++i)
    if (segmentation[i] >= 0) values[i] = inside[next++];
}

void ct(std::span<float> values, const IntensityProperties& properties) {
  const float low = static_cast<float>(properties.percentile_00_5),
              high = static_cast<float>(properties.percentile_99_5);
  for (float& value : values) value = std::clamp(value, low, std::max(low, high));
  shift_and_scale(values, static_cast<float>(properties.mean), std::max(static_cast<float>(properties.std), epsilon));
}

void rescale_to_01(std::span<float> values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  shift_and_scale(values, *low, std::max(*high - *low, epsilon));
}

void rgb_to_01(std::span<float> values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  if (*low < 0 || *high > 255)
    throw Failure("ERR_IMAGE", "expected RGB intensities from 0 to 255, found " + std::to_string(*low) + " to " +
                                   std::to_string(*high) + "; name another normalization in dataset.json");
  shift_and_scale(values, 0, 255);
}

}  // namespace

void normalize(Volume<float>& image, const Volume<int16_t>& segmentation,
               const std::vector<ChannelNormalization>& channels, bool contiguous) {
  if (static_cast<int64_t>(channels.size()) != image.channels)
    throw Failure("ERR_PLANS", "expected " + std::to_string(channels.size()) + " channels as the plan has, found " +
                                   std::to_string(image.channels) + " in the image");
  for (int64_t c = 0; c < image.channels; ++c) {
    const ChannelNormalization& rule = channels[c];
    const std::span<float> values = image.channel(c);
    if (rule.scheme == "ZScoreNormalization") {
      if (rule.use_mask)
        masked_z_score(values, segmentation.channel(0));
      else
        z_score(values, contiguous);
    } else if (rule.scheme == "CTNormalization") {
      ct(values, rule.properties);
    } else if (rule.scheme == "RescaleTo01Normalization") {
      rescale_to_01(values);
    } else if (rule.scheme == "RGBTo01Normalization") {
      rgb_to_01(values);
    } else if (rule.scheme != "NoNormalization") {
      throw Failure("ERR_PLANS",
                    "expected ZScoreNormalization, CTNormalization, NoNormalization, "
                    "RescaleTo01Normalization or RGBTo01Normalization, found " +
                        rule.scheme + " in normalization_schemes of the plan");
    }
  }
}

}  // namespace voxgrad::preprocess
