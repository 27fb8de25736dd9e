// NCCL, c10d's backend of CUDA devices. Compiled into a library of its own (scripts/build-cuda.mjs), because it needs
// libtorch's CUDA half and NCCL's headers, which the addon does without.
#include <c10/cuda/CUDAGuard.h>

#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

/// A backend whose communicator is there: it meets the other ranks now, not in the first step. The caller owns it.
extern "C" __attribute__((visibility("default"))) c10d::Backend* voxgrad_join_nccl(
    const c10::intrusive_ptr<c10d::Store>& store, int rank, int ranks, int device, int64_t timeout_ms) {
  const at::Device own(at::kCUDA, static_cast<c10::DeviceIndex>(device));
  const c10::cuda::CUDAGuard guard(own);
  const auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = std::chrono::milliseconds(timeout_ms);
  auto group = c10::make_intrusive<c10d::ProcessGroupNCCL>(store, rank, ranks, options);
  group->setBoundDeviceId(own);
  group->eagerConnectSingleDevice(own);
  return c10::intrusive_ptr<c10d::Backend>(std::move(group)).release();
}
