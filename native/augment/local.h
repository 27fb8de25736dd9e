// Transforms of a part of one channel of an image (c, z, y, x) or (c, y, x), float32, in place and on the image's
// device. Methods and constants: batchgeneratorsv2 (noise/blank_rectangle, local/brightness_gradient,
// local/local_gamma).
#pragma once
#include <ATen/core/Tensor.h>

#include "augment/parameters.h"

namespace voxgrad::augment {

/// Fills a box with the mean of what is in it.
void blank_rectangle(at::Tensor& image, int64_t channel, const Rectangle& rectangle);

/// A Gaussian's integral over every voxel of an image of these extents, brought to [0, 1] over the image; 0 everywhere
/// where it is constant.
at::Tensor bump_weights(const Bump& bump, at::IntArrayRef extents, const at::TensorOptions& options);

/// Adds strength times the bump.
void brightness_gradient(at::Tensor& image, int64_t channel, double strength, const Bump& bump);

/// Raises the channel, brought to [0, 1], to a power where the bump is 1, leaves it alone where it is 0, and blends in
/// between.
void local_gamma(at::Tensor& image, int64_t channel, double exponent, const Bump& bump);

}  // namespace voxgrad::augment
