// The intensity transforms of one channel: the kernels on an accelerator, and the CPU's own loops over their
// arithmetic.
#include "kernels/intensity.h"

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <cstring>

#include "kernels/launch.h"
#include "kernels/ops.h"

// The wheel's own kernels choose their instructions at run time; so do these.
#define VOXGRAD_VECTORIZED __attribute__((target_clones("avx512f", "avx2", "default")))

namespace voxgrad {

namespace {

/// Values whose sums are made in float32. Fixed, so that the result does not depend on the number of threads.
constexpr int64_t kRun = 4096;
constexpr int64_t kLanes = 16;

VOXGRAD_VECTORIZED void add_moments(const float* __restrict values, int64_t count, float shift, ChannelSums* result) {
  float sum[kLanes] = {}, squares[kLanes] = {}, low[kLanes], high[kLanes];
  for (int64_t lane = 0; lane < kLanes; ++lane) low[lane] = high[lane] = values[0];
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      const float value = values[i + lane], centered = value - shift;
      sum[lane] += centered;
      squares[lane] += centered * centered;
      low[lane] = value < low[lane] ? value : low[lane];
      high[lane] = value > high[lane] ? value : high[lane];
    }
  }
  for (; i < count; ++i) {
    const float value = values[i], centered = value - shift;
    sum[0] += centered;
    squares[0] += centered * centered;
    low[0] = value < low[0] ? value : low[0];
    high[0] = value > high[0] ? value : high[0];
  }
  for (int64_t lane = 1; lane < kLanes; ++lane) {
    sum[0] += sum[lane];
    squares[0] += squares[lane];
    low[0] = std::min(low[0], low[lane]);
    high[0] = std::max(high[0], high[lane]);
  }
  *result = {sum[0], squares[0], low[0], high[0]};
}

ChannelStatistics statistics_of(const float* values, int64_t count) {
  const int64_t runs = (count + kRun - 1) / kRun;
  std::vector<ChannelSums> sums(static_cast<size_t>(runs));
  at::parallel_for(0, runs, 16, [&](int64_t begin, int64_t end) {
    for (int64_t run = begin; run < end; ++run)
      add_moments(values + run * kRun, std::min(kRun, count - run * kRun), values[0], &sums[static_cast<size_t>(run)]);
  });
  ChannelStatistics result{};
  ChannelFinish{values, sums.data(), &result, runs, count}(0);
  return result;
}

/// A tensor's memory as a struct of float32 members.
template <class Struct>
Struct* in(const at::Tensor& memory) {
  return reinterpret_cast<Struct*>(memory.data_ptr<float>());
}
template <class Struct>
at::Tensor memory_for(int64_t count, const at::Tensor& like) {
  return at::empty({count * static_cast<int64_t>(sizeof(Struct) / sizeof(float))}, like.options());
}

/// The same on an accelerator, where it stays.
at::Tensor statistics_on_device(const at::Tensor& values) {
  const int64_t count = values.numel();
  int64_t partials = std::clamp<int64_t>(count / 64, 1, 4096);
  at::Tensor sums = memory_for<ChannelSums>(partials, values);
  const auto device = values.device();
  launch(device, partials, ChannelMoments{values.data_ptr<float>(), in<ChannelSums>(sums), count, partials});
  if (partials > ChannelFold::kGroup) {
    const int64_t groups = (partials + ChannelFold::kGroup - 1) / ChannelFold::kGroup;
    const at::Tensor folded = memory_for<ChannelSums>(groups, values);
    launch(device, groups, ChannelFold{in<ChannelSums>(sums), in<ChannelSums>(folded), partials});
    sums = folded;
    partials = groups;
  }
  const at::Tensor result = memory_for<ChannelStatistics>(1, values);
  launch(
      device, 1,
      ChannelFinish{values.data_ptr<float>(), in<ChannelSums>(sums), in<ChannelStatistics>(result), partials, count});
  return result;
}

VOXGRAD_VECTORIZED void apply_contrast(float* values, int64_t count, ChannelStatistics statistics, Contrast contrast) {
  for (int64_t i = 0; i < count; ++i) values[i] = contrast(values[i], statistics);
}
VOXGRAD_VECTORIZED void raise_gamma(float* values, int64_t count, ChannelStatistics before, Gamma gamma) {
  for (int64_t i = 0; i < count; ++i) values[i] = gamma.raise(values[i], before);
}
VOXGRAD_VECTORIZED void restore_gamma(float* values, int64_t count, ChannelStatistics before, ChannelStatistics behind,
                                      Gamma gamma) {
  for (int64_t i = 0; i < count; ++i) values[i] = gamma.restore(values[i], before, behind);
}

/// Calls work(first value, count) for runs of a channel, in parallel.
template <class Work>
void for_each_run(const at::Tensor& values, const Work& work) {
  float* first = values.data_ptr<float>();
  at::parallel_for(0, values.numel(), kRun, [&](int64_t begin, int64_t end) { work(first + begin, end - begin); });
}

VOXGRAD_VECTORIZED void scale_row(const float* __restrict from, int64_t count, float weight, float* __restrict to) {
  for (int64_t i = 0; i < count; ++i) to[i] = from[i] * weight;
}
VOXGRAD_VECTORIZED void add_rows(const float* __restrict one, const float* __restrict other, int64_t count,
                                 float weight, float* __restrict to) {
  for (int64_t i = 0; i < count; ++i) to[i] += (one[i] + other[i]) * weight;
}

/// A blur along an axis whose neighbors lie `stride` apart: whole rows of `stride` values at a time.
void blur_rows(const BlurAxis& blur, int64_t count) {
  const int64_t rows = count / blur.stride;
  at::parallel_for(0, rows, std::max<int64_t>(1, kRun / blur.stride), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t at = row % blur.extent;
      const float* line = blur.from + (row - at) * blur.stride;
      float* to = blur.to + row * blur.stride;
      scale_row(line + at * blur.stride, blur.stride, blur.weights[0], to);
      for (int64_t k = 1; k <= blur.half; ++k) {
        add_rows(line + blur.reflected(at - k) * blur.stride, line + blur.reflected(at + k) * blur.stride, blur.stride,
                 blur.weights[k], to);
      }
    }
  });
}

/// A blur along the last axis, each row from a copy with its reflected ends. blur.from may be blur.to.
void blur_last(const BlurAxis& blur, int64_t count) {
  const int64_t rows = count / blur.extent;
  at::parallel_for(0, rows, std::max<int64_t>(1, kRun / blur.extent), [&](int64_t begin, int64_t end) {
    std::vector<float> extended(static_cast<size_t>(blur.extent + 2 * blur.half));
    for (int64_t row = begin; row < end; ++row) {
      const float* from = blur.from + row * blur.extent;
      float *middle = extended.data() + blur.half, *to = blur.to + row * blur.extent;
      std::memcpy(middle, from, sizeof(float) * static_cast<size_t>(blur.extent));
      for (int64_t k = 1; k <= blur.half; ++k) {
        middle[-k] = from[blur.reflected(-k)];
        middle[blur.extent - 1 + k] = from[blur.reflected(blur.extent - 1 + k)];
      }
      scale_row(middle, blur.extent, blur.weights[0], to);
      for (int64_t k = 1; k <= blur.half; ++k) add_rows(middle - k, middle + k, blur.extent, blur.weights[k], to);
    }
  });
}

VOXGRAD_VECTORIZED void mix_rows(const float* __restrict low, const float* __restrict high, int64_t count, float weight,
                                 float* __restrict to) {
  for (int64_t i = 0; i < count; ++i) to[i] = mix(low[i], high[i], weight);
}
VOXGRAD_VECTORIZED void mix_along(const float* __restrict from, const int32_t* __restrict low,
                                  const int32_t* __restrict high, const float* __restrict weight, int64_t count,
                                  float* __restrict to) {
  for (int64_t i = 0; i < count; ++i) to[i] = mix(from[low[i]], from[high[i]], weight[i]);
}

/// Where the voxels of an axis lie between coarse ones.
struct Positions {
  std::vector<int32_t> low, high;
  std::vector<float> weight;
  Positions(const LowResolution& grid, int axis) {
    for (int64_t at = 0; at < grid.fine[axis]; ++at) {
      int64_t below, above;
      float share;
      grid.between(axis, at, below, above, share);
      low.push_back(static_cast<int32_t>(below));
      high.push_back(static_cast<int32_t>(above));
      weight.push_back(share);
    }
  }
};

void sample_coarse(const SampleCoarse& sample) {
  const LowResolution& grid = sample.grid;
  std::vector<int64_t> columns;
  for (int64_t x = 0; x < grid.coarse[2]; ++x)
    columns.push_back(grid.flip[2] ? grid.fine[2] - 1 - grid.nearest(2, x) : grid.nearest(2, x));
  float* to = sample.coarse;
  for (int64_t z = 0; z < grid.coarse[0]; ++z) {
    for (int64_t y = 0; y < grid.coarse[1]; ++y) {
      const float* row = sample.values + mirrored_index(grid.fine, grid.flip, grid.nearest(0, z), grid.nearest(1, y),
                                                        grid.flip[2] ? grid.fine[2] - 1 : 0);
      for (const int64_t column : columns) *to++ = row[column];
    }
  }
}

/// Axis by axis: the same sums as SampleFine's, most of them made for many voxels at once.
void sample_fine(const SampleFine& sample) {
  const LowResolution& grid = sample.grid;
  const Positions z(grid, 0), y(grid, 1), x(grid, 2);
  const int64_t width = grid.fine[2], plane = grid.fine[1] * width, rows = grid.coarse[0] * grid.coarse[1];
  std::vector<float> wide(static_cast<size_t>(rows * width));
  at::parallel_for(0, rows, 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      mix_along(sample.coarse + row * grid.coarse[2], x.low.data(), x.high.data(), x.weight.data(), width,
                wide.data() + row * width);
    }
  });
  std::vector<float> planes(static_cast<size_t>(grid.coarse[0] * plane));
  at::parallel_for(0, grid.coarse[0] * grid.fine[1], 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto at = static_cast<size_t>(i % grid.fine[1]);
      const float* slab = wide.data() + i / grid.fine[1] * grid.coarse[1] * width;
      mix_rows(slab + y.low[at] * width, slab + y.high[at] * width, width, y.weight[at], planes.data() + i * width);
    }
  });
  at::parallel_for(0, grid.fine[0], 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto at = static_cast<size_t>(i);
      mix_rows(planes.data() + z.low[at] * plane, planes.data() + z.high[at] * plane, plane, z.weight[at],
               sample.values + i * plane);
    }
  });
}

void check_channel(const at::Tensor& values) {
  TORCH_CHECK(values.dim() == 3 && values.is_contiguous() && values.scalar_type() == at::kFloat,
              "expected one contiguous float32 channel (z, y, x)");
}

}  // namespace

void blur_channel(const at::Tensor& values, const std::array<std::vector<float>, 3>& weights) {
  check_channel(values);
  const int64_t count = values.numel();
  at::Tensor from = values, to;
  for (int axis = 0; axis < 3; ++axis) {
    const auto& taps = weights[static_cast<size_t>(axis)];
    if (taps.empty() || values.size(axis) == 1) continue;
    const bool in_place = values.is_cpu() && axis == 2;
    if (!in_place && !to.defined()) to = at::empty_like(values);
    BlurAxis blur{from.data_ptr<float>(), (in_place ? from : to).data_ptr<float>(), values.size(axis),
                  values.stride(axis),    static_cast<int64_t>(taps.size()) - 1,    {}};
    TORCH_CHECK(blur.half <= BlurAxis::kMost && blur.half < blur.extent, "blur: too many weights");
    std::copy(taps.begin(), taps.end(), blur.weights);
    if (!values.is_cpu()) {
      launch(values.device(), count, blur);
    } else if (in_place) {
      blur_last(blur, count);
    } else {
      blur_rows(blur, count);
    }
    if (!in_place) std::swap(from, to);
  }
  if (!from.is_same(values)) values.copy_(from);
}

void contrast_channel(const at::Tensor& values, float factor, bool clamp) {
  check_channel(values);
  const Contrast contrast{factor, clamp};
  if (!values.is_cpu()) {
    const at::Tensor statistics = statistics_on_device(values);
    return launch(values.device(), values.numel(),
                  ApplyContrast{values.data_ptr<float>(), in<ChannelStatistics>(statistics), contrast});
  }
  const ChannelStatistics statistics = statistics_of(values.data_ptr<float>(), values.numel());
  for_each_run(values, [&](float* run, int64_t count) { apply_contrast(run, count, statistics, contrast); });
}

void low_resolution_channel(const at::Tensor& values, const std::array<int64_t, 3>& coarse,
                            const std::array<bool, 3>& flip) {
  check_channel(values);
  LowResolution grid{};
  for (int axis = 0; axis < 3; ++axis) {
    grid.fine[axis] = values.size(axis);
    grid.coarse[axis] = coarse[static_cast<size_t>(axis)];
    grid.flip[axis] = flip[static_cast<size_t>(axis)];
  }
  const at::Tensor sampled = at::empty(coarse, values.options());
  const SampleCoarse down{values.data_ptr<float>(), sampled.data_ptr<float>(), grid};
  const SampleFine up{sampled.data_ptr<float>(), values.data_ptr<float>(), grid};
  if (values.is_cpu()) {
    sample_coarse(down);
    sample_fine(up);
  } else {
    launch(values.device(), sampled.numel(), down);
    launch(values.device(), values.numel(), up);
  }
}

void gamma_channel(const at::Tensor& values, float exponent, bool invert) {
  check_channel(values);
  TORCH_CHECK(exponent > 0, "gamma: expected an exponent above 0, found ", exponent);
  const Gamma gamma{exponent, invert};
  float* first = values.data_ptr<float>();
  const int64_t count = values.numel();
  if (!values.is_cpu()) {
    const at::Tensor before = statistics_on_device(values);
    launch(values.device(), count, RaiseGamma{first, in<ChannelStatistics>(before), gamma});
    const at::Tensor behind = statistics_on_device(values);
    return launch(values.device(), count,
                  RestoreGamma{first, in<ChannelStatistics>(before), in<ChannelStatistics>(behind), gamma});
  }
  const ChannelStatistics before = statistics_of(first, count);
  for_each_run(values, [&](float* run, int64_t length) { raise_gamma(run, length, before, gamma); });
  const ChannelStatistics behind = statistics_of(first, count);
  for_each_run(values, [&](float* run, int64_t length) { restore_gamma(run, length, before, behind, gamma); });
}

}  // namespace voxgrad
