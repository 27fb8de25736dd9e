// Instance norm + leaky ReLU on the CPU, channels-last.
#include "kernels/instance_norm.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <cmath>
#include <vector>

// The wheel's own kernels choose their instructions at run time; so do these.
#define VOXGRAD_VECTORIZED __attribute__((target_clones("avx512f", "avx2", "default")))

namespace voxgrad {

namespace {

/// Voxels whose sums are made in float32. Fixed, so that the result does not depend on the number of threads.
constexpr int64_t kRun = 512;

/// sums[c] += values - shift, squares[c] += (values - shift)^2 over `voxels` rows of C channels.
VOXGRAD_VECTORIZED void add_moments(const float* __restrict values, int64_t voxels, int64_t channels,
                                    const float* __restrict shift, float* __restrict sums, float* __restrict squares) {
  for (int64_t voxel = 0; voxel < voxels; ++voxel, values += channels) {
    for (int64_t c = 0; c < channels; ++c) {
      const float centered = values[c] - shift[c];
      sums[c] += centered;
      squares[c] += centered * centered;
    }
  }
}

/// result = leaky_relu((values - mean) * scale + bias).
VOXGRAD_VECTORIZED void normalize(const float* __restrict values, int64_t voxels, int64_t channels,
                                  const float* __restrict mean, const float* __restrict scale,
                                  const float* __restrict bias, float slope, float* __restrict result) {
  for (int64_t voxel = 0; voxel < voxels; ++voxel, values += channels, result += channels) {
    for (int64_t c = 0; c < channels; ++c) {
      const float y = (values[c] - mean[c]) * scale[c] + bias[c];
      result[c] = y > 0 ? y : y * slope;
    }
  }
}

/// Sums of the gradient behind the leaky ReLU, and of it times the centered value.
VOXGRAD_VECTORIZED void add_gradient_sums(const float* __restrict values, const float* __restrict gradient,
                                          int64_t voxels, int64_t channels, const float* __restrict mean,
                                          const float* __restrict scale, const float* __restrict bias, float slope,
                                          float* __restrict sums, float* __restrict products) {
  for (int64_t voxel = 0; voxel < voxels; ++voxel, values += channels, gradient += channels) {
    for (int64_t c = 0; c < channels; ++c) {
      const float centered = values[c] - mean[c];
      const float y = centered * scale[c] + bias[c];
      const float g = y > 0 ? gradient[c] : gradient[c] * slope;
      sums[c] += g;
      products[c] += g * centered;
    }
  }
}

/// result = scale * g - constant - linear * (values - mean).
VOXGRAD_VECTORIZED void input_gradient(const float* __restrict values, const float* __restrict gradient, int64_t voxels,
                                       int64_t channels, const float* __restrict mean, const float* __restrict scale,
                                       const float* __restrict bias, const float* __restrict constant,
                                       const float* __restrict linear, float slope, float* __restrict result) {
  for (int64_t voxel = 0; voxel < voxels; ++voxel, values += channels, gradient += channels, result += channels) {
    for (int64_t c = 0; c < channels; ++c) {
      const float centered = values[c] - mean[c];
      const float y = centered * scale[c] + bias[c];
      const float g = y > 0 ? gradient[c] : gradient[c] * slope;
      result[c] = scale[c] * g - constant[c] - linear[c] * centered;
    }
  }
}

struct Extents {
  int64_t samples, voxels, channels;
  int64_t runs() const { return (voxels + kRun - 1) / kRun; }
};

Extents extents_of(const at::Tensor& x) { return {x.size(0), x.numel() / (x.size(0) * x.size(1)), x.size(1)}; }

/// Calls work(sample, first value of the run, voxels of the run, run) for all runs of all samples, in parallel.
template <class Work>
void for_each_run(const Extents& extents, const Work& work) {
  at::parallel_for(0, extents.samples * extents.runs(), 8, [&](int64_t begin, int64_t end) {
    for (int64_t index = begin; index < end; ++index) {
      const int64_t sample = index / extents.runs(), run = index % extents.runs();
      const int64_t voxels = std::min(kRun, extents.voxels - run * kRun);
      work(sample, (sample * extents.voxels + run * kRun) * extents.channels, voxels, index);
    }
  });
}

/// Two columns of sums a run, filled by `fill`, added in order in float64: result[sample * C + c] is {first, second}.
template <class Fill>
std::vector<std::array<double, 2>> sum_runs(const Extents& extents, const Fill& fill) {
  const int64_t channels = extents.channels;
  std::vector<float> partial(static_cast<size_t>(extents.samples * extents.runs() * 2 * channels), 0.0f);
  for_each_run(extents, [&](int64_t sample, int64_t first, int64_t voxels, int64_t index) {
    float* sums = partial.data() + index * 2 * channels;
    fill(sample, first, voxels, sums, sums + channels);
  });
  std::vector<std::array<double, 2>> result(static_cast<size_t>(extents.samples * channels), {0.0, 0.0});
  for (int64_t index = 0; index < extents.samples * extents.runs(); ++index) {
    const float* sums = partial.data() + index * 2 * channels;
    auto* target = result.data() + index / extents.runs() * channels;
    for (int64_t c = 0; c < channels; ++c) {
      target[c][0] += sums[c];
      target[c][1] += sums[channels + c];
    }
  }
  return result;
}

class InstanceNormLeakyRelu : public torch::autograd::Function<InstanceNormLeakyRelu> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, double eps, double slope) {
    const Extents extents = extents_of(x);
    const int64_t channels = extents.channels;
    const float* values = x.data_ptr<float>();
    const auto moments =
        sum_runs(extents, [&](int64_t sample, int64_t first, int64_t voxels, float* sums, float* squares) {
          add_moments(values + first, voxels, channels, values + sample * extents.voxels * channels, sums, squares);
        });
    // Rows: mean, 1 / standard deviation, and that times the weight; each (samples, channels).
    at::Tensor statistics = at::empty({3, extents.samples * channels}, x.options());
    float* mean = statistics.data_ptr<float>();
    float *inverse = mean + moments.size(), *scale = inverse + moments.size();
    const auto count = static_cast<double>(extents.voxels);
    for (size_t i = 0; i < moments.size(); ++i) {
      const auto c = static_cast<int64_t>(i) % channels;
      const double shift = values[static_cast<int64_t>(i) / channels * extents.voxels * channels + c];
      const double centered = moments[i][0] / count;
      const double variance = std::max(moments[i][1] / count - centered * centered, 0.0);
      const double reciprocal = 1.0 / std::sqrt(variance + eps);
      mean[i] = static_cast<float>(shift + centered);
      inverse[i] = static_cast<float>(reciprocal);
      scale[i] = static_cast<float>(weight.data_ptr<float>()[c] * reciprocal);
    }
    at::Tensor y = at::empty_like(x);
    float* result = y.data_ptr<float>();
    for_each_run(extents, [&](int64_t sample, int64_t first, int64_t voxels, int64_t) {
      const int64_t row = sample * channels;
      normalize(values + first, voxels, channels, mean + row, scale + row, bias.data_ptr<float>(),
                static_cast<float>(slope), result + first);
    });
    context->save_for_backward({x, statistics, bias});
    context->saved_data["slope"] = slope;
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &statistics = saved[1], &bias = saved[2];
    const auto slope = static_cast<float>(context->saved_data["slope"].toDouble());
    const Extents extents = extents_of(x);
    const int64_t channels = extents.channels, rows = extents.samples * channels;
    const at::Tensor dense = gradients[0].contiguous(x.suggest_memory_format());
    const float *values = x.data_ptr<float>(), *gradient = dense.data_ptr<float>();
    const float* mean = statistics.data_ptr<float>();
    const float *inverse = mean + rows, *scale = inverse + rows;
    const float* shift = bias.data_ptr<float>();

    const auto sums =
        sum_runs(extents, [&](int64_t sample, int64_t first, int64_t voxels, float* total, float* products) {
          const int64_t row = sample * channels;
          add_gradient_sums(values + first, gradient + first, voxels, channels, mean + row, scale + row, shift, slope,
                            total, products);
        });
    at::Tensor weight_gradient = at::zeros({channels}, x.options()), bias_gradient = at::zeros({channels}, x.options());
    std::vector<float> constant(sums.size()), linear(sums.size());
    const auto count = static_cast<double>(extents.voxels);
    for (size_t i = 0; i < sums.size(); ++i) {
      const size_t c = i % static_cast<size_t>(channels);
      const double normalized = sums[i][1] * inverse[i];  // sum of g times the normalized value
      weight_gradient.data_ptr<float>()[c] += static_cast<float>(normalized);
      bias_gradient.data_ptr<float>()[c] += static_cast<float>(sums[i][0]);
      constant[i] = static_cast<float>(scale[i] * sums[i][0] / count);
      linear[i] = static_cast<float>(scale[i] * normalized * inverse[i] / count);
    }
    at::Tensor result = at::empty_like(x);
    float* target = result.data_ptr<float>();
    for_each_run(extents, [&](int64_t sample, int64_t first, int64_t voxels, int64_t) {
      const int64_t row = sample * channels;
      input_gradient(values + first, gradient + first, voxels, channels, mean + row, scale + row, shift,
                     constant.data() + row, linear.data() + row, slope, target + first);
    });
    return {result, weight_gradient, bias_gradient, {}, {}};
  }
};

}  // namespace

at::Tensor instance_norm_leaky_relu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps,
                                    double negative_slope) {
  return InstanceNormLeakyRelu::apply(x, weight, bias, eps, negative_slope);
}

namespace {
/// Any layout in, the channels-last layout that the kernel needs out.
at::Tensor channels_last(const at::Tensor& x) {
  return x.contiguous(x.dim() == 5 ? at::MemoryFormat::ChannelsLast3d : at::MemoryFormat::ChannelsLast);
}

using Gradients = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

Gradients gradients_of(const at::Tensor& gradient, const at::Tensor& x, const at::Tensor& weight,
                       const at::Tensor& bias, double eps, double slope) {
  // Ops are called in inference mode, whose tensors know no gradient.
  const c10::InferenceMode off(false);
  const at::AutoGradMode enabled(true);
  at::Tensor leaves[3];
  for (const auto& [leaf, source] : {std::pair{0, channels_last(x)}, std::pair{1, weight}, std::pair{2, bias}}) {
    leaves[leaf] = source.detach().clone().set_requires_grad(true);
  }
  instance_norm_leaky_relu(leaves[0], leaves[1], leaves[2], eps, slope).backward(gradient.clone());
  return {leaves[0].grad().contiguous(), leaves[1].grad(), leaves[2].grad()};
}
}  // namespace

TORCH_LIBRARY_IMPL(voxgrad, CompositeImplicitAutograd, m) {
  m.impl("instance_norm_leaky_relu",
         [](const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps, double slope) {
           return instance_norm_leaky_relu(channels_last(x), weight, bias, eps, slope).contiguous();
         });
  m.impl("instance_norm_leaky_relu_backward", gradients_of);
}

}  // namespace voxgrad
