// What a cascade's training does to the previous stage's segmentation, so that the network does not trust it blindly.
// Source: batchgeneratorsv2/transforms/nnunet (ApplyRandomBinaryOperatorTransform,
// RemoveRandomConnectedComponentFromOneHotEncodingTransform).
#pragma once
#include <ATen/core/Tensor.h>

#include "augment/parameters.h"

namespace voxgrad::augment {

// Segmentations are contiguous int16 tensors (z, y, x) or (y, x) on the host, of labels from 0; they change in place.
// Since labels exclude each other, a label map says all that nnU-Net's one-hot channels do.

/// Dilates, erodes, closes or opens one label with a ball (in 2D a disk) of a radius in voxels, which need not be
/// whole. Voxels that it gains are lost to other labels, those it loses become background. Beyond the patch there is no
/// label to dilate from, and nothing that erodes.
void apply_binary_operator(at::Tensor& segmentation, const PreviousStageParameters::Operation& operation);

/// Makes one component of a label background, of those with less than `largest_share` of the patch's voxels. Components
/// connect by faces, edges and corners.
void remove_component(at::Tensor& segmentation, const PreviousStageParameters::Removal& removal, double largest_share);

/// All of them, in order.
void apply_previous_stage(at::Tensor& segmentation, const PreviousStageParameters& parameters, double largest_share);

}  // namespace voxgrad::augment
