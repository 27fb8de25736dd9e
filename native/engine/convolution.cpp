// oneDNN's convolutions as functions of autograd; libtorch's own choice on any other device.
#include "engine/convolution.h"

#include <ATen/ATen.h>
#include <ATen/native/ConvUtils.h>
#include <ATen/record_function.h>
#include <torch/csrc/autograd/custom_function.h>

namespace voxgrad {

namespace {

const std::vector<int64_t>& ones(size_t dimensions) {
  static const std::vector<int64_t> two(2, 1), three(3, 1);
  return dimensions == 2 ? two : three;
}

const std::vector<int64_t>& zeros(size_t dimensions) {
  static const std::vector<int64_t> two(2, 0), three(3, 0);
  return dimensions == 2 ? two : three;
}

/// The gradients of x, weight and bias, where they are wanted. libtorch registers one function for every instruction
/// set, since oneDNN chooses by itself; so DEFAULT is called, as the stubs' own way of choosing depends on how libtorch
/// was compiled.
std::tuple<at::Tensor, at::Tensor, at::Tensor> gradients_of(const at::Tensor& x, const at::Tensor& weight,
                                                            const at::Tensor& gradient, const ConvolutionRules& rules,
                                                            const std::array<bool, 3>& wanted) {
  RECORD_FUNCTION("voxgrad::convolution_backward", std::vector<c10::IValue>({x, weight, gradient}));
  const auto &one = ones(rules.stride.size()), &zero = zeros(rules.stride.size());
  if (rules.transposed) {
    return at::native::mkldnn_convolution_transpose_backward_stub.DEFAULT(x, gradient, weight, rules.padding, zero,
                                                                          rules.stride, one, 1, wanted);
  }
  return at::native::mkldnn_convolution_backward_stub.DEFAULT(x, gradient, weight, rules.padding, rules.stride, one, 1,
                                                              wanted);
}

void save(torch::autograd::AutogradContext* context, const ConvolutionRules& rules, bool has_bias) {
  context->saved_data["stride"] = rules.stride;
  context->saved_data["padding"] = rules.padding;
  context->saved_data["transposed"] = rules.transposed;
  context->saved_data["bias"] = has_bias;
}

ConvolutionRules saved_rules(torch::autograd::AutogradContext* context) {
  const auto& saved = context->saved_data;
  return {saved.at("stride").toIntVector(), saved.at("padding").toIntVector(), saved.at("transposed").toBool()};
}

class OneDnnConvolution : public torch::autograd::Function<OneDnnConvolution> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, const ConvolutionRules& rules) {
    context->save_for_backward({x, weight});
    save(context, rules, bias.has_value());
    const size_t dimensions = rules.stride.size();
    if (!rules.transposed)
      return at::mkldnn_convolution(x, weight, bias, rules.padding, rules.stride, ones(dimensions), 1);
    RECORD_FUNCTION("voxgrad::transposed_convolution", std::vector<c10::IValue>({x, weight}));
    return at::native::mkldnn_convolution_transpose_stub.DEFAULT(x, weight, bias, rules.padding, zeros(dimensions),
                                                                 rules.stride, ones(dimensions), 1);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &gradient = gradients[0];
    const ConvolutionRules rules = saved_rules(context);
    const bool biased = context->saved_data["bias"].toBool() && context->needs_input_grad(2);
    const auto [of_x, of_weight, of_bias] =
        gradients_of(x, weight, gradient, rules, {context->needs_input_grad(0), context->needs_input_grad(1), biased});
    return {of_x, of_weight, of_bias, {}};
  }
};

class OneDnnConvolutionOfTwo : public torch::autograd::Function<OneDnnConvolutionOfTwo> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& a, const at::Tensor& b,
                            const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                            const ConvolutionRules& rules) {
    context->save_for_backward({a, b, weight});
    save(context, rules, bias.has_value());
    return at::mkldnn_convolution(at::cat({a, b}, 1), weight, bias, rules.padding, rules.stride,
                                  ones(rules.stride.size()), 1);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &a = saved[0], &b = saved[1], &weight = saved[2];
    const ConvolutionRules rules = saved_rules(context);
    const bool biased = context->saved_data["bias"].toBool() && context->needs_input_grad(3);
    const auto [of_a, of_weight_a, of_bias] =
        gradients_of(a, weight.narrow(1, 0, a.size(1)), gradients[0], rules,
                     {context->needs_input_grad(0), context->needs_input_grad(2), biased});
    const auto [of_b, of_weight_b, none] =
        gradients_of(b, weight.narrow(1, a.size(1), b.size(1)), gradients[0], rules,
                     {context->needs_input_grad(1), context->needs_input_grad(2), false});
    const at::Tensor of_weight = of_weight_a.defined() ? at::cat({of_weight_a, of_weight_b}, 1) : at::Tensor();
    return {of_a, of_b, of_weight, of_bias, {}};
  }
};

bool by_one_dnn(const at::Tensor& x) {
  return x.is_cpu() && x.scalar_type() == at::kFloat && at::globalContext().userEnabledMkldnn();
}

}  // namespace

at::Tensor convolution(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                       const ConvolutionRules& rules) {
  if (by_one_dnn(x)) return OneDnnConvolution::apply(x, weight, bias, rules);
  const size_t dimensions = rules.stride.size();
  return at::convolution(x, weight, bias, rules.stride, rules.padding, ones(dimensions), rules.transposed,
                         zeros(dimensions), 1);
}

at::Tensor convolution_of_two(const at::Tensor& a, const at::Tensor& b, const at::Tensor& weight,
                              const std::optional<at::Tensor>& bias, const ConvolutionRules& rules) {
  if (by_one_dnn(a)) return OneDnnConvolutionOfTwo::apply(a, b, weight, bias, rules);
  return convolution(at::cat({a, b}, 1), weight, bias, rules);
}

}  // namespace voxgrad
