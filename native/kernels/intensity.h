// The intensity transforms of one channel (z, y, x) in float32: the arithmetic, and the kernels of an accelerator. Host
// and device compile this same code; kernels/intensity.cpp has the CPU's loops over it. Methods: augment/intensity.h.
#pragma once
#include "kernels/element.h"
#include "kernels/gather.h"

namespace voxgrad {

/// Sums of values and squares, both shifted by the channel's first value so that nothing cancels, and the range.
struct ChannelSums {
  float sum, squares, low, high;
};

/// deviation: unbiased.
struct ChannelStatistics {
  float mean, deviation, low, high;

  VOXGRAD_HOST_DEVICE static ChannelStatistics of(double sum, double squares, double shift, float low, float high,
                                                  int64_t count) {
    const double centered = sum / static_cast<double>(count);
    const double deviations = squares - sum * centered, divisor = static_cast<double>(count > 1 ? count - 1 : 1);
    return {static_cast<float>(shift + centered), static_cast<float>(sqrt((deviations > 0 ? deviations : 0) / divisor)),
            low, high};
  }
};

/// Partial sums p of the values p, p + partials, ..., so that neighboring threads read neighboring memory.
struct ChannelMoments {
  const float* values;
  ChannelSums* sums;
  int64_t count, partials;

  VOXGRAD_HOST_DEVICE void operator()(int64_t partial) const {
    const float shift = values[0];
    ChannelSums result{0, 0, values[partial], values[partial]};
    for (int64_t i = partial; i < count; i += partials) {
      const float value = values[i], centered = value - shift;
      result.sum += centered;
      result.squares += centered * centered;
      result.low = value < result.low ? value : result.low;
      result.high = value > result.high ? value : result.high;
    }
    sums[partial] = result;
  }
};

/// Adds groups of kGroup partial sums.
struct ChannelFold {
  static constexpr int64_t kGroup = 64;
  const ChannelSums* from;
  ChannelSums* to;
  int64_t partials;

  VOXGRAD_HOST_DEVICE void operator()(int64_t group) const {
    ChannelSums result = from[group * kGroup];
    double sum = 0, squares = 0;
    for (int64_t k = group * kGroup; k < (group + 1) * kGroup && k < partials; ++k) {
      sum += from[k].sum;
      squares += from[k].squares;
      result.low = from[k].low < result.low ? from[k].low : result.low;
      result.high = from[k].high > result.high ? from[k].high : result.high;
    }
    result.sum = static_cast<float>(sum);
    result.squares = static_cast<float>(squares);
    to[group] = result;
  }
};

/// The statistics from the last partial sums; index: 0.
struct ChannelFinish {
  const float* values;
  const ChannelSums* sums;
  ChannelStatistics* statistics;
  int64_t partials, count;

  VOXGRAD_HOST_DEVICE void operator()(int64_t) const {
    double sum = 0, squares = 0;
    float low = sums[0].low, high = sums[0].high;
    for (int64_t k = 0; k < partials; ++k) {
      sum += sums[k].sum;
      squares += sums[k].squares;
      low = sums[k].low < low ? sums[k].low : low;
      high = sums[k].high > high ? sums[k].high : high;
    }
    *statistics = ChannelStatistics::of(sum, squares, values[0], low, high, count);
  }
};

/// Scales about the mean.
struct Contrast {
  float factor;
  bool clamp;

  VOXGRAD_HOST_DEVICE float operator()(float value, const ChannelStatistics& s) const {
    const float result = (value - s.mean) * factor + s.mean;
    const float raised = result < s.low ? s.low : result;
    return !clamp ? result : raised > s.high ? s.high : raised;
  }
};

struct ApplyContrast {
  float* values;
  const ChannelStatistics* statistics;
  Contrast contrast;

  VOXGRAD_HOST_DEVICE void operator()(int64_t i) const { values[i] = contrast(values[i], *statistics); }
};

/// base to a power above 0, for a base in [0, 1]; error below 3e-7. Polynomials: Cephes (S. L. Moshier).
VOXGRAD_HOST_DEVICE inline float power(float base, float exponent) {
  const LogParts parts = LogParts::of(base);
  const float logarithm = parts.rest + (parts.tail - 0.5f * (parts.rest * parts.rest));
  const float exact = exponent * (parts.exponent + logarithm * 1.44269504088896341f);
  const float whole = exact < -126.f ? -126.f : exact > 126.f ? 126.f : exact;
  const auto n = static_cast<int32_t>(whole + (whole < 0 ? -0.5f : 0.5f));
  const float f = whole - static_cast<float>(n);
  float x = 1.535336188319500e-4f;
  x = x * f + 1.339887440266574e-3f;
  x = x * f + 9.618437357674640e-3f;
  x = x * f + 5.550332471162809e-2f;
  x = x * f + 2.402264791363012e-1f;
  x = x * f + 6.931472028550421e-1f;
  const float result = (x * f + 1.f) * float_of(static_cast<uint32_t>(n + 127) << 23);
  return base > 1e-37f ? result : 0.f;
}

/// Gamma in two steps, from the statistics before the first and behind it.
struct Gamma {
  static constexpr float kSmallest = 1e-7f;  // what batchgeneratorsv2 divides by at least
  float exponent;
  bool invert;

  VOXGRAD_HOST_DEVICE static float at_least(float value) { return value > kSmallest ? value : kSmallest; }
  VOXGRAD_HOST_DEVICE ChannelStatistics seen(const ChannelStatistics& s) const {
    return invert ? ChannelStatistics{-s.mean, s.deviation, -s.high, -s.low} : s;
  }
  /// To [0, 1] and to the power.
  VOXGRAD_HOST_DEVICE float raise(float value, const ChannelStatistics& before) const {
    const ChannelStatistics s = seen(before);
    const float low = s.low - s.mean, range = (s.high - s.mean) - low;
    return power((((invert ? -value : value) - s.mean) - low) / at_least(range), exponent);
  }
  /// Back to mean and deviation.
  VOXGRAD_HOST_DEVICE float restore(float raised, const ChannelStatistics& before,
                                    const ChannelStatistics& behind) const {
    const ChannelStatistics s = seen(before);
    const float range = (s.high - s.mean) - (s.low - s.mean);
    const float result = (raised - behind.mean) * (s.deviation * range / at_least(behind.deviation * range)) + s.mean;
    return invert ? -result : result;
  }
};

struct RaiseGamma {
  float* values;
  const ChannelStatistics* before;
  Gamma gamma;

  VOXGRAD_HOST_DEVICE void operator()(int64_t i) const { values[i] = gamma.raise(values[i], *before); }
};

struct RestoreGamma {
  float* values;
  const ChannelStatistics *before, *behind;
  Gamma gamma;

  VOXGRAD_HOST_DEVICE void operator()(int64_t i) const { values[i] = gamma.restore(values[i], *before, *behind); }
};

/// A Gaussian along one axis, reflected at the border. Neighbors at equal distance are added first, so that a mirrored
/// channel gives the mirrored result to the bit.
struct BlurAxis {
  static constexpr int64_t kMost = 16;  // weights to one side
  const float* from;
  float* to;
  int64_t extent, stride;
  int64_t half;
  float weights[kMost + 1];

  VOXGRAD_HOST_DEVICE int64_t reflected(int64_t at) const {
    return at < 0 ? -at : at >= extent ? 2 * (extent - 1) - at : at;
  }
  VOXGRAD_HOST_DEVICE void operator()(int64_t i) const {
    const int64_t at = i / stride % extent;
    const float* line = from + (i - at * stride);
    float sum = line[at * stride] * weights[0];
    for (int64_t k = 1; k <= half; ++k)
      sum += (line[reflected(at - k) * stride] + line[reflected(at + k) * stride]) * weights[k];
    to[i] = sum;
  }
};

/// A channel and its coarse grid, which lies on it as it was before mirroring.
struct LowResolution {
  int64_t fine[3], coarse[3];
  bool flip[3];

  /// The voxel that a coarse one is taken from (interpolate's nearest-exact).
  VOXGRAD_HOST_DEVICE int64_t nearest(int axis, int64_t at) const {
    const float scale = static_cast<float>(fine[axis]) / static_cast<float>(coarse[axis]);
    const auto found = static_cast<int64_t>((static_cast<float>(at) + 0.5f) * scale);
    return found < fine[axis] ? found : fine[axis] - 1;
  }
  /// Between which coarse voxels a voxel of the mirrored channel lies (linear, corners not aligned).
  VOXGRAD_HOST_DEVICE void between(int axis, int64_t at, int64_t& low, int64_t& high, float& weight) const {
    const int64_t original = flip[axis] ? fine[axis] - 1 - at : at;
    const float scale = static_cast<float>(coarse[axis]) / static_cast<float>(fine[axis]);
    const float exact = scale * (static_cast<float>(original) + 0.5f) - 0.5f;
    const float position = exact > 0 ? exact : 0.f;
    low = static_cast<int64_t>(position);
    low = low < coarse[axis] - 1 ? low : coarse[axis] - 1;
    high = low < coarse[axis] - 1 ? low + 1 : low;
    weight = position - static_cast<float>(low);
    weight = weight < 1 ? weight : 1.f;
  }
};

/// index: of a coarse voxel.
struct SampleCoarse {
  const float* values;
  float* coarse;
  LowResolution grid;

  VOXGRAD_HOST_DEVICE void operator()(int64_t i) const {
    const auto [z, y, x] = voxel_of(i, grid.coarse);
    coarse[i] =
        values[mirrored_index(grid.fine, grid.flip, grid.nearest(0, z), grid.nearest(1, y), grid.nearest(2, x))];
  }
};

VOXGRAD_HOST_DEVICE inline float mix(float low, float high, float weight) { return (1 - weight) * low + weight * high; }

/// index: of a voxel.
struct SampleFine {
  const float* coarse;
  float* values;
  LowResolution grid;

  VOXGRAD_HOST_DEVICE void operator()(int64_t i) const {
    const Voxel voxel = voxel_of(i, grid.fine);
    const int64_t at[3] = {voxel.z, voxel.y, voxel.x};
    int64_t low[3], high[3];
    float weight[3];
    for (int axis = 0; axis < 3; ++axis) grid.between(axis, at[axis], low[axis], high[axis], weight[axis]);
    const auto row = [&](int64_t z, int64_t y) {
      const float* line = coarse + (z * grid.coarse[1] + y) * grid.coarse[2];
      return mix(line[low[2]], line[high[2]], weight[2]);
    };
    values[i] = mix(mix(row(low[0], low[1]), row(low[0], high[1]), weight[1]),
                    mix(row(high[0], low[1]), row(high[0], high[1]), weight[1]), weight[0]);
  }
};

}  // namespace voxgrad
