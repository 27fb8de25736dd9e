// Turns exceptions and failed system calls into voxgrad::Failure and its report.
#include "failure.h"

#include <c10/util/Exception.h>

#include <cerrno>
#include <cstring>
#include <new>

namespace voxgrad {

FailureReport describe_current_exception() {
  try {
    throw;
  } catch (const Failure& failure) {
    return {failure.code(), failure.what(), ""};
  } catch (const c10::OutOfMemoryError& error) {
    return {"ERR_OUT_OF_MEMORY", error.what_without_backtrace(), error.what()};
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    const bool is_memory = text.find("DefaultCPUAllocator") != std::string::npos;
    return {is_memory ? "ERR_HOST_MEMORY" : "ERR_INTERNAL", text, error.what()};
  } catch (const std::bad_alloc&) {
    return {"ERR_HOST_MEMORY", "the machine has no more memory for this job", ""};
  } catch (const std::exception& error) {
    return {"ERR_INTERNAL", error.what(), ""};
  } catch (...) {
    return {"ERR_INTERNAL", "an exception of unknown type", ""};
  }
}

const char* disk_code(int error_number) {
  return error_number == ENOSPC || error_number == EDQUOT ? "ERR_DISK_FULL" : "ERR_DISK";
}

void throw_system_failure(const std::string& action, const std::string& path, int error_number) {
  throw Failure(error_number == ENOENT ? "ERR_FORMAT" : disk_code(error_number),
                "cannot " + action + " " + path + ": " + std::strerror(error_number));
}

}  // namespace voxgrad
