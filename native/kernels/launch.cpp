// Finds the compiled CUDA kernels, which live in a library of their own: machines without a GPU need none.
#include "kernels/launch.h"

#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <filesystem>

#include "failure.h"
#include "kernels/libraries.h"

namespace voxgrad {

namespace {
using FindLauncher = CudaLauncher (*)(const char* type_name);
FindLauncher find_launcher = nullptr;

std::set<std::string>& functors() {
  static std::set<std::string> names;
  return names;
}

/// Beside the file that this code was linked into, or in Release below it (the check program).
std::string path_of(const std::string& library) {
  Dl_info info;
  static const char here = 0;
  const bool found = dladdr(&here, &info) && info.dli_fname;
  const auto folder = std::filesystem::absolute(found ? info.dli_fname : "/proc/self/exe").parent_path();
  return std::filesystem::exists(folder / library) ? folder / library : folder / "Release" / library;
}
}  // namespace

bool is_library_there(const std::string& library) { return std::filesystem::exists(path_of(library)); }

void* find_in_library(const std::string& library, const char* function) {
  const std::string path = path_of(library);
  const char* const advice = "; run `npm run build:cuda`, or use --device cpu";
  void* const handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) throw Failure("ERR_DEVICE", std::string("no CUDA kernels: ") + dlerror() + advice);
  void* const found = dlsym(handle, function);
  if (!found) throw Failure("ERR_DEVICE", path + " is of another version" + advice);
  return found;
}

void load_cuda_kernels() {
  if (find_launcher) return;
  find_launcher = reinterpret_cast<FindLauncher>(find_in_library("libvoxgrad_cuda.so", "voxgrad_find_launcher"));
}

void launch_on_cuda(const std::type_info& functor_type, const void* functor, int64_t count, c10::Device device) {
  const CudaLauncher launcher = find_launcher ? find_launcher(functor_type.name()) : nullptr;
  if (!launcher) {
    throw Failure("ERR_DEVICE", std::string("libvoxgrad_cuda.so lacks the kernel ") + functor_type.name() +
                                    "; run `npm run build:cuda` again");
  }
  const c10::impl::VirtualGuardImpl guard(device.type());
  void* const stream = guard.getStreamNativeHandle(guard.getStream(device));
  if (const int error = launcher(functor, count, stream); error != 0) {
    throw Failure("ERR_DEVICE",
                  std::string("CUDA refused the kernel ") + functor_type.name() + ": error " + std::to_string(error));
  }
}

bool note_launched(const std::type_info& functor_type) { return functors().insert(functor_type.name()), true; }
std::set<std::string> launched_functors() { return functors(); }

}  // namespace voxgrad
