// Instance norm and leaky ReLU, compiled for CUDA.
#include "kernels/instance_norm.h"
#include "kernels/launch.cuh"

namespace voxgrad {

VOXGRAD_CUDA_KERNEL(NormFold)
VOXGRAD_CUDA_KERNEL(NormFinish)
VOXGRAD_CUDA_KERNEL(NormParameterGradients)

#define VOXGRAD_NORM_KERNELS(Element)            \
  VOXGRAD_CUDA_KERNEL(NormMoments<Element>)      \
  VOXGRAD_CUDA_KERNEL(NormShift<Element>)        \
  VOXGRAD_CUDA_KERNEL(NormApply<Element>)        \
  VOXGRAD_CUDA_KERNEL(NormGradientSums<Element>) \
  VOXGRAD_CUDA_KERNEL(NormInputGradient<Element>)
VOXGRAD_NORM_KERNELS(float)
VOXGRAD_NORM_KERNELS(BFloat16)
VOXGRAD_NORM_KERNELS(Float16)

}  // namespace voxgrad
