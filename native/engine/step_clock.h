// When the parts of a step end, on the device's own timeline; off unless a benchmark opens it.
#pragma once
#include <c10/core/Event.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace voxgrad {

/// A moment of a device: on the CPU now, on an accelerator when its current stream gets here.
class DeviceMoment {
 public:
  explicit DeviceMoment(c10::Device device);
  /// Milliseconds since an earlier moment of the same device. On an accelerator it waits for this moment.
  double ms_since(const DeviceMoment& earlier) const;

 private:
  std::chrono::steady_clock::time_point host_ = std::chrono::steady_clock::now();
  std::unique_ptr<c10::Event> event_;
};

/// Milliseconds, one entry a step.
struct StepTimes {
  std::vector<float> step;                          // from its start to the next one's
  std::map<std::string, std::vector<float>> parts;  // by name
};

class StepClock {
 public:
  /// Forgets what was marked and starts to keep marks.
  void open(c10::Device device);
  /// Begins a step.
  void start() { mark(nullptr); }
  /// Ends the part that began with the last mark; does nothing if the clock is not open. Never waits for the device.
  void mark(const char* part) {
    if (open_) marks_.push_back({part, DeviceMoment(device_)});
  }
  bool is_open() const { return open_; }
  /// Ends the last step and stops keeping marks.
  StepTimes close();

 private:
  struct Mark {
    const char* part;  // null: the start of a step
    DeviceMoment moment;
  };
  bool open_ = false;
  c10::Device device_ = c10::kCPU;
  std::vector<Mark> marks_;
};

}  // namespace voxgrad
