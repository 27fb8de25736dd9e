// The augmentation chain after the spatial transform, in nnU-Net's order: noise, blur, brightness, contrast, low
// resolution, gamma of the inverted image, gamma, mirroring, masking, removal of label -1.
#pragma once
#include "augment/intensity.h"
#include "augment/spatial.h"

namespace voxgrad::augment {

/// Applies drawn intensity parameters to the image in place. The noise field is addressed by `address`.
void apply_intensity(at::Tensor& image, const IntensityParameters& parameters, bool dummy2d, const Address& address);

/// Flips image and segmentation along spatial axes (counted from 0). Returns new tensors, or the same if there are
/// none.
Sample mirror(const Sample& sample, at::IntArrayRef axes);

/// In place: image = 0 where the segmentation is negative, in the channels named by `mask_image`.
void apply_mask_image(at::Tensor& image, const at::Tensor& segmentation, const std::vector<bool>& mask_image);

/// In place: label -1 (no image there) becomes background.
void remove_label(at::Tensor& segmentation);

/// The whole chain after apply_spatial. Takes the sample over: its tensors may be changed in place and must not be
/// views of data that is used again. With config.enabled false, only label -1 is removed. Nothing is read from the
/// device.
Sample augment(Sample sample, const AugmentationConfig& config, const Address& address);

}  // namespace voxgrad::augment
