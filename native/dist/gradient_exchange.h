// Adds the gradients of all ranks up while the backward pass still runs, in buckets. Source of the method: PyTorch's
// DistributedDataParallel (torch/csrc/distributed/c10d/reducer.cpp).
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "dist/process_group.h"

namespace voxgrad {

/// One collective a bucket, and one more in the first step, which tells all ranks the order of parameters. A bucket is
/// sent as soon as the gradients of all its parameters are there; the buckets follow the backward pass.
class GradientExchange {
 public:
  /// DistributedDataParallel's sizes: the first bucket is small, so that sending begins early.
  static constexpr int64_t first_bucket_bytes = 1 << 20, bucket_bytes = 25 << 20;

  GradientExchange(std::shared_ptr<ProcessGroup> group, std::vector<at::Tensor> parameters);
  ~GradientExchange();

  /// Before backward: `loss` and `stop`, 1 if this rank wishes to end after this step and else 0, are added up with the
  /// gradients (0-dimensional float32 on the device).
  void begin(const at::Tensor& loss, const at::Tensor& stop);
  struct Sums {
    at::Tensor loss;  // 0-dimensional
    at::Tensor stop;  // 0-dimensional: how many ranks wish to stop
  };
  /// After backward: waits for all buckets; every parameter's gradient is then the sum.
  Sums finish();
  size_t buckets() const;

  /// Of the last step that the host ran: in the order of the buckets, how many gradients had arrived when the bucket's
  /// sum began.
  const std::vector<int64_t>& arrived_when_sent() const;
  /// How many parameters have a gradient.
  int64_t gradients() const;

 private:
  struct State;
  class Arrived;
  const std::shared_ptr<State> state_;
};

}  // namespace voxgrad
