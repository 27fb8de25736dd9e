// The processes that train one network together, over PyTorch's collectives (c10d): Gloo on the CPU, NCCL on CUDA.
#pragma once
#include <c10/core/Event.h>

#include <atomic>
#include <chrono>
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
  /// CUDA graphs that hold collectives of the group must be gone by now: NCCL waits for them.
  ~ProcessGroup();

  int64_t rank() const { return rank_; }
  int64_t ranks() const { return ranks_; }

  /// Begins to add a contiguous tensor over all ranks, in place.
  Work start_sum(const at::Tensor& tensor);
  void wait(const Work& work);
  void sum(const at::Tensor& tensor) { wait(start_sum(tensor)); }
  /// Takes the values of rank 0.
  void broadcast(const at::Tensor& tensor);
  /// The largest of each of the host's numbers, over all ranks. On an accelerator it waits for the device.
  std::vector<double> largest(const std::vector<double>& values);
  /// Waits until the device has come to a recorded event, no longer than ranks wait for each other. A collective of a
  /// replayed CUDA graph has no other watch: PyTorch's watchdog of NCCL sees only those that are launched one by one.
  void await(const c10::Event& event);
  /// The same for all that was launched on the current stream.
  void settle();

  /// What the host has begun so far; a replayed graph adds nothing.
  struct Traffic {
    int64_t collectives = 0, bytes = 0;
  };
  Traffic traffic() const { return traffic_; }

  /// Whether this rank waits for others just now; may be asked from any thread.
  bool is_waiting() const { return is_waiting_; }

 private:
  ProcessGroup(const RanksConfig& config, at::Device device);
  template <class Call>
  auto guarded(Call&& call);
  c10::intrusive_ptr<c10d::Work> begin(const at::Tensor& tensor, c10d::ReduceOp operation);

  const int64_t rank_, ranks_;
  const std::chrono::duration<double> timeout_;
  const at::Device device_;
  c10::intrusive_ptr<c10d::Backend> backend_;
  Traffic traffic_;
  bool lost_ = false;  // a collective failed
  std::atomic<bool> is_waiting_ = false;
};

/// A backend of c10d, all of whose ranks have met. Each lies in a file of its own, since its headers do not come with
/// libtorch (dist/gloo.cpp) or need the CUDA toolkit's (dist/nccl.cpp, in the library libvoxgrad_nccl.so).
using JoinBackend = c10::intrusive_ptr<c10d::Backend> (*)(const RanksConfig& config, at::Device device);
c10::intrusive_ptr<c10d::Backend> join_gloo(const RanksConfig& config, at::Device device);
/// Whether this build has it.
bool has_gloo();
bool has_nccl();
/// For another type of device: the pretend accelerator of the tests.
void register_backend(at::DeviceType type, JoinBackend join);

}  // namespace voxgrad
