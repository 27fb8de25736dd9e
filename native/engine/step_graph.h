// A step that the device replays as one unit: a CUDA graph. Launching some hundred kernels one by one takes the host
// longer than a small network takes the device.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace voxgrad {

/// What a device can do to record and replay launches.
class StepGraph {
 public:
  virtual ~StepGraph() = default;
  /// Records what `work` launches, without running it. Throws if something in it cannot be recorded.
  virtual void capture(const std::function<void()>& work) = 0;
  /// Launches on the current stream what was recorded; on the same memory.
  virtual void replay() = 0;
};

/// Gives make_step_graph() something for a device type; for the pretend accelerator of the tests.
using StepGraphFactory = std::unique_ptr<StepGraph> (*)(at::Device device);
void register_step_graph(at::DeviceType type, StepGraphFactory factory);

/// Null where a device has no graphs. On CUDA throws Failure(ERR_DEVICE) if libvoxgrad_cuda_graph.so is not there.
std::unique_ptr<StepGraph> make_step_graph(at::Device device);

/// Runs the same work again and again: as it is at first, while memory and algorithms are still chosen, and from then
/// on as a graph if the device has them.
class RepeatedWork {
 public:
  /// Calls before the capture. They must include the first step of the optimizer, which makes its state.
  static constexpr int kWarmUp = 3;
  using Tensors = std::vector<at::Tensor>;
  /// Results for inputs; reads nothing else that changes from call to call but what it changes itself in place.
  using Work = std::function<Tensors(const Tensors& inputs)>;

  /// Told whether this process could capture the work; returns whether all that share it could, since collectives must
  /// be in a graph at every rank or at none.
  using Agree = std::function<bool(bool captured)>;

  /// `enabled` false: never as a graph. `agree` undefined: alone.
  explicit RepeatedWork(bool enabled, Agree agree = {}) : enabled_(enabled), agree_(std::move(agree)) {}

  /// The results of `work`, which must do the same in every call and not refer to what ends with the caller. Undefined
  /// inputs are passed on as such. Valid until the next call. If the capture fails, says so in `fault` and goes on
  /// without.
  const Tensors& operator()(at::Device device, const Tensors& inputs, const Work& work);

  /// After memory that the work uses has been replaced: starts over with the warm-up.
  void reset();
  bool captured() const { return graph_ != nullptr; }
  /// Why the work could not be captured.
  const std::optional<std::string>& fault() const { return fault_; }

 private:
  void capture(at::Device device, const Tensors& inputs, const Work& work);

  bool enabled_;
  Agree agree_;
  int calls_ = 0;
  std::unique_ptr<StepGraph> graph_;
  Work work_;
  Tensors inputs_, results_;
  std::optional<std::string> fault_;
};

}  // namespace voxgrad
