// Moments of a device and the times between them.
#include "engine/step_clock.h"

#include <c10/core/impl/VirtualGuardImpl.h>

namespace voxgrad {

DeviceMoment::DeviceMoment(c10::Device device) {
  if (device.is_cpu()) return;
  event_ = std::make_unique<c10::Event>(device.type(), c10::EventFlag::BACKEND_DEFAULT);  // one that can be timed
  event_->record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
}

double DeviceMoment::ms_since(const DeviceMoment& earlier) const {
  if (!event_) return std::chrono::duration<double, std::milli>(host_ - earlier.host_).count();
  event_->synchronize();
  return earlier.event_->elapsedTime(*event_);
}

void StepClock::open(c10::Device device) {
  device_ = device;
  marks_.clear();
  open_ = true;
}

StepTimes StepClock::close() {
  start();
  open_ = false;
  StepTimes times;
  const Mark* step = nullptr;
  for (size_t i = 0; i < marks_.size(); ++i) {
    const Mark& mark = marks_[i];
    if (mark.part) {
      times.parts[mark.part].push_back(static_cast<float>(mark.moment.ms_since(marks_[i - 1].moment)));
    } else {
      if (step) times.step.push_back(static_cast<float>(mark.moment.ms_since(step->moment)));
      step = &mark;
    }
  }
  marks_.clear();
  return times;
}

}  // namespace voxgrad
