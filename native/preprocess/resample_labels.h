// Resizing of label maps by the interpolated indicators of their labels.
#pragma once
#include "preprocess/resample.h"

namespace voxgrad::preprocess {

/// Each output voxel takes the label of the nearest input voxel.
Volume<int16_t> resize_labels_nearest(const Volume<int16_t>& labels, const Shape3& new_shape);

/// Linear indicators, added in the order in which SciPy adds them, so that ties are exactly its ties. Axes that keep
/// their extent are copied, so a slice-by-slice resize is the same call.
Volume<int16_t> resize_labels_linear(const Volume<int16_t>& labels, const Shape3& new_shape);

/// Spline indicators of any order, each resampled as an image with `rule`; an axis `apart` keeps its extent.
Volume<int16_t> resize_labels_spline(const Volume<int16_t>& labels, const Shape3& new_shape, const ResamplingRule& rule,
                                     std::optional<int> apart);

/// One axis alone with spline indicators: labels in ascending order overwrite where their indicator exceeds one half.
Volume<int16_t> resize_labels_along(const Volume<int16_t>& labels, int axis, int64_t new_extent, int order);

}  // namespace voxgrad::preprocess
