// Wishes to stop, on their way from the device to the host.
#include "dist/common_stop.h"

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace voxgrad {

CommonStop::CommonStop(std::shared_ptr<ProcessGroup> group, at::Device device) : group_(std::move(group)) {
  for (Slot& slot : slots_) {
    slot.wishes = at::empty({}, at::TensorOptions().dtype(at::kFloat).pinned_memory(!device.is_cpu()));
    if (!device.is_cpu()) slot.written.emplace(device.type());
  }
}

bool CommonStop::after_step(const at::Tensor& wishes) {
  Slot& slot = slots_[steps_ % slots_.size()];
  slot.wishes.copy_(wishes, /*non_blocking=*/true);
  if (slot.written) {
    const at::Device device = wishes.device();
    slot.written->record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
  }
  if (steps_++ < kLag) return false;
  const Slot& earlier = slots_[(steps_ - 1 - kLag) % slots_.size()];
  if (earlier.written) group_->await(*earlier.written);
  return *earlier.wishes.const_data_ptr<float>() != 0;
}

}  // namespace voxgrad
