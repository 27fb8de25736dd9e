// The one exception type of the native code. It crosses to TypeScript as an Error with the same `code` (src/errors.ts).
#pragma once
#include <stdexcept>
#include <string>

namespace voxgrad {

/// Codes are those of src/error-catalogue.ts. Messages have the form "WHERE: expected REQUIRED, found FOUND; remedy" or
/// "STATEMENT; remedy", which src/errors.ts takes apart: a semicolon stands before a remedy and nowhere else.
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

/// ERR_DISK_FULL where no space or quota is left, else ERR_DISK.
const char* disk_code(int error_number);

/// Throws Failure(disk_code or ERR_FORMAT) for a failed system call on `path`, named by `action` ("write", "open"),
/// from errno: ENOENT is ERR_FORMAT, all others are faults of the disk.
[[noreturn]] void throw_system_failure(const std::string& action, const std::string& path, int error_number);

}  // namespace voxgrad
