// Instance norm followed by a leaky ReLU, forward and backward: the arithmetic of one element, and the kernels of an
// accelerator. Host and device compile this same code; kernels/instance_norm.cpp has the CPU's loops over it.
// Between convolutions the values are passed over eight times: read for the statistics, read and written by the
// norm (in place); gradient and result read for the sums; both read again and the input's gradient written.
// The backward pass needs no input: the result tells it, because a leaky ReLU and a norm can be inverted
// (In-Place ABN, Rota Bulo et al., CVPR 2018). Source of the sums: torch.nn.InstanceNorm3d as nnU-Net uses it.
#pragma once
#include "kernels/element.h"
#include "kernels/layout.h"

namespace voxgrad {

/// What backward reads of a (sample, channel): the normalized value is (inverse leaky ReLU of the kept value - offset)
/// * factor, and scale is weight / standard deviation.
struct NormRow {
  float offset, factor, scale;
};

/// Sums in float32 and float64 of two quantities.
struct NormSums {
  float first, second;
};

VOXGRAD_HOST_DEVICE inline float leaky_relu(float value, float slope) { return value > 0 ? value : value * slope; }

VOXGRAD_HOST_DEVICE inline void add_moment(float value, float shift, float& sum, float& square) {
  const float centered = value - shift;
  sum += centered;
  square += centered * centered;
}

/// The gradient behind the leaky ReLU and the normalized value, from the kept value and the gradient of the result.
VOXGRAD_HOST_DEVICE inline void recover(float kept, float gradient, const NormRow& row, float slope,
                                        float inverse_slope, float& g, float& normalized) {
  const bool positive = kept > 0;
  g = positive ? gradient : gradient * slope;
  normalized = ((positive ? kept : kept * inverse_slope) - row.offset) * row.factor;
}

/// Partial sum p of a row adds the voxels p, p + partials, p + 2 * partials, ... so that neighboring threads read
/// neighboring memory in either layout.
struct NormPartition {
  Layout layout;
  int64_t partials;

  VOXGRAD_HOST_DEVICE int64_t count() const { return layout.samples * layout.channels * partials; }
  VOXGRAD_HOST_DEVICE void split(int64_t i, int64_t& sample, int64_t& channel, int64_t& partial) const {
    layout.split(i, partials, layout.channels, sample, partial, channel);
  }
  /// Where a partial sum is kept: (sample, partial, channel).
  VOXGRAD_HOST_DEVICE int64_t slot(int64_t sample, int64_t channel, int64_t partial) const {
    return (sample * partials + partial) * layout.channels + channel;
  }
};

/// About the mean of a row: that of some of its voxels, spread over it. Sums that are shifted by it hardly cancel.
template <class Element>
struct NormShift {
  static constexpr int64_t kVoxels = 32;
  const Element* values;
  float* shifts;
  Layout layout;

  VOXGRAD_HOST_DEVICE void operator()(int64_t i) const {
    const Element* row = values + layout.offset(i / layout.channels, 0, i % layout.channels);
    const int64_t count = layout.voxels < kVoxels ? layout.voxels : kVoxels;
    float sum = 0;
    for (int64_t k = 0; k < count; ++k)
      sum += to_float(row[(2 * k + 1) * layout.voxels / (2 * count) * layout.voxel_stride]);
    shifts[i] = sum / static_cast<float>(count);
  }
};

/// Partial sums of the values and their squares, both shifted (NormShift).
template <class Element>
struct NormMoments {
  const Element* values;
  const float* shifts;
  NormSums* sums;
  NormPartition partition;

  VOXGRAD_HOST_DEVICE void operator()(int64_t i) const {
    int64_t sample, channel, partial;
    partition.split(i, sample, channel, partial);
    const Layout& layout = partition.layout;
    const Element* row = values + layout.offset(sample, 0, channel);
    const float shift = shifts[sample * layout.channels + channel];
    NormSums result{0, 0};
    for (int64_t voxel = partial; voxel < layout.voxels; voxel += partition.partials)
      add_moment(to_float(row[voxel * layout.voxel_stride]), shift, result.first, result.second);
    sums[partition.slot(sample, channel, partial)] = result;
  }
};

/// Partial sums of the gradient behind the leaky ReLU, and of it times the normalized value.
template <class Element>
struct NormGradientSums {
  const Element *kept, *gradient;
  const NormRow* rows;
  NormSums* sums;
  NormPartition partition;
  float slope, inverse_slope;

  VOXGRAD_HOST_DEVICE void operator()(int64_t i) const {
    int64_t sample, channel, partial;
    partition.split(i, sample, channel, partial);
    const Layout& layout = partition.layout;
    const int64_t start = layout.offset(sample, 0, channel);
    const NormRow row = rows[sample * layout.channels + channel];
    NormSums result{0, 0};
    for (int64_t voxel = partial; voxel < layout.voxels; voxel += partition.partials) {
      const int64_t at = start + voxel * layout.voxel_stride;
      float g, normalized;
      recover(to_float(kept[at]), to_float(gradient[at]), row, slope, inverse_slope, g, normalized);
      result.first += g;
      result.second += g * normalized;
    }
    sums[partition.slot(sample, channel, partial)] = result;
  }
};

/// Adds groups of kGroup partial sums; channel by channel, so that neighboring threads read neighboring memory.
struct NormFold {
  static constexpr int64_t kGroup = 64;
  const NormSums* from;
  NormSums* to;
  int64_t channels, from_partials, to_partials;

  VOXGRAD_HOST_DEVICE void operator()(int64_t i) const {
    const int64_t channel = i % channels, partial = i / channels % to_partials, sample = i / channels / to_partials;
    double first = 0, second = 0;
    for (int64_t k = partial * kGroup; k < (partial + 1) * kGroup && k < from_partials; ++k) {
      const NormSums& sums = from[(sample * from_partials + k) * channels + channel];
      first += sums.first;
      second += sums.second;
    }
    to[i] = {static_cast<float>(first), static_cast<float>(second)};
  }
};

/// The mean of a row and one over its standard deviation, from shifted sums.
struct NormStatistics {
  double mean, inverse;

  VOXGRAD_HOST_DEVICE static NormStatistics of(double sum, double squares, double shift, double voxels, double eps) {
    const double centered = sum / voxels;
    const double variance = squares / voxels - centered * centered;
    return {shift + centered, 1.0 / sqrt((variance > 0 ? variance : 0) + eps)};
  }
  /// What backward reads; `keep_input`: it is given the input in place of the result.
  VOXGRAD_HOST_DEVICE NormRow row(float weight, float bias, bool keep_input) const {
    const auto scale = static_cast<float>(weight * inverse);
    if (keep_input) return {static_cast<float>(mean), static_cast<float>(inverse), scale};
    // A weight of almost nothing leaves nothing to be inverted: its channel's normalized values count as about 0.
    constexpr float smallest = 1e-12f;
    const float divisor = weight > smallest || weight < -smallest ? weight : (weight < 0 ? -smallest : smallest);
    return {bias, 1.0f / divisor, scale};
  }
};

/// Adds a row's last partial sums up to its statistics; index: sample * channels + channel.
struct NormFinish {
  const float *shifts, *weight, *bias;
  const NormSums* sums;
  float* means;
  NormRow* rows;
  NormPartition partition;
  double eps;
  bool keep_input;

  VOXGRAD_HOST_DEVICE void operator()(int64_t i) const {
    const Layout& layout = partition.layout;
    const int64_t sample = i / layout.channels, channel = i % layout.channels;
    double first = 0, second = 0;
    for (int64_t partial = 0; partial < partition.partials; ++partial) {
      const NormSums& part = sums[partition.slot(sample, channel, partial)];
      first += part.first;
      second += part.second;
    }
    const auto statistics = NormStatistics::of(first, second, shifts[i], static_cast<double>(layout.voxels), eps);
    means[i] = static_cast<float>(statistics.mean);
    rows[i] = statistics.row(weight[channel], bias[channel], keep_input);
  }
};

/// result = leaky_relu((value - mean) * scale + bias); index: of the element in memory.
template <class Element>
struct NormApply {
  const Element* values;
  Element* result;
  const float *means, *bias;
  const NormRow* rows;
  Layout layout;
  float slope;

  VOXGRAD_HOST_DEVICE void operator()(int64_t i) const {
    const int64_t row = layout.row_of(i);
    const float normalized = (to_float(values[i]) - means[row]) * rows[row].scale + bias[layout.channel_of(i)];
    result[i] = from_float<Element>(leaky_relu(normalized, slope));
  }
};

/// The gradients of weight and bias, which also leaves each row's means of the two sums; index: channel.
struct NormParameterGradients {
  const NormSums* sums;
  NormSums* means;  // one a (sample, channel)
  float *weight_gradient, *bias_gradient;
  NormPartition partition;

  VOXGRAD_HOST_DEVICE void operator()(int64_t channel) const {
    const Layout& layout = partition.layout;
    const auto voxels = static_cast<double>(layout.voxels);
    double weight_sum = 0, bias_sum = 0;
    for (int64_t sample = 0; sample < layout.samples; ++sample) {
      double first = 0, second = 0;
      for (int64_t partial = 0; partial < partition.partials; ++partial) {
        const NormSums& part = sums[partition.slot(sample, channel, partial)];
        first += part.first;
        second += part.second;
      }
      bias_sum += first;
      weight_sum += second;
      means[sample * layout.channels + channel] = {static_cast<float>(first / voxels),
                                                   static_cast<float>(second / voxels)};
    }
    weight_gradient[channel] = static_cast<float>(weight_sum);
    bias_gradient[channel] = static_cast<float>(bias_sum);
  }
};

/// The gradient of the input: scale * (g - mean(g) - normalized * mean(g * normalized)); index: of the element.
template <class Element>
struct NormInputGradient {
  const Element *kept, *gradient;
  Element* result;
  const NormRow* rows;
  const NormSums* means;
  Layout layout;
  float slope, inverse_slope;

  VOXGRAD_HOST_DEVICE void operator()(int64_t i) const {
    const int64_t row = layout.row_of(i);
    float g, normalized;
    recover(to_float(kept[i]), to_float(gradient[i]), rows[row], slope, inverse_slope, g, normalized);
    result[i] = from_float<Element>(rows[row].scale * (g - means[row].first - normalized * means[row].second));
  }
};

}  // namespace voxgrad
