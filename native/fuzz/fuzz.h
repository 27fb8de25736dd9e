// What the fuzz targets share.
#pragma once
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>

#include "failure.h"

namespace voxgrad::fuzz {

/// A reader may refuse an input with a Failure that has words for the user. Anything else that it throws is a fault.
inline void read(const std::function<void()>& reader) {
  try {
    reader();
  } catch (const Failure& failure) {
    if (std::string(failure.what()).size() < 10 || failure.code() == "ERR_INTERNAL") throw;
  }
}

/// A file in memory with these bytes.
class File {
 public:
  File(const uint8_t* data, size_t size) : descriptor_(memfd_create("input", MFD_CLOEXEC)) {
    if (descriptor_ < 0 || write(descriptor_, data, size) != static_cast<ssize_t>(size)) std::abort();
  }
  ~File() { close(descriptor_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

}  // namespace voxgrad::fuzz
