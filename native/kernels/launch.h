// Runs a kernel wherever its data lies. A kernel is a functor over an index, in a header that host and device compile
// alike: on the CPU (and on the pretend accelerator of the tests) threads loop over it here, on CUDA launch.cuh does.
#pragma once
#include <ATen/Parallel.h>
#include <c10/core/Device.h>

#include <set>
#include <string>
#include <typeinfo>

namespace voxgrad {

/// Runs a functor for indices 0 to count - 1 on a CUDA stream (cudaStream_t); returns cudaGetLastError().
using CudaLauncher = int (*)(const void* functor, int64_t count, void* stream);

/// Opens the library of compiled kernels (build/Release/libvoxgrad_cuda.so); once.
/// Throws Failure(ERR_DEVICE) that says how to build it if it is not there or does not fit.
void load_cuda_kernels();

/// A function of one of the libraries that npm run build:cuda makes.
/// Throws Failure(ERR_DEVICE) that says how to build it if it is not there.
void* find_in_library(const std::string& library, const char* function);

/// Runs a functor on the device's current stream. Throws Failure(ERR_DEVICE) if the library lacks it or CUDA refuses.
void launch_on_cuda(const std::type_info& functor_type, const void* functor, int64_t count, c10::Device device);

/// Enters a functor's type among those that the program may launch; returns true.
bool note_launched(const std::type_info& functor_type);
/// Type names of all functors that launch() is called with anywhere in the program, whether it has run or not. Each
/// needs a VOXGRAD_CUDA_KERNEL in a .cu file; native/check compares the two.
std::set<std::string> launched_functors();

template <class Functor>
struct Launched {
  static inline const bool noted = note_launched(typeid(Functor));
};

/// Calls functor(i) for i from 0 to count - 1, in any order. `grain`: the fewest calls that are worth a CPU thread.
template <class Functor>
void launch(c10::Device device, int64_t count, const Functor& functor, int64_t grain = 4096) {
  static_cast<void>(&Launched<Functor>::noted);  // brings the entry into being
  if (count <= 0) return;
  if (device.is_cuda()) return launch_on_cuda(typeid(Functor), &functor, count, device);
  at::parallel_for(0, count, grain, [&functor](int64_t begin, int64_t end) {
    const Functor local = functor;
    for (int64_t i = begin; i < end; ++i) local(i);
  });
}

}  // namespace voxgrad
