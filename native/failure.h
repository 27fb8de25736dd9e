// The one exception type of the native code. It crosses to TypeScript as an Error with the same `code` (src/errors.ts).
#pragma once
#include <stdexcept>
#include <string>

namespace voxgrad {

/// Codes: ERR_CONFIG (a wrong option), ERR_DATASET (faulty input data), ERR_FORMAT (a damaged or foreign file),
/// ERR_CHECKPOINT (a checkpoint that does not fit), ERR_DISK (no space, read-only, failed write), ERR_DEVICE,
/// ERR_OUT_OF_MEMORY, ERR_NON_FINITE (weights that are not finite), ERR_STOPPED, ERR_BUSY (a job is running),
/// ERR_DISPOSED, ERR_INTERNAL (a fault of voxgrad).
class Failure : public std::runtime_error {
 public:
  Failure(std::string code, const std::string& message) : std::runtime_error(message), code_(std::move(code)) {}
  const std::string& code() const { return code_; }

 private:
  std::string code_;
};

/// What is reported of any exception: a code, a message for the user, and the native backtrace if there is one.
struct FailureReport {
  std::string code;
  std::string message;
  std::string backtrace;
};

/// Turns the exception being handled (call it inside a catch block) into a report.
FailureReport describe_current_exception();

/// Throws Failure(ERR_DISK or ERR_FORMAT) for a failed system call on `path`, named by `action` ("write", "open"),
/// from errno: ENOSPC, EDQUOT, EROFS, EACCES, EIO and the like are ERR_DISK, ENOENT is ERR_FORMAT.
[[noreturn]] void throw_system_failure(const std::string& action, const std::string& path, int error_number);

}  // namespace voxgrad
