// Which axes are resampled how; intensities through splines, labels through resample_labels.cpp.
#include "preprocess/resample.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "failure.h"
#include "preprocess/resample_labels.h"
#include "preprocess/spline.h"

namespace voxgrad::preprocess {

namespace {

/// Above this ratio of the largest to the smallest spacing the axis with the largest one is resampled apart.
constexpr double anisotropy_threshold = 3;

bool is_anisotropic(const Spacing3& spacing) {
  const auto [low, high] = std::minmax_element(spacing.begin(), spacing.end());
  return *high / *low > anisotropy_threshold;
}

/// The one axis with the largest spacing; none if several share it.
std::optional<int> lowest_resolution_axis(const Spacing3& spacing) {
  const double largest = *std::max_element(spacing.begin(), spacing.end());
  const auto is_largest = [&](double value) { return largest / value == 1; };
  if (std::count_if(spacing.begin(), spacing.end(), is_largest) != 1) return std::nullopt;
  return static_cast<int>(std::find_if(spacing.begin(), spacing.end(), is_largest) - spacing.begin());
}

struct Extents {
  int64_t outer, extent, inner;
};

Extents along(const Shape3& shape, int axis) {
  const int64_t outer = std::accumulate(shape.begin(), shape.begin() + axis, int64_t{1}, std::multiplies<>());
  return {outer, shape[axis], voxel_count(shape) / (outer * shape[axis])};
}

/// Limits `values` to the range of `reference`: as a whole, or slice by slice along `apart`.
void clip_to_range(std::vector<double>& values, const Shape3& shape, std::span<const float> reference,
                   const Shape3& reference_shape, std::optional<int> apart) {
  const Extents from = apart ? along(reference_shape, *apart) : Extents{1, 1, voxel_count(reference_shape)};
  const Extents to = apart ? along(shape, *apart) : Extents{1, 1, voxel_count(shape)};
  for (int64_t slice = 0; slice < from.extent; ++slice) {
    float low = reference[slice * from.inner], high = low;
    for (int64_t outer = 0; outer < from.outer; ++outer) {
      const float* row = reference.data() + (outer * from.extent + slice) * from.inner;
      const auto [row_low, row_high] = std::minmax_element(row, row + from.inner);
      low = std::min(low, *row_low);
      high = std::max(high, *row_high);
    }
    for (int64_t outer = 0; outer < to.outer; ++outer) {
      double* row = values.data() + (outer * to.extent + slice) * to.inner;
      for (int64_t i = 0; i < to.inner; ++i) row[i] = std::clamp<double>(row[i], low, high);
    }
  }
}

}  // namespace

Shape3 resampled_shape(const Shape3& shape, const Spacing3& spacing, const Spacing3& new_spacing) {
  Shape3 result;
  for (int axis = 0; axis < 3; ++axis) {
    result[axis] = static_cast<int64_t>(std::nearbyint(spacing[axis] / new_spacing[axis] * shape[axis]));
    if (result[axis] < 1)
      throw Failure("ERR_IMAGE", "expected at least one voxel along axis " + std::to_string(axis) +
                                     " after resampling, found none: " + std::to_string(shape[axis]) + " voxels of " +
                                     std::to_string(spacing[axis]) + " mm do not fill one of " +
                                     std::to_string(new_spacing[axis]) + " mm; check the spacing in the image file");
  }
  return result;
}

std::optional<int> separate_axis(const Spacing3& spacing, const Spacing3& new_spacing,
                                 const std::optional<bool>& force_separate_z) {
  if (force_separate_z) return *force_separate_z ? lowest_resolution_axis(spacing) : std::nullopt;
  if (is_anisotropic(spacing)) return lowest_resolution_axis(spacing);
  if (is_anisotropic(new_spacing)) return lowest_resolution_axis(new_spacing);
  return std::nullopt;
}

std::vector<float> resample_channel(std::span<const float> channel, const Shape3& shape, const Shape3& new_shape,
                                    const ResamplingRule& rule, std::optional<int> apart) {
  std::vector<int> axes;
  for (int axis = 0; axis < 3; ++axis)
    if (axis != apart && shape[axis] != new_shape[axis]) axes.push_back(axis);
  // The axis that shrinks most goes first, which leaves the least work for the others.
  std::sort(axes.begin(), axes.end(), [&](int a, int b) { return new_shape[a] * shape[b] < new_shape[b] * shape[a]; });
  std::vector<double> values;
  Shape3 current = shape;
  const auto resize = [&](int axis, int order) {
    const Extents e = along(current, axis);
    values = values.empty() ? resize_axis(channel.data(), e.outer, e.extent, e.inner, new_shape[axis], order)
                            : resize_axis(values.data(), e.outer, e.extent, e.inner, new_shape[axis], order);
    current[axis] = new_shape[axis];
  };
  for (const int axis : axes) resize(axis, rule.order);
  if (!axes.empty()) clip_to_range(values, current, channel, shape, apart);
  if (apart && shape[*apart] != new_shape[*apart]) resize(*apart, rule.order_z);
  if (values.empty()) return {channel.begin(), channel.end()};
  return {values.begin(), values.end()};
}

Volume<float> resample_image(Volume<float>&& image, const Shape3& new_shape, const ResamplingRule& rule,
                             std::optional<int> apart) {
  if (image.shape == new_shape) return std::move(image);
  Volume<float> result(image.channels, new_shape);
  for (int64_t c = 0; c < image.channels; ++c) {
    const std::vector<float> channel = resample_channel(image.channel(c), image.shape, new_shape, rule, apart);
    std::copy(channel.begin(), channel.end(), result.channel(c).begin());
  }
  return result;
}

Volume<int16_t> resample_segmentation(Volume<int16_t>&& segmentation, const Shape3& new_shape,
                                      const ResamplingRule& rule, std::optional<int> apart) {
  if (segmentation.shape == new_shape) return std::move(segmentation);
  Volume<int16_t> current = std::move(segmentation);
  Shape3 in_plane = new_shape;
  if (apart) in_plane[*apart] = current.shape[*apart];
  if (current.shape != in_plane) {
    if (rule.order == 0)
      current = resize_labels_nearest(current, in_plane);
    else if (rule.order == 1)
      current = resize_labels_linear(current, in_plane);
    else
      current = resize_labels_spline(current, in_plane, rule, apart);
  }
  if (current.shape == new_shape) return current;
  return rule.order_z == 0 ? resize_labels_nearest(current, new_shape)
                           : resize_labels_along(current, *apart, new_shape[*apart], rule.order_z);
}

}  // namespace voxgrad::preprocess
