// The CUDA side of launch.h: a grid-stride loop over a functor, and the table in which the library's kernels are found.
// A host compiler only makes a list of the functors, which native/check compares with those that are launched.
#pragma once
#ifdef __CUDACC__
#include <cuda_runtime.h>
#endif

#include <cstdint>
#include <typeinfo>

namespace voxgrad {

using CudaLauncher = int (*)(const void* functor, int64_t count, void* stream);

/// Adds a launcher to the table under the functor's type.
struct CudaRegistration {
  CudaRegistration(const std::type_info& type, CudaLauncher launcher);
};

#ifdef __CUDACC__
template <class Functor>
__global__ void __launch_bounds__(256) run_functor(const Functor functor, int64_t count) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride) functor(i);
}

template <class Functor>
int launch_functor(const void* functor, int64_t count, void* stream) {
  constexpr int64_t kThreads = 256, kMostBlocks = 1 << 20;
  const int64_t blocks = (count + kThreads - 1) / kThreads;
  run_functor<Functor><<<static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks), kThreads, 0,
                         static_cast<cudaStream_t>(stream)>>>(*static_cast<const Functor*>(functor), count);
  return static_cast<int>(cudaGetLastError());
}
#else
template <class Functor>
constexpr CudaLauncher launch_functor = nullptr;
#endif

}  // namespace voxgrad

/// Compiles a functor for CUDA. Once for each functor type that launch() is called with.
#define VOXGRAD_CUDA_KERNEL(...)                                                               \
  static const ::voxgrad::CudaRegistration VOXGRAD_CUDA_NAME(__COUNTER__)(typeid(__VA_ARGS__), \
                                                                          ::voxgrad::launch_functor<__VA_ARGS__>);
#define VOXGRAD_CUDA_NAME(number) VOXGRAD_CUDA_JOIN(registration_, number)
#define VOXGRAD_CUDA_JOIN(a, b) a##b
