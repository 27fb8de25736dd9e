// flock, and the check that what was locked is still what the path names.
#include "io/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "failure.h"

namespace voxgrad::io {

namespace {

[[noreturn]] void refuse(const std::string& path, int error_number) {
  throw Failure(disk_code(error_number), "cannot lock " + path + ": " + std::strerror(error_number));
}

template <class Call>
int retried(const Call& call) {
  int result;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result;
}

/// Whether the path names the open file. An owner may remove the file before it lets go of the lock, so that the lock
/// of the file that was opened excludes nobody who comes later.
bool is_at(const std::string& path, int descriptor) {
  struct stat opened, named;
  if (fstat(descriptor, &opened) != 0 || stat(path.c_str(), &named) != 0) return false;
  return opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

}  // namespace

std::optional<int> lock_file(const std::string& path) {
  for (;;) {
    const int descriptor = retried([&] { return open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666); });
    if (descriptor < 0) refuse(path, errno);
    const int error_number = retried([&] { return flock(descriptor, LOCK_EX | LOCK_NB); }) == 0 ? 0 : errno;
    const bool current = is_at(path, descriptor);
    if (error_number == 0 && current) return descriptor;
    close(descriptor);
    if (error_number != 0 && error_number != EWOULDBLOCK) refuse(path, error_number);
    if (current) return std::nullopt;
  }
}

}  // namespace voxgrad::io
