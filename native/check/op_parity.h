// Every op with a kernel, on the CPU and on another device, with the same arguments.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace voxgrad::check {

struct OpParity {
  std::string name;
  /// Euclidean norm of the difference of all results over that of the CPU's, and what it may be.
  double deviation, allowed;
};

/// Calls each op on both devices: several shapes, number formats and layouts.
std::vector<OpParity> compare_ops(at::Device device);

}  // namespace voxgrad::check
