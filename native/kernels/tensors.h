// Tensors as kernels take them: number format and layout; and those that tests and benchmarks ask for.
#pragma once
#include <ATen/core/Tensor.h>
#include <ATen/ops/stack.h>

#include "kernels/element.h"
#include "kernels/layout.h"

namespace voxgrad {

/// Calls work with a value of the tensor's number format: float32, bfloat16 or float16.
template <class Work>
void for_element_type(const at::Tensor& tensor, const Work& work) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return work(float{});
    case at::kBFloat16:
      return work(BFloat16{});
    case at::kHalf:
      return work(Float16{});
    default:
      TORCH_CHECK(false, "expected float32, bfloat16 or float16, found ", tensor.scalar_type());
  }
}

/// (B, C, ...), which must be dense in one of the two layouts.
inline Layout layout_of(const at::Tensor& x) {
  const int64_t samples = x.size(0), channels = x.size(1), voxels = x.numel() / (samples * channels);
  const bool channels_last = channels > 1 && x.stride(1) == 1 && x.is_contiguous(x.suggest_memory_format());
  TORCH_CHECK(channels_last || x.is_contiguous(), "expected a dense tensor");
  return channels_last ? Layout{samples, channels, voxels, channels, 1} : Layout{samples, channels, voxels, 1, voxels};
}

/// A copy of (B, C, ...) in a layout, by its number in an op's arguments: 0 contiguous, 1 channels-last, 2 neither, as
/// a slice of a larger tensor lies.
inline at::Tensor laid_out(const at::Tensor& x, int64_t layout) {
  TORCH_CHECK(layout >= 0 && layout <= 2, "expected the number of a layout, 0 to 2, found ", layout);
  if (layout == 2) return at::stack({x, x}, -1).select(-1, 0);
  const auto last = x.dim() == 5 ? at::MemoryFormat::ChannelsLast3d : at::MemoryFormat::ChannelsLast;
  return x.clone(layout == 1 ? last : at::MemoryFormat::Contiguous);
}

/// The number formats by their number in an op's arguments.
inline at::ScalarType element_type(int64_t format) {
  constexpr at::ScalarType formats[] = {at::kFloat, at::kBFloat16, at::kHalf};
  TORCH_CHECK(format >= 0 && format < 3, "expected the number of a format, 0 to 2, found ", format);
  return formats[format];
}

}  // namespace voxgrad
