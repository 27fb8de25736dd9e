// Reads and writes Python pickles without Python. The reader is an allow-list: it builds plain values, numpy arrays and
// scalars and torch tensors, and refuses every other global by name, so that no file can execute anything.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "io/value.h"

namespace voxgrad::io {

/// Finds the bytes of a torch storage: (dtype name such as "FloatStorage", key such as "3", element count) -> 1-D
/// tensor.
using StorageReader = std::function<at::Tensor(const std::string& storage_type, const std::string& key, int64_t count)>;
/// Stores a tensor's storage and returns its key.
using StorageWriter = std::function<std::string(const at::Tensor& tensor)>;

/// Decodes protocols 0 to 5 as far as nnU-Net and torch use them. numpy scalars become numbers.
/// `origin` names the file in errors. Throws Failure(ERR_FORMAT) on damage or on a global that is not on the list.
Value read_pickle(std::string_view bytes, const std::string& origin, const StorageReader& storage = {});

/// Encodes with protocol 2 (what torch.save and every Python 3 reads). TorchTensor values need `storage`.
std::string write_pickle(const Value& value, const StorageWriter& storage = {});

}  // namespace voxgrad::io
