// The spatial transform: from the initial patch to the patch by rotation, scaling and cropping about the center.
#pragma once
#include <ATen/core/Tensor.h>

#include "augment/parameters.h"

namespace voxgrad::augment {

/// image: float32 (c, z, y, x); segmentation: (z, y, x), -1 where there is no image. 2D configurations drop z in both.
struct Sample {
  at::Tensor image;
  at::Tensor segmentation;
};

/// Image: linear interpolation, 0 outside. Segmentation: the label with the most interpolated weight, -1 outside; where
/// weights tie in float16, the nearest voxel's label if it is among them, else the smallest. With nearest_image or
/// nearest_labels: the nearest voxel's value. Both lie on one device, and nothing is read from it. The inputs stay as
/// they are; the outputs may be views of them. Method: batchgeneratorsv2's SpatialTransform. patch_size: as many
/// extents as the segmentation has axes. Throws Failure(ERR_CONFIG) where shapes do not fit.
Sample apply_spatial(const at::Tensor& image, const at::Tensor& segmentation, const SpatialParameters& parameters,
                     at::IntArrayRef patch_size);

/// The same for a segmentation alone, such as a previous stage's.
at::Tensor apply_spatial(const at::Tensor& segmentation, const SpatialParameters& parameters,
                         at::IntArrayRef patch_size);

}  // namespace voxgrad::augment
