// The ops with kernels of their own, called through the dispatcher: a CPU kernel each (functor and launcher), and for
// any other device the same computation composed of ATen's ops, which also is the independent check of the kernel.
#pragma once
#include <ATen/core/Tensor.h>

#include <tuple>

#include "kernels/draw.h"

namespace voxgrad {

/// Resamples image (c, z, y, x) float32 and labels (n, z, y, x) of any type on a grid of output extents. matrix: 9
/// numbers, row-major, from output to input offsets about the centers, in voxels. See kernels/warp.h for the rules.
/// nearest_*: the nearest voxel's value in place of interpolation.
std::tuple<at::Tensor, at::Tensor> warp(const at::Tensor& image, const at::Tensor& labels, at::ArrayRef<double> matrix,
                                        at::IntArrayRef output, bool nearest_image, bool nearest_labels);

/// In place: adds standard_deviation times a normal field, number i to element i, to a contiguous float32 tensor.
void add_normal_field(at::Tensor& values, double standard_deviation, const Draw& draw);

}  // namespace voxgrad
