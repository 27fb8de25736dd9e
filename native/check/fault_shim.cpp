// For tests, by LD_PRELOAD: ends the process at, or fails, a chosen one of its file operations.
//   VOXGRAD_FAULT_PATH=TEXT     counts write, pwrite, writev, pwritev, fsync, fdatasync, rename, fallocate and
//   ftruncate
//                               (and their variants) on files and folders whose path contains TEXT; of a rename, the
//                               new path. Without it nothing is counted.
//   VOXGRAD_FAULT_AT=N          the operation, from 1, at which
//   VOXGRAD_FAULT_ACTION=kill   the process kills itself (SIGKILL) before it, or
//     ENOSPC or EIO, and :M     it and the next ones (M in all, by default 1) fail with this error
//   VOXGRAD_FAULT_COUNT=FILE    writes the number of counted operations there at the end of the process
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

struct Plan {
  const char* path = std::getenv("VOXGRAD_FAULT_PATH");
  const char* count_file = std::getenv("VOXGRAD_FAULT_COUNT");
  long at = 0, times = 1;
  int error_number = 0;  // 0: kill

  Plan() {
    if (const char* number = std::getenv("VOXGRAD_FAULT_AT")) at = std::atol(number);
    const char* action = std::getenv("VOXGRAD_FAULT_ACTION");
    if (action == nullptr) return;
    if (!std::strncmp(action, "ENOSPC", 6)) error_number = ENOSPC;
    if (!std::strncmp(action, "EIO", 3)) error_number = EIO;
    if (const char* colon = std::strchr(action, ':')) times = std::atol(colon + 1);
  }
};

const Plan& plan() {
  static const Plan plan;
  return plan;
}

std::atomic<long> counted{0};

/// The error that the operation on `path` is to fail with; 0: it goes ahead.
int fault_on(const char* path) {
  if (plan().path == nullptr || std::strstr(path, plan().path) == nullptr) return 0;
  const long number = ++counted;
  if (number < plan().at || number >= plan().at + plan().times) return 0;
  if (plan().error_number == 0) kill(getpid(), SIGKILL);
  return plan().error_number;
}

int fault_on(int descriptor) {
  if (plan().path == nullptr) return 0;
  const int caller_error = errno;
  char link[64], path[PATH_MAX];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  errno = caller_error;
  if (length < 0) return 0;
  path[length] = '\0';
  return fault_on(path);
}

/// The libc's own function of this name.
template <class Function>
Function* real(Function*, const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

__attribute__((destructor)) void write_count() {
  if (plan().count_file == nullptr) return;
  char text[32];
  const int length = std::snprintf(text, sizeof text, "%ld\n", counted.load());
  const int file = open(plan().count_file, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  if (file < 0) return;
  if (real(&::write, "write")(file, text, static_cast<size_t>(length)) < 0) std::perror("fault_shim");
  close(file);
}

}  // namespace

// An operation that reports an error by -1 and errno.
#define VOXGRAD_INTERPOSE(result, name, parameters, qualifier, target, ...)            \
  extern "C" __attribute__((visibility("default"))) result name parameters qualifier { \
    static auto* const next = real(&::name, #name);                                    \
    if (const int error_number = fault_on(target)) {                                   \
      errno = error_number;                                                            \
      return -1;                                                                       \
    }                                                                                  \
    return next(__VA_ARGS__);                                                          \
  }

// One that returns the error's number.
#define VOXGRAD_INTERPOSE_RETURNING(name, offset)                                                   \
  extern "C" __attribute__((visibility("default"))) int name(int file, offset from, offset bytes) { \
    static auto* const next = real(&::name, #name);                                                 \
    if (const int error_number = fault_on(file)) return error_number;                               \
    return next(file, from, bytes);                                                                 \
  }

VOXGRAD_INTERPOSE(ssize_t, write, (int file, const void* bytes, size_t count), , file, file, bytes, count)
VOXGRAD_INTERPOSE(ssize_t, pwrite, (int file, const void* bytes, size_t count, off_t at), , file, file, bytes, count,
                  at)
VOXGRAD_INTERPOSE(ssize_t, pwrite64, (int file, const void* bytes, size_t count, off64_t at), , file, file, bytes,
                  count, at)
VOXGRAD_INTERPOSE(ssize_t, writev, (int file, const iovec* parts, int count), , file, file, parts, count)
VOXGRAD_INTERPOSE(ssize_t, pwritev, (int file, const iovec* parts, int count, off_t at), , file, file, parts, count, at)
VOXGRAD_INTERPOSE(ssize_t, pwritev64, (int file, const iovec* parts, int count, off64_t at), , file, file, parts, count,
                  at)
VOXGRAD_INTERPOSE(int, fsync, (int file), , file, file)
VOXGRAD_INTERPOSE(int, fdatasync, (int file), , file, file)
VOXGRAD_INTERPOSE(int, fallocate, (int file, int mode, off_t at, off_t bytes), , file, file, mode, at, bytes)
VOXGRAD_INTERPOSE(int, fallocate64, (int file, int mode, off64_t at, off64_t bytes), , file, file, mode, at, bytes)
VOXGRAD_INTERPOSE(int, ftruncate, (int file, off_t bytes), noexcept, file, file, bytes)
VOXGRAD_INTERPOSE(int, ftruncate64, (int file, off64_t bytes), noexcept, file, file, bytes)
VOXGRAD_INTERPOSE(int, rename, (const char* from, const char* to), noexcept, to, from, to)
VOXGRAD_INTERPOSE(int, renameat, (int folder, const char* from, int to_folder, const char* to), noexcept, to, folder,
                  from, to_folder, to)
VOXGRAD_INTERPOSE(int, renameat2, (int folder, const char* from, int to_folder, const char* to, unsigned flags),
                  noexcept, to, folder, from, to_folder, to, flags)
VOXGRAD_INTERPOSE_RETURNING(posix_fallocate, off_t)
VOXGRAD_INTERPOSE_RETURNING(posix_fallocate64, off64_t)
