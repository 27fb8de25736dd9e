// Whole-file reads and atomic writes: temporary file in the same folder, fsync, rename, fsync of the folder.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace voxgrad::io {

/// Throws Failure: ERR_FORMAT if it does not exist, ERR_DISK if it cannot be read.
std::string read_file(const std::string& path);

/// Appends bytes to the file that is being written.
using Sink = std::function<void(const void* bytes, size_t count)>;

/// Calls `write` with a sink into a temporary file beside `path`, then makes it `path` in one step. On any failure the
/// temporary file is removed, the old file is untouched, and Failure(ERR_DISK) says what failed. `expected_bytes` (0 if
/// unknown) is reserved first, so that a full disk is noticed before anything is written.
void write_atomically(const std::string& path, uint64_t expected_bytes, const std::function<void(const Sink&)>& write);
void write_atomically(const std::string& path, std::string_view bytes);

}  // namespace voxgrad::io
