// How ranks end after the same step, though none of them waits for a step that it has just launched.
#pragma once
#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>

#include <array>
#include <memory>
#include <optional>

#include "dist/process_group.h"

namespace voxgrad {

/// The sum of the ranks' wishes to stop travels to the host behind its step, as an asynchronous copy, and is looked at
/// when kLag more steps have been launched. It is the same sum at every rank, and all look at it at the same step
/// number: so all end after the same step, kLag steps after the first one that carried a wish.
class CommonStop {
 public:
  /// As many steps as a rank may be ahead of its device (BatchesAhead): the sum is there by then.
  static constexpr size_t kLag = 2;

  CommonStop(std::shared_ptr<ProcessGroup> group, at::Device device);

  /// When a step has been launched: `wishes` is the number of ranks that wished to stop before it (0-dimensional
  /// float32 on the device). Whether all ranks end after this step.
  bool after_step(const at::Tensor& wishes);

 private:
  struct Slot {
    at::Tensor wishes;  // on the host, where a device writes by itself
    std::optional<c10::Event> written;
  };
  const std::shared_ptr<ProcessGroup> group_;
  std::array<Slot, kLag + 1> slots_;
  size_t steps_ = 0;
};

}  // namespace voxgrad
