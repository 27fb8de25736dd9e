// The networks' convolutions.
#pragma once
#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

namespace voxgrad {

/// What at::convolution takes besides tensors. Nothing is dilated or grouped, and a transposed convolution's windows do
/// not overlap: it needs no padding.
struct ConvolutionRules {
  std::vector<int64_t> stride, padding;
  bool transposed = false;
};

/// As at::convolution, with the same gradients. On the CPU in float32 oneDNN computes it whatever the batch: libtorch
/// itself takes loops that are several times slower for a batch of one with few channels (ConvParams::use_mkldnn).
at::Tensor convolution(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                       const ConvolutionRules& rules);

/// convolution(cat({a, b}, 1), weight, nothing, rules) for one that is not transposed. On the CPU in float32 what is
/// kept for the gradient is a and b, which others keep as well, and not their concatenation.
at::Tensor convolution_of_two(const at::Tensor& a, const at::Tensor& b, const at::Tensor& weight,
                              const std::optional<at::Tensor>& bias, const ConvolutionRules& rules);

}  // namespace voxgrad
