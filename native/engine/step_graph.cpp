// Warm-up, capture, replay; and where the graphs of a device come from.
#include "engine/step_graph.h"

#include <map>

#include "failure.h"
#include "kernels/launch.h"

namespace voxgrad {

namespace {
std::map<at::DeviceType, StepGraphFactory>& factories() {
  static std::map<at::DeviceType, StepGraphFactory> registered;
  return registered;
}
}  // namespace

void register_step_graph(at::DeviceType type, StepGraphFactory factory) { factories()[type] = factory; }

std::unique_ptr<StepGraph> make_step_graph(at::Device device) {
  if (device.is_cuda()) {
    static const auto make =
        reinterpret_cast<StepGraph* (*)(int)>(find_in_library("libvoxgrad_cuda_graph.so", "voxgrad_new_step_graph"));
    return std::unique_ptr<StepGraph>(make(device.index()));
  }
  const auto found = factories().find(device.type());
  return found == factories().end() ? nullptr : found->second(device);
}

void RepeatedWork::capture(at::Device device, const Tensors& inputs, const Work& work) {
  try {
    auto graph = make_step_graph(device);
    if (!graph) return;
    inputs_.clear();
    for (const at::Tensor& input : inputs) inputs_.push_back(input.defined() ? input.clone() : input);
    work_ = work;
    graph->capture([this] { results_ = work_(inputs_); });
    graph_ = std::move(graph);
  } catch (const std::exception& error) {
    fault_ = error.what();
  }
  if (agree_ && !agree_(captured()) && captured()) fault_ = "another rank could not record them";
  if (!fault_) return;
  graph_.reset();
  inputs_.clear();
}

const RepeatedWork::Tensors& RepeatedWork::operator()(at::Device device, const Tensors& inputs, const Work& work) {
  if (enabled_ && !fault_ && calls_ == kWarmUp) capture(device, inputs, work);
  ++calls_;
  if (!graph_) return results_ = work(inputs);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].defined()) inputs_[i].copy_(inputs[i]);
  }
  graph_->replay();
  return results_;
}

void RepeatedWork::reset() {
  calls_ = 0;
  graph_.reset();
  results_.clear();
  inputs_.clear();
}

}  // namespace voxgrad
