// The order of the preprocessing steps.
#include "preprocess/case.h"

#include <algorithm>
#include <string>

#include "failure.h"
#include "preprocess/crop.h"

namespace voxgrad::preprocess {

namespace {

/// Whether a box is one run of memory: below its slowest axis with more than one voxel it spans every axis fully.
bool is_contiguous(const Box& box, const Shape3& shape) {
  const Shape3 extent = box.shape();
  int axis = 0;
  while (axis < 2 && extent[axis] == 1) ++axis;
  for (++axis; axis < 3; ++axis)
    if (extent[axis] != shape[axis]) return false;
  return true;
}

void check_input(const CaseInput& input, const PreprocessingPlan& plan) {
  const int64_t voxels = voxel_count(input.shape);
  if (voxels < 1) throw Failure("ERR_IMAGE", "expected an image with voxels, found an empty one");
  if (!input.segmentation.empty() && static_cast<int64_t>(input.segmentation.size()) != voxels)
    throw Failure("ERR_IMAGE", "expected a segmentation with the image's " + std::to_string(voxels) +
                                   " voxels, found " + std::to_string(input.segmentation.size()) +
                                   "; image and label must share one grid");
  for (const double spacing : input.spacing)
    if (!(spacing > 0))
      throw Failure("ERR_IMAGE", "expected positive voxel spacings, found " + std::to_string(spacing));
  for (const double spacing : plan.target_spacing)
    if (!(spacing > 0))
      throw Failure("ERR_PLANS", "expected positive spacings in the plan, found " + std::to_string(spacing));
}

}  // namespace

Spacing3 complete_spacing(const std::vector<double>& target_spacing, const Spacing3& case_spacing) {
  if (target_spacing.size() == 2) return {case_spacing[0], target_spacing[0], target_spacing[1]};
  if (target_spacing.size() == 3) return {target_spacing[0], target_spacing[1], target_spacing[2]};
  throw Failure("ERR_PLANS",
                "expected 2 or 3 numbers in spacing of the plan, found " + std::to_string(target_spacing.size()));
}

PreparedCase prepare_case(const CaseInput& input, const PreprocessingPlan& plan) {
  check_input(input, plan);
  const Box box = nonzero_box(input.image, input.channels, input.shape);
  PreparedCase result;
  {
    const std::vector<uint8_t> mask = nonzero_mask(input.image, input.channels, input.shape, box);
    result.segmentation = crop_segmentation(input.segmentation, input.shape, box, mask);
  }
  result.image = crop_image(input.image, input.channels, input.shape, box);
  normalize(result.image, result.segmentation, plan.channels, is_contiguous(box, input.shape));

  const auto& axes = plan.transpose_forward;
  result.image = transposed(std::move(result.image), axes);
  result.properties = {
      input.spacing, reordered(input.shape, axes), {reordered(box.begin, axes), reordered(box.end, axes)}};
  const Spacing3 spacing = reordered(input.spacing, axes);
  const Spacing3 target = complete_spacing(plan.target_spacing, spacing);
  const Shape3 shape = resampled_shape(result.image.shape, spacing, target);
  const auto resample_apart = [&](const ResamplingRule& rule) {
    return separate_axis(spacing, target, rule.force_separate_z);
  };
  result.image =
      resample_image(std::move(result.image), shape, plan.image_resampling, resample_apart(plan.image_resampling));
  if (input.segmentation.empty()) return result;
  result.segmentation = transposed(std::move(result.segmentation), axes);
  result.segmentation = resample_segmentation(std::move(result.segmentation), shape, plan.segmentation_resampling,
                                              resample_apart(plan.segmentation_resampling));
  return result;
}

void append_one_hot(Volume<float>& image, const Volume<int16_t>& segmentation, int64_t labels) {
  image.channels += labels;
  image.values.reserve(static_cast<size_t>(image.channels * voxel_count(image.shape)));
  for (int64_t label = 1; label <= labels; ++label) {
    for (const int16_t value : segmentation.channel(0)) image.values.push_back(value == label ? 1.f : 0.f);
  }
}

}  // namespace voxgrad::preprocess
