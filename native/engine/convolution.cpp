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

/// libtorch registers one function for every instruction set, since oneDNN chooses by itself; so DEFAULT is called, as
/// the stubs' own way of choosing depends on how libtorch was compiled.
class OneDnnConvolution : public torch::autograd::Function<OneDnnConvolution> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, const ConvolutionRules& rules) {
    context->save_for_backward({x, weight});
    context->saved_data["stride"] = rules.stride;
    context->saved_data["padding"] = rules.padding;
    context->saved_data["transposed"] = rules.transposed;
    const size_t dimensions = rules.stride.size();
    context->saved_data["bias"] = bias.has_value();
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
    RECORD_FUNCTION("voxgrad::convolution_backward", std::vector<c10::IValue>({x, weight, gradient}));
    const std::vector<int64_t> stride = context->saved_data["stride"].toIntVector(),
                               padding = context->saved_data["padding"].toIntVector();
    const std::array<bool, 3> wanted = {context->needs_input_grad(0), context->needs_input_grad(1),
                                        context->saved_data["bias"].toBool() && context->needs_input_grad(2)};
    const size_t dimensions = stride.size();
    const auto [of_x, of_weight, of_bias] =
        context->saved_data["transposed"].toBool()
            ? at::native::mkldnn_convolution_transpose_backward_stub.DEFAULT(
                  x, gradient, weight, padding, zeros(dimensions), stride, ones(dimensions), 1, wanted)
            : at::native::mkldnn_convolution_backward_stub.DEFAULT(x, gradient, weight, padding, stride,
                                                                   ones(dimensions), 1, wanted);
    return {of_x, of_weight, of_bias, {}};
  }
};

}  // namespace

at::Tensor convolution(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                       const ConvolutionRules& rules) {
  if (x.is_cpu() && x.scalar_type() == at::kFloat && at::globalContext().userEnabledMkldnn())
    return OneDnnConvolution::apply(x, weight, bias, rules);
  const size_t dimensions = rules.stride.size();
  return at::convolution(x, weight, bias, rules.stride, rules.padding, ones(dimensions), rules.transposed,
                         zeros(dimensions), 1);
}

}  // namespace voxgrad
