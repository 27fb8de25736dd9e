// NumPy's .npy files, and a preprocessed case's arrays in whichever form nnU-Net left them.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace voxgrad::io {

/// Reads a little-endian array in C order into a contiguous CPU tensor. Throws Failure(ERR_FORMAT) that names the file.
at::Tensor read_npy(const std::string& path);

/// The box [start, stop) of an array of four axes, contiguous; whole planes (y, x) are read. Throws as read_npy does.
at::Tensor read_npy_box(const std::string& path, const std::vector<int64_t>& start, const std::vector<int64_t>& stop);

/// Reads STEM.b2nd, or STEM.npy where there is no such file (nnU-Net's older layout, unpacked).
at::Tensor read_case_array(const std::string& stem);

/// Its extents, from the header.
std::vector<int64_t> case_array_shape(const std::string& stem);

/// The box [start, stop) of it, contiguous; of a 4D array in .npy whole planes (y, x) are read.
at::Tensor read_case_box(const std::string& stem, const std::vector<int64_t>& start, const std::vector<int64_t>& stop);

}  // namespace voxgrad::io
