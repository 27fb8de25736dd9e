// Clipping's numbers, compiled for CUDA.
#include "kernels/clip.h"
#include "kernels/launch.cuh"

namespace voxgrad {
VOXGRAD_CUDA_KERNEL(Clip)
}
