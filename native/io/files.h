// Whole-file reads and atomic writes: temporary file in the same folder, fsync, rename, fsync of the folder.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace voxgrad::io {

/// A file open for reading at any position. Not copied; closed at the end of its life.
class InputFile {
 public:
  /// Throws Failure: ERR_FORMAT if it does not exist or is no regular file, ERR_DISK if it cannot be read.
  explicit InputFile(const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }
  /// Reads exactly `count` bytes. Throws Failure: ERR_FORMAT if the file ends before, ERR_DISK if the read fails.
  void read(uint64_t offset, void* bytes, size_t count) const;

 private:
  std::string path_;
  int descriptor_;
  uint64_t size_;
};

/// Throws as InputFile does.
std::string read_file(const std::string& path);

/// Appends bytes to the file that is being written.
using Sink = std::function<void(const void* bytes, size_t count)>;

/// Calls `write` with a sink into a temporary file beside `path`, then makes it `path` in one step. On any failure the
/// temporary file is removed, the old file is untouched, and Failure(ERR_DISK) says what failed. `expected_bytes` (0 if
/// unknown) is reserved first, so that a full disk is noticed before anything is written.
void write_atomically(const std::string& path, uint64_t expected_bytes, const std::function<void(const Sink&)>& write);
void write_atomically(const std::string& path, std::string_view bytes);

}  // namespace voxgrad::io
