// Whole-file reads and atomic writes on POSIX calls.
#include "io/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "failure.h"

namespace voxgrad::io {

namespace {

[[noreturn]] void throw_write_failure(const std::string& path, const std::string& action, int error_number,
                                      uint64_t bytes) {
  std::string message = "cannot write " + path + ": " + action + " failed: " + std::strerror(error_number);
  if (error_number == ENOSPC || error_number == EDQUOT) {
    message += " (the file needs " + std::to_string(bytes) + " bytes); free some space and try again";
  } else if (error_number == ENOENT) {
    message += ", because the folder does not exist";
  }
  throw Failure(disk_code(error_number), message);
}

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string temporary_path(const std::string& path) {
  static std::atomic<uint64_t> counter{0};
  const size_t name = path.rfind('/') == std::string::npos ? 0 : path.rfind('/') + 1;
  return path.substr(0, name) + "." + path.substr(name) + "." + std::to_string(getpid()) + "-" +
         std::to_string(counter++) + ".tmp";
}

/// The temporary file; unless it was committed, its end removes it.
class OutputFile {
 public:
  explicit OutputFile(const std::string& path) : path_(path), temporary_(temporary_path(path)) {
    descriptor_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ < 0) throw_write_failure(path_, "creating a temporary file beside it", errno, 0);
  }

  ~OutputFile() {
    if (descriptor_ >= 0) close(descriptor_);
    if (!committed_) unlink(temporary_.c_str());
  }

  void reserve(uint64_t bytes) {
    expected_ = bytes;
    if (bytes == 0) return;
    int result;
    do {
      result = fallocate(descriptor_, 0, 0, static_cast<off_t>(bytes));
    } while (result != 0 && errno == EINTR);
    // Other errors mean that this file system cannot reserve; the writes then tell whether there is room.
    if (result != 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG || errno == EIO)) {
      throw_write_failure(path_, "reserving space", errno, bytes);
    }
  }

  void append(const void* bytes, size_t count) {
    const char* next = static_cast<const char*>(bytes);
    while (count > 0) {
      const ssize_t done = ::write(descriptor_, next, std::min<size_t>(count, size_t{1} << 30));
      if (done < 0) {
        if (errno == EINTR) continue;
        throw_write_failure(path_, "writing", errno, std::max<uint64_t>(expected_, written_ + count));
      }
      next += done;
      count -= static_cast<size_t>(done);
      written_ += static_cast<uint64_t>(done);
    }
  }

  void commit() {
    if (written_ < expected_ && ftruncate(descriptor_, static_cast<off_t>(written_)) != 0) {
      throw_write_failure(path_, "setting the length", errno, written_);
    }
    if (fsync(descriptor_) != 0) throw_write_failure(path_, "fsync", errno, written_);
    const int closed = close(descriptor_);
    descriptor_ = -1;
    if (closed != 0 && errno != EINTR) throw_write_failure(path_, "closing", errno, written_);
    if (rename(temporary_.c_str(), path_.c_str()) != 0) throw_write_failure(path_, "renaming to it", errno, written_);
    committed_ = true;
    sync_folder();
  }

 private:
  void sync_folder() {
    const int folder = open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) throw_write_failure(path_, "opening its folder", errno, written_);
    const int error_number = fsync(folder) == 0 ? 0 : errno;
    close(folder);
    // EINVAL: this file system has no fsync for folders.
    if (error_number != 0 && error_number != EINVAL) {
      throw_write_failure(path_, "fsync of its folder", error_number, written_);
    }
  }

  std::string path_;
  std::string temporary_;
  int descriptor_ = -1;
  bool committed_ = false;
  uint64_t expected_ = 0;
  uint64_t written_ = 0;
};

}  // namespace

InputFile::InputFile(const std::string& path) : path_(path) {
  // Non-blocking, so that a named pipe is refused below and not waited for.
  descriptor_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) throw_system_failure("open", path, errno);
  struct stat status;
  if (fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(descriptor_);
    throw Failure("ERR_FORMAT", "cannot read " + path + ": it is not a regular file");
  }
  size_ = static_cast<uint64_t>(status.st_size);
}

InputFile::~InputFile() { close(descriptor_); }

void InputFile::read(uint64_t offset, void* bytes, size_t count) const {
  char* next = static_cast<char*>(bytes);
  while (count > 0) {
    const ssize_t done = pread(descriptor_, next, std::min<size_t>(count, size_t{1} << 30), static_cast<off_t>(offset));
    if (done < 0) {
      if (errno == EINTR) continue;
      throw_system_failure("read", path_, errno);
    }
    if (done == 0) throw Failure("ERR_FORMAT", path_ + " is truncated: it ends at byte " + std::to_string(offset));
    next += done;
    count -= static_cast<size_t>(done);
    offset += static_cast<uint64_t>(done);
  }
}

std::string read_file(const std::string& path) {
  const InputFile file(path);
  std::string bytes(file.size(), '\0');
  file.read(0, bytes.data(), bytes.size());
  return bytes;
}

void write_atomically(const std::string& path, uint64_t expected_bytes, const std::function<void(const Sink&)>& write) {
  OutputFile file(path);
  file.reserve(expected_bytes);
  write([&file](const void* bytes, size_t count) { file.append(bytes, count); });
  file.commit();
}

void write_atomically(const std::string& path, std::string_view bytes) {
  write_atomically(path, bytes.size(), [&](const Sink& sink) { sink(bytes.data(), bytes.size()); });
}

}  // namespace voxgrad::io
