// Instance norm followed by a leaky ReLU on channels-last tensors, forward and backward in one pass each over the
// values and one over their statistics. Sums are made of short float32 runs added in float64: libtorch's group norm
// sums whole channels in float32 in this layout, which costs gradients three digits.
#pragma once
#include <ATen/core/Tensor.h>

namespace voxgrad {

/// leaky_relu((x - mean) / sqrt(var + eps) * weight + bias) per sample and channel; var is the population variance.
/// x: (B, C, ...) float32 on the CPU, dense in its channels-last layout; weight, bias: (C). Differentiable.
at::Tensor instance_norm_leaky_relu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps,
                                    double negative_slope);

}  // namespace voxgrad
