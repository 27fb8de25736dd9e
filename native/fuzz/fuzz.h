// What the fuzz targets share.
#pragma once
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

#include "failure.h"

namespace voxgrad::fuzz {

/// Of the processor, so that a busy machine makes no reader slow. What does not end at all is libFuzzer's to notice.
inline double seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

/// A reader may refuse an input with a Failure that has words for the user. Anything else that it throws is a fault,
/// and so is more than a second.
inline void read(const std::function<void()>& reader) {
  const double begin = seconds();
  try {
    reader();
  } catch (const Failure& failure) {
    if (std::string(failure.what()).size() < 10 || failure.code() == "ERR_INTERNAL") throw;
  }
  const double took = seconds() - begin;
  if (took > 1) {
    std::fprintf(stderr, "reading took %.2f s of the processor\n", took);
    std::abort();
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
