// The draws of one case, and mean, deviation and percentiles over all of them.
#include "preprocess/fingerprint.h"

#include <algorithm>
#include <cmath>

#include "failure.h"
#include "preprocess/crop.h"
#include "preprocess/numpy_random.h"
#include "preprocess/pairwise_sum.h"

namespace voxgrad::preprocess {

namespace {

constexpr uint32_t seed = 1234;

/// Indices of the foreground voxels inside the box, in C order.
std::vector<size_t> foreground_voxels(std::span<const float> segmentation, const Shape3& shape, const Box& box) {
  std::vector<size_t> result;
  for (int64_t i = box.begin[0]; i < box.end[0]; ++i) {
    for (int64_t j = box.begin[1]; j < box.end[1]; ++j) {
      const size_t row = (i * shape[1] + j) * shape[2];
      for (size_t k = row + box.begin[2]; k < row + box.end[2]; ++k) {
        if (std::isnan(segmentation[k]))
          throw Failure("ERR_LABEL", "expected integer labels, found NaN in the segmentation; correct the label file");
        if (segmentation[k] > 0) result.push_back(k);
      }
    }
  }
  return result;
}

/// numpy.percentile with linear interpolation; reorders `values`.
template <class T>
double percentile(std::vector<T>& values, double percent) {
  const double position = percent / 100 * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(std::floor(position));
  const double fraction = position - static_cast<double>(below);
  std::nth_element(values.begin(), values.begin() + below, values.end());
  const T low = values[below];
  const T high = below + 1 < values.size() ? *std::min_element(values.begin() + below + 1, values.end()) : low;
  const T difference = high - low;
  return fraction < 0.5 ? low + difference * fraction : high - difference * (1 - fraction);
}

template <class T>
IntensityProperties statistics(std::vector<T> values) {
  const double count = static_cast<double>(values.size());
  const T mean = static_cast<T>(pairwise_sum<T>(0, values.size(), [&](size_t i) { return values[i]; }) / count);
  const T squares = pairwise_sum<T>(0, values.size(), [&](size_t i) {
    const T difference = values[i] - mean;
    return difference * difference;
  });
  IntensityProperties result;
  result.mean = mean;
  result.std = std::sqrt(static_cast<T>(squares / count));
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  result.min = *low;
  result.max = *high;
  result.percentile_00_5 = percentile(values, 0.5);
  result.median = percentile(values, 50);
  result.percentile_99_5 = percentile(values, 99.5);
  return result;
}

}  // namespace

CaseFingerprint fingerprint_case(std::span<const float> image, int64_t channels, const Shape3& shape,
                                 std::span<const float> segmentation, int64_t samples) {
  const Box box = nonzero_box(image, channels, shape);
  const std::vector<size_t> voxels = foreground_voxels(segmentation, shape, box);
  CaseFingerprint result;
  result.shape_after_crop = box.shape();
  result.relative_size_after_crop =
      static_cast<double>(voxel_count(result.shape_after_crop)) / static_cast<double>(voxel_count(shape));
  LegacyRandom random(seed);
  for (int64_t c = 0; c < channels; ++c) {
    const float* values = image.data() + c * voxel_count(shape);
    std::vector<float>& drawn = result.intensities.emplace_back();
    if (voxels.empty()) continue;
    drawn.resize(samples);
    const auto last = static_cast<uint32_t>(voxels.size() - 1);
    for (float& value : drawn) value = values[voxels[random.interval(last)]];
  }
  return result;
}

IntensityProperties intensity_statistics(const std::vector<std::span<const float>>& draws) {
  size_t count = 0;
  bool every_case_has_foreground = true;
  for (const auto& values : draws) {
    count += values.size();
    every_case_has_foreground = every_case_has_foreground && !values.empty();
  }
  if (count == 0)
    throw Failure("ERR_LABEL", "expected labels above 0 in at least one case, found background alone; check labelsTr");
  const auto concatenate = [&]<class T>(std::vector<T> all) {
    all.reserve(count);
    for (const auto& values : draws) all.insert(all.end(), values.begin(), values.end());
    return statistics(std::move(all));
  };
  return every_case_has_foreground ? concatenate(std::vector<float>()) : concatenate(std::vector<double>());
}

}  // namespace voxgrad::preprocess
