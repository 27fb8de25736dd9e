// A sliding window's sums, compiled for CUDA.
#include "kernels/accumulate.h"
#include "kernels/launch.cuh"

namespace voxgrad {
VOXGRAD_CUDA_KERNEL(Accumulate<float>)
VOXGRAD_CUDA_KERNEL(Accumulate<BFloat16>)
VOXGRAD_CUDA_KERNEL(Accumulate<Float16>)
}  // namespace voxgrad
