// The crop to the nonzero region of an image, and the mask that marks what lies outside of it.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "preprocess/volume.h"

namespace voxgrad::preprocess {

/// The smallest box that holds every voxel that is nonzero in any channel; the full extent if there is none.
/// image: (channels, a0, a1, a2). Throws Failure(ERR_DATASET) if a value is not finite.
Box nonzero_box(std::span<const float> image, int64_t channels, const Shape3& shape);

/// 1 where any channel is nonzero and in holes of that region, else 0, in the extents of `box` = nonzero_box(image).
/// A hole is a region of zeros that faces do not connect to the border of the image.
/// Source: nnU-Net, preprocessing/cropping/cropping.py, create_nonzero_mask.
std::vector<uint8_t> nonzero_mask(std::span<const float> image, int64_t channels, const Shape3& shape, const Box& box);

/// The image inside the box.
Volume<float> crop_image(std::span<const float> image, int64_t channels, const Shape3& shape, const Box& box);

/// The labels inside the box as int16, with -1 at background voxels outside the mask. An empty `segmentation` counts as
/// background everywhere. Throws Failure(ERR_DATASET) for a label that is no integer of int16.
Volume<int16_t> crop_segmentation(std::span<const float> segmentation, const Shape3& shape, const Box& box,
                                  std::span<const uint8_t> mask);

}  // namespace voxgrad::preprocess
