// Opens devices and prepares a trainer's thread.
#include "engine/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>
#include <omp.h>

#include "failure.h"
#include "kernels/launch.h"

namespace voxgrad {

namespace {
/// The addon links libtorch_cpu alone. libtorch's CUDA half registers itself when it is opened, which has to happen
/// before the first question about CUDA.
void load_cuda_library() {
  static void* const library = dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL);
  if (!library) {
    throw Failure("ERR_DEVICE", std::string("this libtorch has no usable CUDA library: ") + dlerror() +
                                    "; use --device cpu, or set LIBTORCH to a CUDA build and set voxgrad up again");
  }
}
}  // namespace

at::Device open_device(const std::string& name) {
  const bool cuda = name == "cuda" || name.rfind("cuda:", 0) == 0;
  if (cuda) load_cuda_library();
  at::Device device(at::kCPU);
  try {
    device = at::Device(name == "cuda" ? "cuda:0" : name);
  } catch (const c10::Error&) {
    throw Failure("ERR_DEVICE", "device: expected cpu, cuda or cuda:N, found " + name);
  }
  if (cuda) {
    const auto count = at::globalContext().hasCUDA() ? at::detail::getCUDAHooks().deviceCount() : 0;
    if (device.index() >= count) {
      throw Failure("ERR_DEVICE", "device " + name + " is not there: found " + std::to_string(count) + " CUDA devices");
    }
    load_cuda_kernels();
    // So that nothing of this thread goes to the first device where each rank has its own.
    c10::impl::VirtualGuardImpl(device.type()).setDevice(device);
  }
  return device;
}

at::ScalarType open_precision(const std::string& precision, at::Device device) {
  if (precision == "float32") return at::kFloat;
  if (precision != "bfloat16" && precision != "float16") {
    throw Failure("ERR_CONFIG", "precision: expected float32, bfloat16 or float16, found " + precision);
  }
  if (device.is_cpu()) throw Failure("ERR_CONFIG", "precision: the CPU trains in float32, found " + precision);
  const bool lacks_bfloat16 = device.is_cuda() && !at::detail::getCUDAHooks().supportsBFloat16ConvolutionWithCuDNNv8();
  return precision == "bfloat16" && !lacks_bfloat16 ? at::kBFloat16 : at::kHalf;
}

void prepare_thread(int64_t threads, bool deterministic) {
  if (threads < 1) throw Failure("ERR_CONFIG", "threads: expected at least 1, found " + std::to_string(threads));
  at::set_num_threads(static_cast<int>(threads));
  // Average pooling's gradient is announced as not deterministic, but is where windows do not overlap, as in the
  // networks.
  at::globalContext().setDeterministicAlgorithms(deterministic, /*warn_only=*/true);
  at::globalContext().setBenchmarkCuDNN(!deterministic);  // all batches have one shape: one search pays for the run
  at::parallel_for(0, threads, 1, [](int64_t, int64_t) { at::globalContext().setFlushDenormal(true); });
}

void prepare_lone_thread() {
  // libtorch sets a new thread's number once, at its first question, and our copy of its inline functions does again.
  at::get_num_threads();
  at::internal::lazy_init_num_threads();
  omp_set_num_threads(1);
  at::globalContext().setFlushDenormal(true);
}

}  // namespace voxgrad
