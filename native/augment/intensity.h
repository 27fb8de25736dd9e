// Intensity transforms of one image (c, z, y, x) or (c, y, x), float32, in place and on the image's device. Statistics
// stay on the device. Methods and constants: batchgeneratorsv2 (transforms/intensity, noise, spatial/low_resolution).
#pragma once
#include <ATen/core/Tensor.h>

#include <array>
#include <vector>

#include "kernels/draw.h"

namespace voxgrad::augment {

/// Axes (z, y, x) along which an image has been mirrored already. What depends on a voxel's position then acts as if
/// the image were mirrored afterwards; all else does so anyway.
using Flip = std::array<bool, 3>;

/// Adds independent normal noise of one standard deviation to all channels of a contiguous image; number i of the field
/// belongs to voxel i of the image in memory order.
void gaussian_noise(at::Tensor& image, double standard_deviation, const Address& address, const Flip& flip = {});

/// Convolves one channel with a Gaussian along each spatial axis in turn, reflecting at the border.
/// sigmas: one per spatial axis, in voxels. Throws Failure(ERR_CONFIG) where an axis is shorter than half the kernel.
void gaussian_blur(at::Tensor& image, int64_t channel, at::ArrayRef<double> sigmas);

/// The number of weights of the blur for one sigma: 6 sigma + 0.5 to the nearest odd number.
int64_t blur_kernel_size(double sigma);

/// Replaces each voxel of one channel by the median of the cube of `size` voxels an axis around it; of an even number
/// of voxels, by the larger of the two in the middle. An even cube reaches one voxel further toward index 0. The border
/// repeats mirrored, edge voxels included. Throws Failure(ERR_CONFIG) where an axis is shorter than half the cube.
void median_filter(at::Tensor& image, int64_t channel, int64_t size);

/// Multiplies one channel.
void brightness(at::Tensor& image, int64_t channel, double factor);

/// Shifts one channel.
void additive_brightness(at::Tensor& image, int64_t channel, double shift);

/// Scales one channel about its mean. clamp: to its range before.
void contrast(at::Tensor& image, int64_t channel, double factor, bool clamp);

/// Samples one channel down to the nearest voxels and linearly up again. keep_axis_0: axis 0 keeps its extent.
void low_resolution(at::Tensor& image, int64_t channel, double scale, bool keep_axis_0, const Flip& flip = {});

/// Raises one channel, brought to [0, 1], to a power, and gives it its mean and standard deviation back.
/// invert: acts on the negative image.
void gamma(at::Tensor& image, int64_t channel, double exponent, bool invert);

/// Adds `strength` times what the nearest neighbors differ by from each voxel of one channel (the negative Laplacian);
/// beyond the border is the edge voxel.
void sharpening(at::Tensor& image, int64_t channel, double strength);

}  // namespace voxgrad::augment
