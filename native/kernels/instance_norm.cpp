// Instance norm + leaky ReLU: the kernels on any device, and the CPU's own loops over a channels-last tensor.
#include "kernels/instance_norm.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/record_function.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <cmath>
#include <vector>

#include "kernels/launch.h"
#include "kernels/ops.h"
#include "kernels/tensors.h"

// The wheel's own kernels choose their instructions at run time; so do these.
#define VOXGRAD_VECTORIZED __attribute__((target_clones("avx512f", "avx2", "default")))

namespace voxgrad {

namespace {

/// Per (sample, channel) rows, as float32: NormRow in three columns, behind them the mean.
struct Statistics {
  at::Tensor tensor;
  NormRow* rows() const { return reinterpret_cast<NormRow*>(tensor.data_ptr<float>()); }
  float* means() const { return tensor.data_ptr<float>() + tensor.numel() / 4 * 3; }
};

// ---- kernels, on any device
// ------------------------------------------------------------------------------------------

/// As many that a large accelerator is busy, and each still adds some 64 voxels.
int64_t partials_of(int64_t voxels) { return std::clamp<int64_t>(voxels / 64, 1, 4096); }

at::Tensor sums_for(const NormPartition& partition, const at::Tensor& like) {
  return at::empty({partition.count() * 2}, like.options().dtype(at::kFloat));
}
NormSums* sums_in(const at::Tensor& sums) { return reinterpret_cast<NormSums*>(sums.data_ptr<float>()); }

/// Adds partial sums until few enough are left.
void fold(NormPartition& partition, at::Tensor& sums) {
  while (partition.partials > NormFold::kGroup) {
    const int64_t partials = partition.partials;
    partition.partials = (partials + NormFold::kGroup - 1) / NormFold::kGroup;
    const at::Tensor folded = sums_for(partition, sums);
    launch(sums.device(), partition.count(),
           NormFold{sums_in(sums), sums_in(folded), partition.layout.channels, partials, partition.partials});
    sums = folded;
  }
}

template <class Element>
void forward_kernels(const at::Tensor& x, const at::Tensor& y, const at::Tensor& weight, const at::Tensor& bias,
                     const Statistics& statistics, double eps, float slope, bool keep_input) {
  const Layout layout = layout_of(x);
  NormPartition partition{layout, partials_of(layout.voxels)};
  const auto* values = static_cast<const Element*>(x.data_ptr());
  at::Tensor sums = sums_for(partition, x);
  float* const shifts = statistics.means();  // until these are known
  launch(x.device(), layout.samples * layout.channels, NormShift<Element>{values, shifts, layout}, 64);
  launch(x.device(), partition.count(), NormMoments<Element>{values, shifts, sums_in(sums), partition}, 1);
  fold(partition, sums);
  launch(x.device(), layout.samples * layout.channels,
         NormFinish{shifts, weight.data_ptr<float>(), bias.data_ptr<float>(), sums_in(sums), statistics.means(),
                    statistics.rows(), partition, eps, keep_input});
  launch(x.device(), x.numel(),
         NormApply<Element>{values, static_cast<Element*>(y.data_ptr()), statistics.means(), bias.data_ptr<float>(),
                            statistics.rows(), layout, slope});
}

template <class Element>
void backward_kernels(const at::Tensor& kept, const at::Tensor& gradient, const Statistics& statistics, float slope,
                      const at::Tensor& result, const at::Tensor& weight_gradient, const at::Tensor& bias_gradient) {
  const Layout layout = layout_of(kept);
  NormPartition partition{layout, partials_of(layout.voxels)};
  const auto *values = static_cast<const Element*>(kept.data_ptr()),
             *gradients = static_cast<const Element*>(gradient.data_ptr());
  at::Tensor sums = sums_for(partition, kept);
  launch(kept.device(), partition.count(),
         NormGradientSums<Element>{values, gradients, statistics.rows(), sums_in(sums), partition, slope, 1 / slope},
         1);
  fold(partition, sums);
  const at::Tensor means = at::empty({layout.samples * layout.channels * 2}, sums.options());
  launch(kept.device(), layout.channels,
         NormParameterGradients{sums_in(sums), sums_in(means), weight_gradient.data_ptr<float>(),
                                bias_gradient.data_ptr<float>(), partition});
  launch(kept.device(), kept.numel(),
         NormInputGradient<Element>{values, gradients, static_cast<Element*>(result.data_ptr()), statistics.rows(),
                                    sums_in(means), layout, slope, 1 / slope});
}

// ---- the CPU's loops, float32 and channels-last
// ----------------------------------------------------------------------

/// Voxels whose sums are made in float32. Fixed, so that the result does not depend on the number of threads.
constexpr int64_t kRun = 128;

VOXGRAD_VECTORIZED void add_moments(const float* __restrict values, int64_t voxels, int64_t channels,
                                    const float* __restrict shift, float* __restrict sums, float* __restrict squares) {
  for (int64_t voxel = 0; voxel < voxels; ++voxel, values += channels) {
    for (int64_t c = 0; c < channels; ++c) add_moment(values[c], shift[c], sums[c], squares[c]);
  }
}

/// `values` may be `result`.
VOXGRAD_VECTORIZED void normalize(const float* values, int64_t voxels, int64_t channels, const float* __restrict mean,
                                  const float* __restrict scale, const float* __restrict bias, float slope,
                                  float* result) {
  for (int64_t voxel = 0; voxel < voxels; ++voxel, values += channels, result += channels) {
#pragma GCC ivdep
    for (int64_t c = 0; c < channels; ++c) result[c] = leaky_relu((values[c] - mean[c]) * scale[c] + bias[c], slope);
  }
}

VOXGRAD_VECTORIZED void add_gradient_sums(const float* __restrict kept, const float* __restrict gradient,
                                          int64_t voxels, int64_t channels, const float* __restrict offset,
                                          const float* __restrict factor, float slope, float inverse_slope,
                                          float* __restrict sums, float* __restrict products) {
  for (int64_t voxel = 0; voxel < voxels; ++voxel, kept += channels, gradient += channels) {
    for (int64_t c = 0; c < channels; ++c) {
      float g, normalized;
      recover(kept[c], gradient[c], {offset[c], factor[c], 0}, slope, inverse_slope, g, normalized);
      sums[c] += g;
      products[c] += g * normalized;
    }
  }
}

VOXGRAD_VECTORIZED void input_gradient(const float* __restrict kept, const float* __restrict gradient, int64_t voxels,
                                       int64_t channels, const float* __restrict offset, const float* __restrict factor,
                                       const float* __restrict scale, const float* __restrict mean,
                                       const float* __restrict mean_product, float slope, float inverse_slope,
                                       float* __restrict result) {
  for (int64_t voxel = 0; voxel < voxels; ++voxel, kept += channels, gradient += channels, result += channels) {
    for (int64_t c = 0; c < channels; ++c) {
      float g, normalized;
      recover(kept[c], gradient[c], {offset[c], factor[c], 0}, slope, inverse_slope, g, normalized);
      result[c] = scale[c] * (g - mean[c] - normalized * mean_product[c]);
    }
  }
}

/// Several voxels as one with so many more channels: few channels fill no vector instruction, and a loop over them
/// alone takes ten times as long. A channel's numbers are repeated for each of the voxels.
struct Lanes {
  static constexpr int64_t kWide = 64;
  int64_t channels, repeats;

  explicit Lanes(int64_t channels) : channels(channels), repeats((kWide + channels - 1) / channels) {}
  int64_t width() const { return channels * repeats; }
};

/// A part of a sample: `rows` times `width` values from `first` on, which the sample's columns in Lanes fit.
struct Run {
  int64_t sample, index, first, rows, width;
};

/// Calls work(run) for all runs of all samples, in parallel, and once more for voxels that fill no row.
template <class Work>
void for_each_run(const Layout& layout, const Work& work) {
  const Lanes lanes(layout.channels);
  const int64_t runs = (layout.voxels + kRun - 1) / kRun;
  at::parallel_for(0, layout.samples * runs, 32, [&](int64_t begin, int64_t end) {
    for (int64_t index = begin; index < end; ++index) {
      const int64_t sample = index / runs, start = index % runs * kRun;
      const int64_t voxels = std::min(kRun, layout.voxels - start), rows = voxels / lanes.repeats;
      const int64_t first = (sample * layout.voxels + start) * layout.channels, left = voxels - rows * lanes.repeats;
      if (rows > 0) work(Run{sample, index, first, rows, lanes.width()});
      if (left > 0) work(Run{sample, index, first + rows * lanes.width(), left, layout.channels});
    }
  });
}

/// Two columns of sums a run, filled by `fill`, added in order in float64: result[sample * C + c] is {first, second}.
template <class Fill>
std::vector<std::array<double, 2>> sum_runs(const Layout& layout, const Fill& fill) {
  const int64_t channels = layout.channels, runs = (layout.voxels + kRun - 1) / kRun;
  std::vector<float> partial(static_cast<size_t>(layout.samples * runs * 2 * channels), 0.0f);
  for_each_run(layout, [&](const Run& run) {
    float lanes[2][2 * Lanes::kWide];
    float *const sums = partial.data() + run.index * 2 * channels, *const seconds = sums + channels;
    if (run.width == channels) return fill(run, sums, seconds);
    std::fill_n(lanes[0], run.width, 0.0f);
    std::fill_n(lanes[1], run.width, 0.0f);
    fill(run, lanes[0], lanes[1]);
    for (int64_t lane = 0; lane < run.width; ++lane) {
      sums[lane % channels] += lanes[0][lane];
      seconds[lane % channels] += lanes[1][lane];
    }
  });
  std::vector<std::array<double, 2>> result(static_cast<size_t>(layout.samples * channels), {0.0, 0.0});
  for (int64_t index = 0; index < layout.samples * runs; ++index) {
    const float* sums = partial.data() + index * 2 * channels;
    auto* target = result.data() + index / runs * channels;
    for (int64_t c = 0; c < channels; ++c) {
      target[c][0] += sums[c];
      target[c][1] += sums[channels + c];
    }
  }
  return result;
}

/// One number a lane, for each sample: of (sample, channel) row `number(row)`.
class Column {
 public:
  template <class Number>
  Column(const Layout& layout, const Number& number) : width_(Lanes(layout.channels).width()) {
    values_.reserve(static_cast<size_t>(layout.samples * width_));
    for (int64_t sample = 0; sample < layout.samples; ++sample)
      for (int64_t lane = 0; lane < width_; ++lane)
        values_.push_back(number(sample * layout.channels + lane % layout.channels));
  }
  const float* of(const Run& run) const { return values_.data() + run.sample * width_; }

 private:
  int64_t width_;
  std::vector<float> values_;
};

void forward_loops(const at::Tensor& x, const at::Tensor& y, const at::Tensor& weight, const at::Tensor& bias,
                   const Statistics& statistics, double eps, float slope, bool keep_input) {
  const Layout layout = layout_of(x);
  const int64_t channels = layout.channels;
  const float *values = x.data_ptr<float>(), *weights = weight.data_ptr<float>(), *biases = bias.data_ptr<float>();
  float *const means = statistics.means(), *const shifts = means;  // until these are known
  NormRow* const rows = statistics.rows();
  const NormShift<float> find_shift{values, shifts, layout};
  for (int64_t i = 0; i < layout.samples * channels; ++i) find_shift(i);
  const Column shift(layout, [&](int64_t row) { return shifts[row]; });
  const auto moments = sum_runs(layout, [&](const Run& run, float* sums, float* squares) {
    add_moments(values + run.first, run.rows, run.width, shift.of(run), sums, squares);
  });
  for (size_t i = 0; i < moments.size(); ++i) {
    const size_t c = i % static_cast<size_t>(channels);
    const auto found =
        NormStatistics::of(moments[i][0], moments[i][1], shifts[i], static_cast<double>(layout.voxels), eps);
    means[i] = static_cast<float>(found.mean);
    rows[i] = found.row(weights[c], biases[c], keep_input);
  }
  const Column mean(layout, [&](int64_t row) { return means[row]; });
  const Column scale(layout, [&](int64_t row) { return rows[row].scale; });
  const Column offset(layout, [&](int64_t row) { return biases[row % channels]; });
  float* result = y.data_ptr<float>();
  for_each_run(layout, [&](const Run& run) {
    normalize(values + run.first, run.rows, run.width, mean.of(run), scale.of(run), offset.of(run), slope,
              result + run.first);
  });
}

void backward_loops(const at::Tensor& kept, const at::Tensor& gradient, const Statistics& statistics, float slope,
                    const at::Tensor& result, const at::Tensor& weight_gradient, const at::Tensor& bias_gradient) {
  const Layout layout = layout_of(kept);
  const int64_t channels = layout.channels;
  const float *values = kept.data_ptr<float>(), *gradients = gradient.data_ptr<float>();
  const NormRow* const rows = statistics.rows();
  const Column offset(layout, [&](int64_t row) { return rows[row].offset; });
  const Column factor(layout, [&](int64_t row) { return rows[row].factor; });
  const Column scale(layout, [&](int64_t row) { return rows[row].scale; });
  const float inverse_slope = 1 / slope;
  const auto sums = sum_runs(layout, [&](const Run& run, float* total, float* products) {
    add_gradient_sums(values + run.first, gradients + run.first, run.rows, run.width, offset.of(run), factor.of(run),
                      slope, inverse_slope, total, products);
  });
  std::vector<double> totals(static_cast<size_t>(channels), 0.0), products(totals);
  for (size_t i = 0; i < sums.size(); ++i) {
    totals[i % static_cast<size_t>(channels)] += sums[i][0];
    products[i % static_cast<size_t>(channels)] += sums[i][1];
  }
  std::copy(totals.begin(), totals.end(), bias_gradient.data_ptr<float>());
  std::copy(products.begin(), products.end(), weight_gradient.data_ptr<float>());
  const auto mean_of = [&](size_t which) {
    return [&sums, which, count = static_cast<double>(layout.voxels)](int64_t row) {
      return static_cast<float>(sums[static_cast<size_t>(row)][which] / count);
    };
  };
  const Column mean(layout, mean_of(0)), mean_product(layout, mean_of(1));
  float* target = result.data_ptr<float>();
  for_each_run(layout, [&](const Run& run) {
    input_gradient(values + run.first, gradients + run.first, run.rows, run.width, offset.of(run), factor.of(run),
                   scale.of(run), mean.of(run), mean_product.of(run), slope, inverse_slope, target + run.first);
  });
}

// ---- the ops
// ---------------------------------------------------------------------------------------------------------

bool takes_loops(const at::Tensor& x) {
  return x.is_cpu() && x.scalar_type() == at::kFloat && layout_of(x).channels_last();
}

/// (y, statistics); y is x itself, overwritten, unless the input is kept.
std::tuple<at::Tensor, at::Tensor> forward_op(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                                              double eps, double slope, bool keep_input, bool loops) {
  RECORD_FUNCTION("voxgrad::instance_norm_leaky_relu", std::vector<c10::IValue>{x});
  TORCH_CHECK(slope > 0 && (slope == 1 || !keep_input), "instance_norm_leaky_relu: cannot invert this leaky ReLU");
  const Statistics statistics{at::empty({4, x.size(0) * x.size(1)}, x.options().dtype(at::kFloat))};
  const at::Tensor y = keep_input ? at::empty_like(x) : x;
  if (loops) {
    forward_loops(x, y, weight, bias, statistics, eps, static_cast<float>(slope), keep_input);
  } else {
    for_element_type(x, [&](auto element) {
      forward_kernels<decltype(element)>(x, y, weight, bias, statistics, eps, static_cast<float>(slope), keep_input);
    });
  }
  return {y, statistics.tensor};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> backward_op(const at::Tensor& gradient_in, const at::Tensor& kept,
                                                           const at::Tensor& statistics, double slope, bool loops) {
  RECORD_FUNCTION("voxgrad::instance_norm_leaky_relu_backward", std::vector<c10::IValue>{gradient_in, kept});
  const bool channels_last = layout_of(kept).channels_last();
  const at::Tensor gradient =
      gradient_in.contiguous(channels_last ? kept.suggest_memory_format() : at::MemoryFormat::Contiguous);
  const at::Tensor result = at::empty_like(kept);
  const auto options = kept.options().dtype(at::kFloat);
  const at::Tensor weight_gradient = at::empty({kept.size(1)}, options),
                   bias_gradient = at::empty_like(weight_gradient);
  if (loops) {
    backward_loops(kept, gradient, {statistics}, static_cast<float>(slope), result, weight_gradient, bias_gradient);
  } else {
    for_element_type(kept, [&](auto element) {
      backward_kernels<decltype(element)>(kept, gradient, {statistics}, static_cast<float>(slope), result,
                                          weight_gradient, bias_gradient);
    });
  }
  return {result, weight_gradient, bias_gradient};
}

class InstanceNormLeakyRelu : public torch::autograd::Function<InstanceNormLeakyRelu> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, double eps, double slope, bool keep_input, bool loops) {
    const auto [y, statistics] = forward_op(x, weight, bias, eps, slope, keep_input, loops);
    if (!keep_input) context->mark_dirty({x});
    context->save_for_backward({keep_input ? x : y, statistics});
    context->saved_data["slope"] = slope;
    context->saved_data["loops"] = loops;
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto [x, weight, bias] =
        backward_op(gradients[0], saved[0], saved[1], context->saved_data["slope"].toDouble(),
                    context->saved_data["loops"].toBool());
    return {x, weight, bias, {}, {}, {}, {}};
  }
};

}  // namespace

at::Tensor instance_norm_leaky_relu_(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps,
                                     double negative_slope, bool keep_input) {
  return InstanceNormLeakyRelu::apply(x, weight, bias, eps, negative_slope, keep_input, takes_loops(x));
}

namespace {
// For tests and benchmarks: any layouts, and the kernels also on the CPU. Repeated, it normalizes its result again.
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> whole(const at::Tensor& x, const at::Tensor& gradient_in,
                                                                 const at::Tensor& weight, const at::Tensor& bias,
                                                                 double eps, double slope, int64_t layout,
                                                                 int64_t gradient_layout, bool keep_input, bool kernels,
                                                                 int64_t repeats) {
  const at::Tensor input = laid_out(x, layout), gradient = laid_out(gradient_in, gradient_layout);
  const bool loops = !kernels && takes_loops(input);
  std::tuple<at::Tensor, at::Tensor> found;
  std::tuple<at::Tensor, at::Tensor, at::Tensor> gradients;
  for (int64_t repeat = 0; repeat < repeats; ++repeat) {
    found = forward_op(input, weight, bias, eps, slope, keep_input, loops);
    gradients = backward_op(gradient, keep_input ? input : std::get<0>(found), std::get<1>(found), slope, loops);
  }
  return {std::get<0>(found).contiguous(), std::get<0>(gradients).contiguous(), std::get<1>(gradients),
          std::get<2>(gradients)};
}
}  // namespace

TORCH_LIBRARY_IMPL(voxgrad, CompositeExplicitAutograd, m) { m.impl("instance_norm_leaky_relu", whole); }

}  // namespace voxgrad
