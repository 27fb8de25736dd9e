// The cases of the comparison: an op, its arguments, and how far the devices may differ.
#include "check/op_parity.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <cmath>

#include "kernels/draw.h"

namespace voxgrad::check {

namespace {
using Arguments = std::vector<c10::IValue>;

/// Normal numbers, the same in every run.
at::Tensor normal(at::IntArrayRef shape, uint64_t seed) {
  at::Tensor result = at::empty(shape, at::kFloat);
  Draw draw({seed, 0, 0}, Purpose::kInitialization);
  for (int64_t i = 0; i < result.numel(); ++i) result.data_ptr<float>()[i] = static_cast<float>(draw.normal());
  return result;
}

at::Tensor labels_below(int64_t count, at::IntArrayRef shape, uint64_t seed) {
  return normal(shape, seed).mul_(static_cast<double>(count)).abs_().fmod_(static_cast<double>(count)).to(at::kShort);
}

/// Calls an op; its results, and tensors among the arguments that it changes, on the CPU as float64.
std::vector<at::Tensor> call(const std::string& name, const Arguments& arguments, at::Device device) {
  const auto op = c10::Dispatcher::singleton().findSchemaOrThrow(("voxgrad::" + name).c_str(), "");
  torch::jit::Stack stack;
  std::vector<at::Tensor> results;
  for (size_t i = 0; i < arguments.size(); ++i) {
    c10::IValue value = arguments[i];
    if (value.isTensor()) {
      const at::Tensor placed = value.toTensor().clone().to(device);
      const auto* alias = op.schema().arguments()[i].alias_info();
      if (alias && alias->isWrite()) results.push_back(placed);
      value = placed;
    }
    stack.push_back(std::move(value));
  }
  op.callBoxed(stack);
  for (const c10::IValue& value : stack) {
    if (value.isTensor()) results.push_back(value.toTensor());
  }
  for (at::Tensor& result : results) result = result.to(at::kCPU).to(at::kDouble);
  return results;
}

OpParity compare(const std::string& description, const std::string& name, const Arguments& arguments, at::Device device,
                 double allowed) {
  const auto expected = call(name, arguments, at::kCPU), found = call(name, arguments, device);
  double difference = 0, size = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    difference += (expected[i] - found[i]).square().sum().item<double>();
    size += expected[i].square().sum().item<double>();
  }
  return {name + ", " + description, std::sqrt(difference / std::max(size, 1e-30)), allowed};
}
}  // namespace

std::vector<OpParity> compare_ops(at::Device device) {
  std::vector<OpParity> results;
  const std::vector<std::vector<int64_t>> shapes = {
      {2, 8, 12, 14, 10}, {1, 1, 1, 1, 2}, {1, 117, 5, 3, 7}, {3, 5, 33, 17}, {1, 32, 40, 56, 40}};
  for (const auto& shape : shapes) {
    const at::Tensor x = normal(shape, 1), gradient = normal(shape, 2);
    const at::Tensor weight = normal({shape[1]}, 3).add_(3), bias = normal({shape[1]}, 4);
    for (const auto& [type, allowed] : {std::pair{at::kFloat, 1e-6}, {at::kBFloat16, 1e-2}, {at::kHalf, 2e-3}}) {
      for (const bool channels_last : {true, false}) {
        results.push_back(compare(c10::str(at::IntArrayRef(shape), " ", type, channels_last ? ", channels-last" : ""),
                                  "instance_norm_leaky_relu",
                                  {x.to(type), gradient.to(type), weight, bias, 1e-5, 0.01, channels_last, false, true},
                                  device, allowed));
      }
    }
  }
  results.push_back(compare("7 x 9 x 11", "add_normal_field_",
                            {normal({7, 9, 11}, 5), 0.7, std::vector<int64_t>{1, 2, 3 << 16, 4, 5}}, device, 1e-6));
  const std::vector<double> matrix = {1.1, 0.2, 0, -0.2, 0.9, 0.1, 0, 0.3, 1.2};
  for (const bool nearest : {false, true}) {
    results.push_back(compare(nearest ? "nearest" : "linear", "warp",
                              {normal({2, 12, 14, 10}, 6), labels_below(4, {1, 12, 14, 10}, 7), matrix,
                               std::vector<int64_t>{9, 16, 8}, nearest, nearest},
                              device, 1e-6));
  }
  return results;
}

}  // namespace voxgrad::check
