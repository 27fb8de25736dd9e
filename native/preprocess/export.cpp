// Running argmax over resampled classes, and the way back through crop and transpose.
#include "preprocess/export.h"

#include <string>

#include "failure.h"

namespace voxgrad::preprocess {

namespace {

template <class Label>
Volume<Label> place(const std::vector<uint16_t>& winners, const CaseProperties& properties,
                    const std::array<int, 3>& transpose_forward) {
  Volume<Label> result(1, properties.shape_before_cropping);
  const Box& box = properties.crop_box;
  auto next = winners.begin();
  for (int64_t i = box.begin[0]; i < box.end[0]; ++i)
    for (int64_t j = box.begin[1]; j < box.end[1]; ++j)
      for (int64_t k = box.begin[2]; k < box.end[2]; ++k)
        result.values[(i * result.shape[1] + j) * result.shape[2] + k] = static_cast<Label>(*next++);
  return transposed(std::move(result), inverse(transpose_forward));
}

}  // namespace

ExportedLabels export_segmentation(std::span<const float> logits, int64_t classes, const Shape3& shape,
                                   const CaseProperties& properties, const std::vector<double>& target_spacing,
                                   const std::array<int, 3>& transpose_forward, const ResamplingRule& rule) {
  const int64_t voxels = voxel_count(shape);
  if (classes < 1 || static_cast<int64_t>(logits.size()) != classes * voxels)
    throw Failure("ERR_INTERNAL",
                  "expected " + std::to_string(classes * voxels) + " logits, found " + std::to_string(logits.size()));
  const Spacing3 case_spacing = reordered(properties.spacing, transpose_forward);
  const Spacing3 spacing = complete_spacing(target_spacing, case_spacing);
  const Shape3 cropped = properties.crop_box.shape();
  const std::optional<int> apart = separate_axis(spacing, case_spacing, rule.force_separate_z);
  std::vector<uint16_t> winners(voxel_count(cropped), 0);
  std::vector<float> best;
  for (int64_t c = 0; c < classes; ++c) {
    std::vector<float> logit = resample_channel(logits.subspan(c * voxels, voxels), shape, cropped, rule, apart);
    if (c == 0) {
      best = std::move(logit);
      continue;
    }
    for (size_t i = 0; i < best.size(); ++i) {
      if (logit[i] > best[i]) {
        best[i] = logit[i];
        winners[i] = static_cast<uint16_t>(c);
      }
    }
  }
  if (classes - 1 < 255) return place<uint8_t>(winners, properties, transpose_forward);
  return place<uint16_t>(winners, properties, transpose_forward);
}

}  // namespace voxgrad::preprocess
