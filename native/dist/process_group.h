// The processes that train one network together, over PyTorch's collectives (c10d): Gloo on the CPU, NCCL on CUDA.
#pragma once
#include <atomic>
#include <memory>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <vector>

#include "dist/config.h"

namespace voxgrad {

/// A rank's part of a batch: `count` samples from `first` on, of `total`.
struct BatchShare {
  int64_t first, count, total;
};

/// The parts are as equal as can be; the first ranks have the larger ones (nnU-Net: _set_batch_size_and_oversample).
BatchShare share_of_batch(int64_t batch_size, int64_t rank, int64_t ranks);

/// All calls must be made by every rank, in the same order. They throw Failure(ERR_RANK) where another rank is gone, or
/// is waited for in vain; the group cannot be used any more then.
class ProcessGroup {
 public:
  using Work = c10::intrusive_ptr<c10d::Work>;

  /// Meets the other ranks and returns when all are there; nothing with one rank.
  /// Throws Failure: ERR_CONFIG where this build cannot, ERR_RANK where the others do not come.
  static std::shared_ptr<ProcessGroup> join(const RanksConfig& config, at::Device device);

  int64_t rank() const { return rank_; }
  int64_t ranks() const { return ranks_; }

  /// Begins to add a contiguous tensor over all ranks, in place.
  Work start_sum(const at::Tensor& tensor);
  void wait(const Work& work);
  void sum(const at::Tensor& tensor) { wait(start_sum(tensor)); }
  /// Takes the values of rank 0.
  void broadcast(const at::Tensor& tensor);
  /// The largest of each of the host's numbers, over all ranks.
  std::vector<double> largest(const std::vector<double>& values);

  /// Whether this rank waits for others just now; may be asked from any thread.
  bool is_waiting() const { return is_waiting_; }

 private:
  ProcessGroup(c10::intrusive_ptr<c10d::Backend> device_backend, c10::intrusive_ptr<c10d::Backend> host_backend)
      : backend_(std::move(device_backend)),
        host_(std::move(host_backend)),
        rank_(host_->getRank()),
        ranks_(host_->getSize()) {}

  c10::intrusive_ptr<c10d::Backend> backend_, host_;
  int64_t rank_, ranks_;
  std::atomic<bool> is_waiting_ = false;
};

/// A backend of c10d, all of whose ranks have met. Each lies in a file of its own, since its headers do not come with
/// libtorch (dist/gloo.cpp) or need the CUDA toolkit's.
c10::intrusive_ptr<c10d::Backend> join_gloo(const RanksConfig& config);
/// Whether this build has it.
bool has_gloo();

}  // namespace voxgrad
