// Softmax or sigmoid over resampled logits, and the way back through crop and transpose.
#include "preprocess/export_probabilities.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "failure.h"

namespace voxgrad::preprocess {

namespace {

void softmax(Volume<float>& volume) {
  const int64_t voxels = voxel_count(volume.shape);
  for (int64_t i = 0; i < voxels; ++i) {
    float* at = volume.values.data() + i;
    float largest = *at, sum = 0;
    for (int64_t c = 1; c < volume.channels; ++c) largest = std::max(largest, at[c * voxels]);
    for (int64_t c = 0; c < volume.channels; ++c) sum += at[c * voxels] = std::exp(at[c * voxels] - largest);
    for (int64_t c = 0; c < volume.channels; ++c) at[c * voxels] /= sum;
  }
}

/// The volume in the middle of a larger one.
Volume<float> uncropped(const Volume<float>& volume, const CaseProperties& properties, bool overlapping) {
  Volume<float> result(volume.channels, properties.shape_before_cropping);
  if (!overlapping) std::ranges::fill(result.channel(0), 1.0f);
  const Box& box = properties.crop_box;
  const int64_t row = box.end[2] - box.begin[2];
  auto next = volume.values.begin();
  for (int64_t c = 0; c < volume.channels; ++c)
    for (int64_t i = box.begin[0]; i < box.end[0]; ++i)
      for (int64_t j = box.begin[1]; j < box.end[1]; ++j, next += row)
        std::copy_n(next, row, result.channel(c).begin() + (i * result.shape[1] + j) * result.shape[2] + box.begin[2]);
  return result;
}

}  // namespace

Volume<float> export_probabilities(std::span<const float> logits, int64_t classes, const Shape3& shape,
                                   const CaseProperties& properties, const std::vector<double>& target_spacing,
                                   const std::array<int, 3>& transpose_forward, const ResamplingRule& rule,
                                   bool overlapping) {
  const int64_t voxels = voxel_count(shape);
  if (classes < 1 || static_cast<int64_t>(logits.size()) != classes * voxels)
    throw Failure("ERR_INTERNAL",
                  "expected " + std::to_string(classes * voxels) + " logits, found " + std::to_string(logits.size()));
  const Spacing3 case_spacing = reordered(properties.spacing, transpose_forward);
  const Spacing3 spacing = complete_spacing(target_spacing, case_spacing);
  const std::optional<int> apart = separate_axis(spacing, case_spacing, rule.force_separate_z);
  Volume<float> cropped(classes, properties.crop_box.shape());
  for (int64_t c = 0; c < classes; ++c)
    std::ranges::copy(resample_channel(logits.subspan(c * voxels, voxels), shape, cropped.shape, rule, apart),
                      cropped.channel(c).begin());
  if (overlapping)
    for (float& value : cropped.values) value = 1 / (1 + std::exp(-value));
  else
    softmax(cropped);
  return transposed(uncropped(cropped, properties, overlapping), inverse(transpose_forward));
}

}  // namespace voxgrad::preprocess
