// A guard that runs convolutions in half precision while it lives.
#pragma once
#include <ATen/autocast_mode.h>

namespace voxgrad {

/// Autocast to `precision` on `device`; kFloat (always so on the CPU) does nothing.
class Autocast {
 public:
  Autocast(at::Device device, at::ScalarType precision) : device_(device.type()), active_(precision != at::kFloat) {
    if (!active_) return;
    at::autocast::set_autocast_enabled(device_, true);
    at::autocast::set_autocast_dtype(device_, precision);
  }
  ~Autocast() {
    if (!active_) return;
    at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(device_, false);
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  at::DeviceType device_;
  bool active_;
};

}  // namespace voxgrad
