// The cases of the comparison: an op, its arguments, and how far the devices may differ.
#include "check/op_parity.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <cmath>
#include <functional>

#include "kernels/draw.h"
#include "kernels/ops.h"
#include "kernels/tensors.h"

namespace voxgrad::check {

namespace {
using Arguments = std::vector<c10::IValue>;
using Integers = std::vector<int64_t>;
/// What is compared: results on a device.
using Work = std::function<std::vector<at::Tensor>(at::Device)>;

/// Of numbers that are counted, not rounded.
constexpr double kExact = 1e-9;
constexpr std::pair<at::ScalarType, double> kFormats[] = {{at::kFloat, 1e-6}, {at::kBFloat16, 1e-2}, {at::kHalf, 2e-3}};

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

/// Calls an op; its results, and tensors among the arguments that it changes.
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
  return results;
}

OpParity compare(const std::string& name, at::Device device, double allowed, const Work& work) {
  const auto expected = work(at::kCPU), found = work(device);
  double difference = 0, size = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const at::Tensor one = expected[i].to(at::kDouble), other = found[i].to(at::kCPU).to(at::kDouble);
    difference += (one - other).square().sum().item<double>();
    size += one.square().sum().item<double>();
  }
  return {name, std::sqrt(difference / std::max(size, 1e-30)), allowed};
}

OpParity compare_op(const std::string& description, const std::string& name, const Arguments& arguments,
                    at::Device device, double allowed) {
  return compare(name + ", " + description, device, allowed, [&](at::Device on) { return call(name, arguments, on); });
}

void compare_norms(at::Device device, std::vector<OpParity>& results) {
  const std::vector<Integers> shapes = {
      {2, 8, 12, 14, 10}, {1, 1, 1, 1, 2}, {1, 117, 5, 3, 7}, {3, 5, 33, 17}, {1, 32, 40, 56, 40}};
  for (const auto& shape : shapes) {
    const at::Tensor x = normal(shape, 1), gradient = normal(shape, 2);
    const at::Tensor weight = normal({shape[1]}, 3).add_(3), bias = normal({shape[1]}, 4);
    for (const auto& [type, allowed] : kFormats) {
      for (const int64_t layout : {0, 1}) {
        results.push_back(
            compare_op(c10::str(at::IntArrayRef(shape), " ", type, layout == 1 ? ", channels-last" : ""),
                       "instance_norm_leaky_relu",
                       {x.to(type), gradient.to(type), weight, bias, 1e-5, 0.01, layout, layout, false, true, 1},
                       device, allowed));
      }
    }
  }
}

void compare_gathers(at::Device device, std::vector<OpParity>& results) {
  const std::vector<double> matrix = {1.1, 0.2, 0, -0.2, 0.9, 0.1, 0, 0.3, 1.2};
  const at::Tensor image = normal({2, 12, 14, 10}, 6);
  for (const bool nearest : {false, true}) {
    results.push_back(compare_op(
        nearest ? "nearest" : "linear", "warp",
        {image, labels_below(4, {1, 12, 14, 10}, 7), matrix, Integers{9, 16, 8}, nearest, nearest}, device, 1e-6));
    for (const bool bytes : {false, true}) {
      const at::Tensor labels = labels_below(4, {12, 14, 10}, 7).to(bytes ? at::kChar : at::kShort);
      for (const bool half : {false, true}) {
        for (const bool rotated : {false, true}) {
          results.push_back(compare_op(
              c10::str(nearest ? "nearest" : "linear", rotated ? ", rotated, " : ", copied, ", labels.scalar_type(),
                       half ? ", float16" : ""),
              "gather",
              {image, labels, Integers{-2, 3, 1}, Integers{13, 12, 11}, rotated ? matrix : std::vector<double>{},
               Integers{9, 8, 7}, Integers{0, 1, 1}, nearest, nearest, true, half, !bytes, false},
              device, 1e-6));
        }
      }
    }
  }
}

void compare_intensities(at::Device device, std::vector<OpParity>& results) {
  const at::Tensor image = normal({2, 13, 16, 11}, 8);
  const std::vector<double> sigmas = {0.5, 0.9, 1.4};
  const std::vector<std::pair<std::string, Arguments>> transforms = {
      {"add_normal_field_", {image, 0.7, Integers{1, 2, 3 << 16, 4, 5}}},
      {"gaussian_noise_", {image, 0.4, 1, 2, 3}},
      {"gaussian_blur_", {image, 1, sigmas}},
      {"median_filter_", {image, 0, 3}},
      {"brightness_", {image, 1, 1.3}},
      {"additive_brightness_", {image, 0, 0.2}},
      {"contrast_", {image, 1, 1.3, false}},
      {"contrast_", {image, 0, 0.7, true}},
      {"low_resolution_", {image, 1, 0.6, false}},
      {"gamma_", {image, 0, 1.4, false}},
      {"gamma_", {image, 1, 0.8, true}},
      {"sharpening_", {image, 0, 0.5}}};
  // Logarithms, sines and powers differ in their last digits between devices.
  for (const auto& [name, arguments] : transforms)
    results.push_back(compare_op("2 channels of 13 x 16 x 11", name, arguments, device, 1e-5));
}

/// The labels of each output, each list ended by -1: classes, or regions of the labels from one on.
Integers outputs_of(int64_t channels, bool regions) {
  Integers result;
  for (int64_t output = 0; output < channels; ++output) {
    if (!regions) result.push_back(output);
    for (int64_t label = output + 1; regions && label <= channels; ++label) result.push_back(label);
    result.push_back(-1);
  }
  return result;
}

/// One if a label is in a region, as outputs_of() says.
at::Tensor membership_of(int64_t regions) {
  return at::arange(regions + 1).unsqueeze(1).gt(at::arange(regions)).to(at::kFloat);
}

void compare_losses(at::Device device, std::vector<OpParity>& results) {
  for (const int64_t channels : {3, 12}) {
    for (const bool regions : {false, true}) {
      for (const int64_t ignored : {int64_t{-1}, channels + 1}) {
        const at::Tensor labels = labels_below(channels + (regions ? 1 : 0), {2, 12, 14, 10}, 9);
        if (ignored >= 0) labels.masked_fill_(normal(labels.sizes(), 10).gt(0.8), ignored);
        for (const auto& [type, rounding] : kFormats) {
          const double allowed = type == at::kFloat ? 1e-5 : rounding;  // the CPU adds in another order
          for (const int64_t layout : {0, 1}) {
            const std::string description =
                c10::str(channels, regions ? " regions" : " classes", ignored >= 0 ? ", an ignore label, " : ", ", type,
                         layout == 1 ? ", channels-last" : "");
            std::vector<at::Tensor> levels;
            for (const int64_t divisor : {1, 2, 4}) {
              const Integers shape = {2, channels, 12 / divisor, 14 / divisor, 10 / divisor};
              levels.push_back(laid_out(normal(shape, 11).to(type), layout));
            }
            results.push_back(compare("loss of 3 levels, " + description, device, allowed, [&](at::Device on) {
              LossTerms terms{{0.6, 0.3, 0.1}, 1, 1, regions ? 0 : 0.1, false, channels > 3, 1e-5, ignored, {}, false};
              if (regions) terms.membership = membership_of(channels).to(on);
              std::vector<at::Tensor> logits;
              for (const at::Tensor& level : levels) logits.push_back(level.detach().to(on).requires_grad_(true));
              const at::Tensor loss = deep_supervision_loss(logits, labels.to(on), terms);
              loss.backward();
              std::vector<at::Tensor> found = {loss.detach()};
              for (const at::Tensor& level : logits) found.push_back(level.grad());
              return found;
            }));
            results.push_back(
                compare_op(description, "count_dice",
                           {levels[0], labels, outputs_of(channels, regions), regions, ignored, layout, false, 1},
                           device, kExact));
          }
        }
      }
    }
  }
}

void compare_sums_of_tiles(at::Device device, std::vector<OpParity>& results) {
  const Integers flips = {0, 0, 0, 1, 0, 0, 0, 1, 1};
  for (const int64_t format : {0, 1, 2}) {
    for (const int64_t layout : {0, 1}) {
      results.push_back(compare_op(c10::str(element_type(format), layout == 1 ? ", channels-last" : ""), "accumulate_",
                                   {normal({3, 14, 15, 16}, 12), normal({14, 15, 16}, 13), normal({3, 3, 9, 8, 7}, 14),
                                    normal({9, 8, 7}, 15), Integers{5, 0, 9}, flips, format, layout, false, 1},
                                   device, 1e-6));
    }
  }
}
}  // namespace

std::vector<OpParity> compare_ops(at::Device device) {
  std::vector<OpParity> results;
  compare_norms(device, results);
  compare_gathers(device, results);
  compare_intensities(device, results);
  compare_losses(device, results);
  compare_sums_of_tiles(device, results);
  return results;
}

}  // namespace voxgrad::check
