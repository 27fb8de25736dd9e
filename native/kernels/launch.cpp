// Finds the compiled CUDA kernels, which live in a library of their own: machines without a GPU need none.
#include "kernels/launch.h"

#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <atomic>
#include <filesystem>

#include "failure.h"

namespace voxgrad {

namespace {
using FindLauncher = CudaLauncher (*)(const char* type_name);
FindLauncher find_launcher = nullptr;
std::atomic<int64_t> launches{0};

/// Beside the file that this code was linked into, or in Release below it (the check program).
std::string library_path() {
  Dl_info info;
  static const char here = 0;
  const bool found = dladdr(&here, &info) && info.dli_fname;
  const std::filesystem::path folder =
      std::filesystem::absolute(found ? info.dli_fname : "/proc/self/exe").parent_path();
  const auto beside = folder / "libvoxgrad_cuda.so";
  return std::filesystem::exists(beside) ? beside : folder / "Release" / "libvoxgrad_cuda.so";
}
}  // namespace

void load_cuda_kernels() {
  if (find_launcher) return;
  const std::string path = library_path();
  const char* const advice = "; run `npm run build:cuda`, or use --device cpu";
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) throw Failure("ERR_DEVICE", std::string("no CUDA kernels: ") + dlerror() + advice);
  find_launcher = reinterpret_cast<FindLauncher>(dlsym(library, "voxgrad_find_launcher"));
  if (!find_launcher) throw Failure("ERR_DEVICE", path + " holds no kernels of this version" + advice);
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

int64_t launch_count() { return launches; }
void count_launch() { ++launches; }

}  // namespace voxgrad
