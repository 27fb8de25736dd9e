// The augmentation chain after the spatial transform, in nnU-Net's order: quarter turn, transposition, noise, blur or
// median filter (in DA5 before noise), brightness, contrast, low resolution, gamma of the inverted image, gamma,
// mirroring, blank rectangles, brightness gradient, local gamma, sharpening, masking, removal of label -1, and in a
// cascade the changes of the previous stage.
#pragma once
#include "augment/intensity.h"
#include "augment/local.h"
#include "augment/previous_stage.h"
#include "augment/spatial.h"

namespace voxgrad::augment {

/// Turns image and segmentation by `turns` times 90 degrees in a plane of two spatial axes (counted from 0, the first
/// toward the second), as at::rot90 does.
Sample quarter_turn(const Sample& sample, int64_t turns, const std::array<int64_t, 2>& plane);

/// Reorders the spatial axes: axis i of the result is axis order[i] of the sample. Returns views.
Sample transpose(const Sample& sample, at::IntArrayRef order);

/// Applies drawn intensity parameters to the image in place. The noise field is addressed by `address`. flip: how the
/// image has been mirrored already.
void apply_intensity(at::Tensor& image, const IntensityParameters& parameters, bool dummy2d, const Address& address,
                     const Flip& flip = {});

/// Flips image and segmentation along spatial axes (counted from 0). Returns new tensors, or the same if there are
/// none.
Sample mirror(const Sample& sample, at::IntArrayRef axes);

/// Applies what DA5 does after mirroring, in place.
void apply_local(at::Tensor& image, const LocalParameters& parameters);

/// In place: image = 0 where the segmentation is negative, in the channels named by `mask_image`.
void apply_mask_image(at::Tensor& image, const at::Tensor& segmentation, const std::vector<bool>& mask_image);

/// In place: label -1 (no image there) becomes background.
void remove_label(at::Tensor& segmentation);

/// Whether a sample may be mirrored before all else: not with DA5's transforms that exchange axes or are not symmetric.
bool can_mirror_first(const AugmentationConfig& config);

/// The axes (z, y, x) along which a sample is mirrored.
Flip draw_flip(const AugmentationConfig& config, int64_t dimensions, const Address& address);

/// Whether label -1 sets any channel to 0 (maskImage). Where it does not, a gather may make it background right away.
bool masks_any(const AugmentationConfig& config);

/// The quarter turn and transposition of a sample, on labels alone.
at::Tensor exchange_axes(const at::Tensor& labels, const AugmentationConfig& config, const Address& address);

/// Whether a sample has been mirrored already (and its label -1 removed, unless masks_any), and how.
struct Mirrored {
  bool done = false;
  Flip flip{};
};

/// The whole chain after apply_spatial, but for a previous stage. Takes the sample over: its tensors may be changed in
/// place and must not be views of data that is used again. A sample that has been mirrored (see can_mirror_first) is
/// changed in place throughout. With config.enabled false, only label -1 is removed. Nothing is read from the device.
Sample augment(Sample sample, const AugmentationConfig& config, const Address& address, const Mirrored& mirrored = {});

/// In place: what is done to a previous stage's segmentation of `labels` foreground labels, contiguous and mirrored.
void augment_previous(at::Tensor& previous, const AugmentationConfig& config, const Address& address, int64_t labels);

}  // namespace voxgrad::augment
