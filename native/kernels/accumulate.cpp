// A sliding window's sums: the kernel on any device, and the CPU's own loops over rows of the tile, which do the same
// arithmetic for many voxels at a time.
#include "kernels/accumulate.h"

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <vector>

#include "kernels/launch.h"
#include "kernels/ops.h"
#include "kernels/tensors.h"

// The wheel's own kernels choose their instructions at run time; so do these.
#define VOXGRAD_VECTORIZED __attribute__((target_clones("avx512f", "avx2", "default")))

namespace voxgrad {

namespace {

VOXGRAD_VECTORIZED void add_row(const float* __restrict values, int64_t count, float* __restrict to) {
  for (int64_t x = 0; x < count; ++x) to[x] += values[x];
}
VOXGRAD_VECTORIZED void add_weighted_row(const float* __restrict sums, const float* __restrict weights, float copies,
                                         int64_t count, float* __restrict to) {
  for (int64_t x = 0; x < count; ++x) to[x] += sums[x] / copies * weights[x];
}

template <class Element>
void add_rows(const Accumulate<Element>& tile) {
  const int64_t height = tile.extents[1], width = tile.extents[2], rows = tile.extents[0] * height;
  at::parallel_for(0, rows, 16, [&](int64_t begin, int64_t end) {
    std::vector<float> line(static_cast<size_t>(width));
    for (int64_t row = begin; row < end; ++row) {
      const int64_t z = row / height, y = row % height;
      const float* weights = tile.weights + row * width;
      for (int64_t c = 0; c < tile.classes; ++c) {
        const Element* from =
            tile.output + c * tile.output_strides[0] + z * tile.output_strides[1] + y * tile.output_strides[2];
        float* kept = tile.copies_sum + (c * rows + row) * width;
        float* const values = tile.last || !tile.first ? line.data() : kept;
        for (int64_t x = 0; x < width; ++x) values[x] = to_float(from[x * tile.output_strides[3]]);
        if (!tile.last) {
          if (!tile.first) add_row(values, width, kept);
          continue;
        }
        if (!tile.first) add_row(kept, width, values);
        add_weighted_row(values, weights, tile.copies, width,
                         tile.sums + c * tile.sum_strides[0] + z * tile.sum_strides[1] + y * tile.sum_strides[2]);
      }
      if (tile.last)
        add_row(weights, width, tile.weight_sums + z * tile.weight_strides[0] + y * tile.weight_strides[1]);
    }
  });
}

}  // namespace

void accumulate(const at::Tensor& output, const std::array<bool, 3>& flip, int64_t copy, int64_t copies,
                const at::Tensor& copies_sum, const at::Tensor& weights, const at::Tensor& sums,
                const at::Tensor& weight_sums, bool kernels) {
  TORCH_CHECK(output.dim() == 4 && sums.sizes() == output.sizes() && weights.sizes() == output.sizes().slice(1) &&
                  weight_sums.sizes() == weights.sizes() && weights.is_contiguous() && sums.stride(3) == 1 &&
                  weight_sums.stride(2) == 1,
              "accumulate: expected an output (classes, z, y, x), weights (z, y, x), and a place of these extents");
  TORCH_CHECK(copies == 1 || (copies_sum.sizes() == output.sizes() && copies_sum.is_contiguous()),
              "accumulate: expected a contiguous buffer of the output's extents for its mirrored copies");
  for_element_type(output, [&](auto element) {
    using Element = decltype(element);
    Accumulate<Element> tile{static_cast<const Element*>(output.const_data_ptr()),
                             {output.stride(0)},
                             copies == 1 ? nullptr : copies_sum.data_ptr<float>(),
                             weights.const_data_ptr<float>(),
                             sums.data_ptr<float>(),
                             {sums.stride(0), sums.stride(1), sums.stride(2)},
                             weight_sums.data_ptr<float>(),
                             {weight_sums.stride(0), weight_sums.stride(1)},
                             output.size(0),
                             {},
                             copy == 0,
                             copy == copies - 1,
                             static_cast<float>(copies)};
    for (int axis = 0; axis < 3; ++axis) {
      const bool mirrored = flip[static_cast<size_t>(axis)];
      const int64_t stride = output.stride(axis + 1);
      tile.extents[axis] = output.size(axis + 1);
      tile.output_strides[axis + 1] = mirrored ? -stride : stride;
      if (mirrored) tile.output += (output.size(axis + 1) - 1) * stride;
    }
    if (output.is_cpu() && !kernels) return add_rows(tile);
    launch(output.device(), weights.numel(), tile);
  });
}

namespace {
// For tests and benchmarks: all copies of one tile.
std::tuple<at::Tensor, at::Tensor> accumulate_op(const at::Tensor& sums, const at::Tensor& weight_sums,
                                                 const at::Tensor& outputs_in, const at::Tensor& weights,
                                                 at::IntArrayRef start, at::IntArrayRef flips, int64_t format,
                                                 int64_t layout, bool kernels, int64_t repeats) {
  const at::Tensor outputs = laid_out(outputs_in.to(element_type(format)), layout);
  const auto place = [&](at::Tensor tensor) {
    for (int64_t axis = 0; axis < 3; ++axis)
      tensor = tensor.narrow(tensor.dim() - 3 + axis, start[static_cast<size_t>(axis)], weights.size(axis));
    return tensor;
  };
  const at::Tensor copies_sum = at::empty(outputs.sizes().slice(1), sums.options());
  for (int64_t repeat = 0; repeat < repeats; ++repeat) {
    for (int64_t copy = 0; copy < outputs.size(0); ++copy) {
      const int64_t* flip = flips.data() + 3 * copy;
      accumulate(outputs[copy], {flip[0] != 0, flip[1] != 0, flip[2] != 0}, copy, outputs.size(0), copies_sum, weights,
                 place(sums), place(weight_sums), kernels);
    }
  }
  return {sums, weight_sums};
}
}  // namespace

TORCH_LIBRARY_IMPL(voxgrad, CompositeImplicitAutograd, m) { m.impl("accumulate_", accumulate_op); }

}  // namespace voxgrad
