// Resampling of images and segmentations to another grid, with the out-of-plane axis apart where voxels are
// anisotropic.
#pragma once
#include <optional>
#include <span>

#include "preprocess/volume.h"

namespace voxgrad::preprocess {

/// resampling_fn_*_kwargs of a plan.
struct ResamplingRule {
  bool is_segmentation = false;
  /// Spline order 0 to 5, and the order along an axis that is resampled apart.
  int order = 3;
  int order_z = 0;
  /// Unset: an axis is resampled apart where its spacing is more than 3 times the smallest one.
  std::optional<bool> force_separate_z;
};

/// Extents after a change of spacing, rounded half to even. Source: nnU-Net, default_resampling.py, compute_new_shape.
/// Throws Failure(ERR_DATASET) if nothing would be left of an axis.
Shape3 resampled_shape(const Shape3& shape, const Spacing3& spacing, const Spacing3& new_spacing);

/// The axis that is resampled apart from the two others, if any.
/// Source: nnU-Net, default_resampling.py, determine_do_sep_z_and_axis.
std::optional<int> separate_axis(const Spacing3& spacing, const Spacing3& new_spacing,
                                 const std::optional<bool>& force_separate_z);

/// One channel of intensities, resampled in float64 and limited to the range of the input (slice by slice where an axis
/// is apart). Source: nnU-Net, default_resampling.py, resample_data_or_seg; skimage.transform.resize(mode="edge").
std::vector<float> resample_channel(std::span<const float> channel, const Shape3& shape, const Shape3& new_shape,
                                    const ResamplingRule& rule, std::optional<int> apart);

/// All channels of an image; unchanged where the shape stays.
Volume<float> resample_image(Volume<float>&& image, const Shape3& new_shape, const ResamplingRule& rule,
                             std::optional<int> apart);

/// Labels: each label's 0/1 indicator is interpolated and the largest wins. Ties go to the nearest voxel's label if it
/// is among the tied ones, else to the smallest. Source: batchgenerators, augmentations/utils.py, resize_segmentation.
Volume<int16_t> resample_segmentation(Volume<int16_t>&& segmentation, const Shape3& new_shape,
                                      const ResamplingRule& rule, std::optional<int> apart);

}  // namespace voxgrad::preprocess
