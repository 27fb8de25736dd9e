// The loss of a deep-supervision level, compiled for CUDA.
#include "kernels/launch.cuh"
#include "kernels/loss.h"

namespace voxgrad {

VOXGRAD_CUDA_KERNEL(Fold<float, double>)
VOXGRAD_CUDA_KERNEL(Fold<double, double>)
VOXGRAD_CUDA_KERNEL(LossCoefficients)
VOXGRAD_CUDA_KERNEL(LossTotal)

#define VOXGRAD_LOSS_KERNELS(Element)               \
  VOXGRAD_CUDA_KERNEL(LossNormalizers<Element>)     \
  VOXGRAD_CUDA_KERNEL(LossSums<Element, false>)     \
  VOXGRAD_CUDA_KERNEL(LossSums<Element, true>)      \
  VOXGRAD_CUDA_KERNEL(LossGradient<Element, false>) \
  VOXGRAD_CUDA_KERNEL(LossGradient<Element, true>)
VOXGRAD_LOSS_KERNELS(float)
VOXGRAD_LOSS_KERNELS(BFloat16)
VOXGRAD_LOSS_KERNELS(Float16)

}  // namespace voxgrad
