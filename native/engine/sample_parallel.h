// The network's pass on the CPU with one thread a sample, where that uses the cores better than threads inside each
// operator. Source of the idea: no operator of a network with instance norm looks from one sample into another.
#pragma once
#include <c10/core/thread_pool.h>

#include <functional>
#include <memory>

#include "engine/network.h"

namespace voxgrad {

/// Calls the network: at once for the whole batch, or with the samples dealt to threads that work on their own. The
/// rule depends on device, norm, batch and threads alone, so that a run repeats itself: on the CPU, with instance norm,
/// if threads that take whole samples are busy at least 80 % of the time.
class SampleParallel {
 public:
  SampleParallel(const Network& network, int64_t batch_size, int64_t threads);

  /// As Network::forward. Gradients of the parameters are the sum over the threads, in their order.
  std::vector<at::Tensor> operator()(const at::Tensor& image, const std::vector<bool>& wanted,
                                     const TrainingPass* pass = nullptr) const;
  /// How many threads take samples; 1: operators use the threads.
  int64_t workers() const { return workers_; }

 private:
  class Pass;
  class Joined;

  const Network& network_;
  const int64_t workers_;
  const std::unique_ptr<c10::ThreadPool> pool_;
};

}  // namespace voxgrad
