// Labels from resampled classes, one at a time, and the way back through crop and transpose.
#include "preprocess/export.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "failure.h"
#include "io/blosc2_array.h"

namespace voxgrad::preprocess {

namespace {

template <class Label>
Volume<Label> place(const std::vector<uint16_t>& labels, const CaseProperties& properties,
                    const std::array<int, 3>& transpose_forward) {
  Volume<Label> result(1, properties.shape_before_cropping);
  const Box& box = properties.crop_box;
  auto next = labels.begin();
  for (int64_t i = box.begin[0]; i < box.end[0]; ++i)
    for (int64_t j = box.begin[1]; j < box.end[1]; ++j)
      for (int64_t k = box.begin[2]; k < box.end[2]; ++k)
        result.values[(i * result.shape[1] + j) * result.shape[2] + k] = static_cast<Label>(*next++);
  return transposed(std::move(result), inverse(transpose_forward));
}

}  // namespace

LabelsOfLogits::LabelsOfLogits(int64_t classes, std::vector<int64_t> region_labels, int64_t voxels)
    : classes_(classes), region_labels_(std::move(region_labels)), labels_(voxels, 0) {
  if (!region_labels_.empty() && static_cast<int64_t>(region_labels_.size()) != classes)
    throw Failure("ERR_CONFIG", "regions_class_order: expected " + std::to_string(classes) + " labels, found " +
                                    std::to_string(region_labels_.size()));
}

void LabelsOfLogits::add(std::vector<float> logit) {
  const int64_t index = next_++;
  if (!region_labels_.empty()) {
    const auto label = static_cast<uint16_t>(region_labels_[index]);
    for (size_t i = 0; i < logit.size(); ++i) {
      if (1 / (1 + std::exp(-logit[i])) > 0.5f) labels_[i] = label;
    }
  } else if (index == 0) {
    best_ = std::move(logit);
  } else {
    for (size_t i = 0; i < best_.size(); ++i) {
      if (logit[i] > best_[i]) {
        best_[i] = logit[i];
        labels_[i] = static_cast<uint16_t>(index);
      }
    }
  }
}

bool LabelsOfLogits::fits_byte() const {
  if (region_labels_.empty()) return classes_ - 1 < 255;
  return *std::max_element(region_labels_.begin(), region_labels_.end()) < 255;
}

ExportedLabels export_segmentation(std::span<const float> logits, int64_t classes, const Shape3& shape,
                                   const CaseProperties& properties, const std::vector<double>& target_spacing,
                                   const std::array<int, 3>& transpose_forward, const ResamplingRule& rule,
                                   const std::vector<int64_t>& region_labels) {
  const int64_t voxels = voxel_count(shape);
  if (classes < 1 || static_cast<int64_t>(logits.size()) != classes * voxels)
    throw Failure("ERR_INTERNAL",
                  "expected " + std::to_string(classes * voxels) + " logits, found " + std::to_string(logits.size()));
  const Spacing3 case_spacing = reordered(properties.spacing, transpose_forward);
  const Spacing3 spacing = complete_spacing(target_spacing, case_spacing);
  const Shape3 cropped = properties.crop_box.shape();
  const std::optional<int> apart = separate_axis(spacing, case_spacing, rule.force_separate_z);
  LabelsOfLogits labels(classes, region_labels, voxel_count(cropped));
  for (int64_t c = 0; c < classes; ++c)
    labels.add(resample_channel(logits.subspan(c * voxels, voxels), shape, cropped, rule, apart));
  if (labels.fits_byte()) return place<uint8_t>(labels.labels(), properties, transpose_forward);
  return place<uint16_t>(labels.labels(), properties, transpose_forward);
}

void write_next_stage(const std::string& file, std::span<const float> logits, int64_t classes, const Shape3& shape,
                      const CaseProperties& properties, const std::vector<double>& target_spacing,
                      const std::vector<double>& next_spacing, const std::array<int, 3>& transpose_forward,
                      const ResamplingRule& rule, const std::vector<int64_t>& region_labels,
                      const std::vector<int64_t>& patch_size) {
  const Spacing3 case_spacing = reordered(properties.spacing, transpose_forward);
  const Spacing3 spacing = complete_spacing(target_spacing, case_spacing);
  const Shape3 next =
      resampled_shape(properties.crop_box.shape(), case_spacing, complete_spacing(next_spacing, case_spacing));
  // nnU-Net looks at this stage's spacing alone to tell whether an axis is apart.
  const std::optional<int> apart = separate_axis(spacing, spacing, rule.force_separate_z);
  const int64_t voxels = voxel_count(shape);
  LabelsOfLogits labels(classes, region_labels, voxel_count(next));
  for (int64_t c = 0; c < classes; ++c)
    labels.add(resample_channel(logits.subspan(c * voxels, voxels), shape, next, rule, apart));

  at::Tensor array = at::empty({next[0], next[1], next[2]}, at::kInt);
  std::copy(labels.labels().begin(), labels.labels().end(), array.data_ptr<int32_t>());
  array = array.to(labels.fits_byte() ? at::kByte : at::kUInt16);
  auto layout = io::blosc2_layout({1, next[0], next[1], next[2]}, patch_size, array.element_size());
  layout.chunks.erase(layout.chunks.begin());
  layout.blocks.erase(layout.blocks.begin());
  io::write_blosc2(file, array, layout);
}

}  // namespace voxgrad::preprocess
