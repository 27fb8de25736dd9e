// The noise field, compiled for CUDA.
#include "kernels/launch.cuh"
#include "kernels/normal_field.h"

namespace voxgrad {
VOXGRAD_CUDA_KERNEL(AddNormalField)
}
