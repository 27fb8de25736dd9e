// The gather, compiled for CUDA.
#include "kernels/gather.h"
#include "kernels/launch.cuh"

namespace voxgrad {
VOXGRAD_CUDA_KERNEL(Gather<float, int8_t>)
VOXGRAD_CUDA_KERNEL(Gather<float, int16_t>)
VOXGRAD_CUDA_KERNEL(Gather<Float16, int8_t>)
VOXGRAD_CUDA_KERNEL(Gather<Float16, int16_t>)
}  // namespace voxgrad
