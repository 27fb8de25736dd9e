// CUDA graphs for engine/step_graph.h. Compiled into a library of its own (scripts/build-cuda.mjs), because it needs
// libtorch's CUDA half, which the addon does without.
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "engine/step_graph.h"

namespace voxgrad {

namespace {
class CudaStepGraph : public StepGraph {
 public:
  explicit CudaStepGraph(int device) : device_(static_cast<c10::DeviceIndex>(device)) {}

  void capture(const std::function<void()>& work) override {
    c10::cuda::device_synchronize();
    const c10::cuda::CUDAStreamGuard guard(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device_));
    // Other threads may go on to allocate memory, for cases that are read ahead.
    graph_.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    try {
      work();
    } catch (...) {
      try {
        graph_.capture_end();
      } catch (...) {  // the first error says why
      }
      throw;
    }
    graph_.capture_end();
  }
  void replay() override { graph_.replay(); }

 private:
  c10::DeviceIndex device_;
  at::cuda::CUDAGraph graph_;
};
}  // namespace

}  // namespace voxgrad

extern "C" __attribute__((visibility("default"))) voxgrad::StepGraph* voxgrad_new_step_graph(int device) {
  return new voxgrad::CudaStepGraph(device);
}
