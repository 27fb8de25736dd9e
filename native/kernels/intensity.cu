// The intensity transforms, compiled for CUDA.
#include "kernels/intensity.h"
#include "kernels/launch.cuh"

namespace voxgrad {
VOXGRAD_CUDA_KERNEL(ChannelMoments)
VOXGRAD_CUDA_KERNEL(ChannelFold)
VOXGRAD_CUDA_KERNEL(ChannelFinish)
VOXGRAD_CUDA_KERNEL(ApplyContrast)
VOXGRAD_CUDA_KERNEL(RaiseGamma)
VOXGRAD_CUDA_KERNEL(RestoreGamma)
VOXGRAD_CUDA_KERNEL(BlurAxis)
VOXGRAD_CUDA_KERNEL(SampleCoarse)
VOXGRAD_CUDA_KERNEL(SampleFine)
}  // namespace voxgrad
