// Resizing along one axis by B-spline interpolation, as scipy.ndimage.zoom(grid_mode=True, mode="nearest") samples.
// A resize in several dimensions is this along one axis after the other, because the spline is a product.
#pragma once
#include <cstdint>
#include <vector>

#include "preprocess/volume.h"

namespace voxgrad::preprocess {

/// Where the output voxels of a resize from `extent` to `new_extent` lie on the input axis, in voxels:
/// (i + 0.5) * extent / new_extent - 0.5, rounded as SciPy rounds it.
std::vector<double> sample_positions(int64_t extent, int64_t new_extent);

/// The index of the input voxel next to each output voxel (order 0); halves go up.
std::vector<int64_t> nearest_indices(int64_t extent, int64_t new_extent);

/// Resizes one axis of a volume of doubles (outer, extent, inner) with a spline of order 0 to 5. For order 2 and more
/// the axis is continued with its edge values before the spline coefficients are computed. Input is float or double.
/// Source of the filter: M. Unser, "Splines: a perfect fit for signal and image processing", 1999.
template <class Input>
std::vector<double> resize_axis(const Input* input, int64_t outer, int64_t extent, int64_t inner, int64_t new_extent,
                                int order);

}  // namespace voxgrad::preprocess
