// PyTorch's .pth container (zip of data.pkl and raw storages), as torch.save writes it and torch.load reads it.
#pragma once
#include <string>
#include <vector>

#include "io/stored_zip.h"
#include "io/value.h"

namespace voxgrad::io {

/// Reads and verifies (see io/stored_zip.h). Tensors are on the CPU; those that share a storage in the file share it
/// here. Throws Failure(ERR_CHECKPOINT) that names the file and the record if anything is damaged or missing.
Value read_torch_file(const std::string& path);

/// A tree of values as torch.save would write it, ready to be written to any path. Tensors that share a storage are
/// stored once (nnU-Net's duplicated keys cost no space).
class TorchFile {
 public:
  /// Tensors on the CPU are kept, not copied: they must not change until the file is written.
  explicit TorchFile(const Value& value);

  /// Memory that it holds.
  uint64_t bytes() const;
  /// Writes atomically (io/files.h). As with torch.save, the container's top folder has the file's name.
  void write(const std::string& path) const;

 private:
  std::vector<ZipSource> records(const std::string& path) const;

  std::string pickle_;
  std::vector<at::Tensor> storages_;
};

void write_torch_file(const std::string& path, const Value& value);

}  // namespace voxgrad::io
