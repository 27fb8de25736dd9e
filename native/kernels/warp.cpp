// The spatial transform's resampling: CPU launcher, and the composition for devices without a kernel.
#include "kernels/warp.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include "kernels/ops.h"

namespace voxgrad {

namespace {
using Outputs = std::tuple<at::Tensor, at::Tensor>;

WarpGeometry geometry_of(const at::Tensor& image, at::ArrayRef<double> matrix, at::IntArrayRef output) {
  WarpGeometry geometry;
  for (int axis = 0; axis < 3; ++axis) {
    geometry.input[axis] = image.size(axis + 1);
    geometry.output[axis] = output[axis];
  }
  for (int i = 0; i < 9; ++i) geometry.matrix[i] = static_cast<float>(matrix[i]);
  return geometry;
}

at::Tensor empty_output(const at::Tensor& input, at::IntArrayRef output) {
  return at::empty({input.size(0), output[0], output[1], output[2]}, input.options());
}

Outputs warp_cpu(const at::Tensor& image_in, const at::Tensor& labels_in, at::ArrayRef<double> matrix,
                 at::IntArrayRef output, bool nearest_image, bool nearest_labels) {
  const at::Tensor image = image_in.contiguous(), labels = labels_in.contiguous();
  const WarpGeometry geometry = geometry_of(image, matrix, output);
  const at::Tensor image_out = empty_output(image, output), labels_out = empty_output(labels, output);
  const int64_t channels = image.size(0), label_channels = labels.size(0);
  const int64_t input_volume = image.stride(0), volume = image_out.stride(0);
  const float* source = image.const_data_ptr<float>();
  float* target = image_out.data_ptr<float>();
  AT_DISPATCH_ALL_TYPES(labels.scalar_type(), "warp", [&] {
    const scalar_t* label_source = labels.const_data_ptr<scalar_t>();
    scalar_t* label_target = labels_out.data_ptr<scalar_t>();
    at::parallel_for(0, output[0] * output[1], 64, [=, &geometry](int64_t begin, int64_t end) {
      const WarpGeometry local = geometry;  // stores through target cannot alias it: it stays in registers
      for (int64_t row = begin; row < end; ++row) {
        const int64_t z = row / local.output[1], y = row % local.output[1];
        for (int64_t x = 0; x < local.output[2]; ++x) {
          const Corners corners = corners_of(local, z, y, x);
          const int64_t i = row * local.output[2] + x;
          for (int64_t c = 0; c < channels; ++c) {
            const float* channel = source + c * input_volume;
            target[c * volume + i] =
                nearest_image ? nearest_value(corners, channel, 0.f) : interpolate(corners, channel);
          }
          for (int64_t c = 0; c < label_channels; ++c) {
            const scalar_t* channel = label_source + c * input_volume;
            label_target[c * volume + i] = nearest_labels ? nearest_value(corners, channel, static_cast<scalar_t>(-1))
                                                          : warp_label(corners, channel);
          }
        }
      }
    });
  });
  return {image_out, labels_out};
}

Outputs warp_composed(const at::Tensor& image, const at::Tensor& labels, at::ArrayRef<double> matrix,
                      at::IntArrayRef output, bool nearest_image, bool nearest_labels) {
  const WarpGeometry geometry = geometry_of(image, matrix, output);
  const auto options = image.options();
  std::array<at::Tensor, 3> from_center, low, fraction, rounds_up;
  for (int axis = 0; axis < 3; ++axis) {
    std::array<int64_t, 3> shape{1, 1, 1};
    shape[axis] = output[axis];
    from_center[axis] = at::arange(output[axis], options).sub_(0.5 * (output[axis] - 1)).view(shape);
  }
  for (int axis = 0; axis < 3; ++axis) {
    const float* row = geometry.matrix + axis * 3;
    const at::Tensor position = (from_center[0] * row[0] + from_center[1] * row[1] + from_center[2] * row[2])
                                    .add_(0.5 * (geometry.input[axis] - 1));
    const at::Tensor base = position.floor();
    rounds_up[axis] = position.round().ne(base).to(at::kLong);
    fraction[axis] = position - base;
    low[axis] = base.to(at::kLong);
  }
  // Where voxels lie in memory, and whether they lie outside of the volume; both flattened.
  const auto locate = [&](const std::array<at::Tensor, 3>& index) {
    at::Tensor offset = at::zeros({}, low[0].options()), outside = at::zeros({}, options.dtype(at::kBool));
    for (int axis = 0; axis < 3; ++axis) {
      const at::Tensor clamped = index[axis].clamp(0, geometry.input[axis] - 1);
      offset = offset * geometry.input[axis] + clamped;
      outside = outside.logical_or(index[axis].ne(clamped));
    }
    return std::pair{offset.flatten(), outside.flatten()};
  };
  const at::Tensor flat_image = image.reshape({image.size(0), -1}), flat_labels = labels.reshape({labels.size(0), -1});
  const auto image_at = [&](const at::Tensor& offset, const at::Tensor& outside) {
    return flat_image.index_select(1, offset).masked_fill_(outside, 0);
  };
  const auto labels_at = [&](const at::Tensor& offset, const at::Tensor& outside) {
    return flat_labels.index_select(1, offset).masked_fill_(outside, -1);
  };

  const auto [nearest_offset, nearest_outside] =
      locate({low[0] + rounds_up[0], low[1] + rounds_up[1], low[2] + rounds_up[2]});
  at::Tensor image_out = image_at(nearest_offset, nearest_outside);
  if (!nearest_image) image_out.zero_();
  at::Tensor labels_out = labels_at(nearest_offset, nearest_outside);
  std::vector<at::Tensor> corner_weights, corner_labels;
  for (int corner = 0; corner < 8; ++corner) {
    std::array<at::Tensor, 3> index;
    at::Tensor weight;
    for (int axis = 0; axis < 3; ++axis) {
      const bool up = corner >> (2 - axis) & 1;
      index[axis] = low[axis] + (up ? 1 : 0);
      const at::Tensor factor = up ? fraction[axis] : 1 - fraction[axis];
      weight = axis == 0 ? factor : weight * factor;
    }
    weight = weight.flatten();
    const auto [offset, outside] = locate(index);
    if (!nearest_image) image_out.addcmul_(image_at(offset, outside), weight);
    corner_labels.push_back(labels_at(offset, outside));
    corner_weights.push_back(weight);
  }
  if (!nearest_labels) {
    const at::Tensor label = at::stack(corner_labels);  // (8, n, voxels)
    at::Tensor score = at::zeros(label.sizes(), options);
    for (int corner = 0; corner < 8; ++corner) {
      score.addcmul_(label.eq(corner_labels[corner]).to(at::kFloat), corner_weights[corner]);
    }
    score = score.mul_(1000).to(at::kHalf).to(at::kFloat);
    const at::Tensor best = score.amax(0, true);
    const at::Tensor tied = score.eq(best);
    const at::Tensor largest = label.amax(0, true);
    const at::Tensor smallest_winner = at::where(tied, label, largest).amin(0);
    const at::Tensor nearest =
        (rounds_up[0] * 4 + rounds_up[1] * 2 + rounds_up[2]).flatten().expand_as(label[0]).unsqueeze(0);
    labels_out = at::where(tied.gather(0, nearest)[0], labels_out, smallest_winner);
  }
  return {image_out.view({image.size(0), output[0], output[1], output[2]}),
          labels_out.view({labels.size(0), output[0], output[1], output[2]})};
}
}  // namespace

Outputs warp(const at::Tensor& image, const at::Tensor& labels, at::ArrayRef<double> matrix, at::IntArrayRef output,
             bool nearest_image, bool nearest_labels) {
  static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("voxgrad::warp", "").typed<decltype(warp)>();
  return op.call(image, labels, matrix, output, nearest_image, nearest_labels);
}

TORCH_LIBRARY_IMPL(voxgrad, CPU, m) { m.impl("warp", warp_cpu); }
TORCH_LIBRARY_IMPL(voxgrad, CompositeExplicitAutograd, m) { m.impl("warp", warp_composed); }
TORCH_LIBRARY_IMPL(voxgrad, CompositeImplicitAutograd, m) { m.impl("warp_composed", warp_composed); }

}  // namespace voxgrad
