// Which kernels the .cu files list, told without a CUDA compiler.
#pragma once
#include <set>
#include <string>

namespace voxgrad::check {

/// Type names of all functors of VOXGRAD_CUDA_KERNEL.
std::set<std::string> compiled_functors();

/// A type's name as the source has it.
std::string readable(const std::string& type_name);

}  // namespace voxgrad::check
