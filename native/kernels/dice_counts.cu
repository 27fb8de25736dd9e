// The counts of a hard prediction, compiled for CUDA.
#include "kernels/dice_counts.h"
#include "kernels/launch.cuh"

namespace voxgrad {

VOXGRAD_CUDA_KERNEL(Fold<int32_t, int64_t>)
VOXGRAD_CUDA_KERNEL(Fold<int64_t, int64_t>)
VOXGRAD_CUDA_KERNEL(AddDiceCounts)

#define VOXGRAD_COUNT_KERNELS(Element)                   \
  VOXGRAD_CUDA_KERNEL(Winners<Element>)                  \
  VOXGRAD_CUDA_KERNEL(DicePartialCounts<Element, false>) \
  VOXGRAD_CUDA_KERNEL(DicePartialCounts<Element, true>)
VOXGRAD_COUNT_KERNELS(float)
VOXGRAD_COUNT_KERNELS(BFloat16)
VOXGRAD_COUNT_KERNELS(Float16)

}  // namespace voxgrad
