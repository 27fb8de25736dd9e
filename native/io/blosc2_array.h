// Blosc2 NDArray files (.b2nd) as nnU-Net stores preprocessed images and segmentations.
#pragma once
#include <string>
#include <vector>

#include "io/value.h"

namespace voxgrad::io {

/// Chunk and block shapes for an array.
struct Blosc2Layout {
  std::vector<int64_t> chunks;
  std::vector<int64_t> blocks;
};

/// nnU-Net's rule (comp_blosc2_params): shape (c, x, y, z), patch of 2 or 3 extents, bytes an element.
Blosc2Layout blosc2_layout(const std::vector<int64_t>& shape, const std::vector<int64_t>& patch, int64_t element_bytes);

/// Reads the whole array (float32, int8, uint8, int16, uint16, int32, int64 or float64) into a contiguous CPU tensor.
/// Checks header, sizes, codec and filters before decoding. Throws Failure(ERR_FORMAT) that names the file.
at::Tensor read_blosc2(const std::string& path);

/// An array's extents, from its header. Checks and throws as read_blosc2 does.
std::vector<int64_t> blosc2_shape(const std::string& path);

/// Reads the box [start, stop) of an array: only the chunks that it touches are read from the file, and of them only
/// the blocks that it touches are decoded. Checks and throws as read_blosc2 does.
at::Tensor read_blosc2_box(const std::string& path, const std::vector<int64_t>& start,
                           const std::vector<int64_t>& stop);

/// Writes atomically: LZ4HC level 5, one filter (none or SHUFFLE), chosen per array as nnU-Net does.
void write_blosc2(const std::string& path, const at::Tensor& array, const Blosc2Layout& layout);

}  // namespace voxgrad::io
