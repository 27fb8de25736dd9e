// PyTorch's .pth container (zip of data.pkl and raw storages), as torch.save writes it and torch.load reads it.
#pragma once
#include <string>

#include "io/value.h"

namespace voxgrad::io {

/// Reads and verifies (CRC-32 of every record). Tensors are on the CPU; those that share a storage in the file share it
/// here. Throws Failure(ERR_CHECKPOINT) that names the file and the record if anything is damaged or missing.
Value read_torch_file(const std::string& path);

/// Writes atomically. Tensors that share a storage are stored once (nnU-Net's duplicated keys cost no space).
void write_torch_file(const std::string& path, const Value& value);

}  // namespace voxgrad::io
