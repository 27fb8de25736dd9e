// Soft Dice and cross-entropy of one deep-supervision level, forward and backward: the arithmetic of one voxel, and the
// kernels of an accelerator. Host and device compile this same code; kernels/loss.cpp has the CPU's loops over it.
// Forward reads logits and labels once and keeps sums by (sample, class); backward reads both again and writes the
// gradient. Nothing of a voxel is stored in between: labels are read at full resolution by index arithmetic, classes
// are compared in place of one-hot channels, and backward computes the probabilities anew. With more than kClassGroup
// classes a softmax takes one more reading of the logits each way, for one number a voxel that several threads share.
#pragma once
#include "kernels/element.h"
#include "kernels/fold.h"
#include "kernels/layout.h"

namespace voxgrad {

/// Classes that one thread of an accelerator takes, in registers.
constexpr int64_t kClassGroup = 8;

/// exp(x) for x <= 0 to 2 units in the last place, not a number for what is none. Source: Cephes' expf (S. Moshier),
/// here without a branch and without a call, so that loops over it become vector instructions.
VOXGRAD_HOST_DEVICE inline float exp_of_negative(float x) {
  x = x < -87.0f ? -87.0f : x;
  constexpr float whole = 12582912.0f;  // 1.5 * 2^23: what is added to it is rounded to a whole number
  const float shifted = x * 1.44269504f + whole;
  const float power = shifted - whole;
  const float rest = (x - power * 0.693359375f) + power * 2.12194440e-4f;
  float sum = 1.9875691500e-4f;
  sum = sum * rest + 1.3981999507e-3f;
  sum = sum * rest + 8.3334519073e-3f;
  sum = sum * rest + 4.1665795894e-2f;
  sum = sum * rest + 1.6666665459e-1f;
  sum = sum * rest + 5.0000001201e-1f;
  return (sum * rest * rest + rest + 1.0f) * float_of((bits_of(shifted) + 127u) << 23);
}

/// log(x) for x >= 1 to 2 units in the last place, not a number for what is infinite or none. Source: Cephes' logf.
VOXGRAD_HOST_DEVICE inline float log_from_one(float x) {
  const LogParts parts = LogParts::of(x);
  const float f = parts.rest, e = parts.exponent;
  const float small = parts.tail - 2.12194440e-4f * e - 0.5f * (f * f);
  return (f + small + 0.693359375f * e) + (x - x);
}

/// The sigmoid of x, its derivative, and log(1 + exp(x)).
struct Sigmoid {
  float value, slope, softplus;

  VOXGRAD_HOST_DEVICE static Sigmoid of(float x) {
    const float e = exp_of_negative(x > 0 ? -x : x), inverse = 1.0f / (1.0f + e);
    return {x > 0 ? inverse : e * inverse, e * inverse * inverse, (x > 0 ? x : 0.0f) + log_from_one(1.0f + e)};
  }
};

/// Threads of an accelerator that share a voxel's classes.
VOXGRAD_HOST_DEVICE inline int64_t class_groups(const Layout& layout) {
  return (layout.channels + kClassGroup - 1) / kClassGroup;
}
/// Splits an index over (sample, item, group of classes); first: the group's first class.
VOXGRAD_HOST_DEVICE inline void split_classes(const Layout& layout, int64_t i, int64_t items, int64_t& sample,
                                              int64_t& item, int64_t& first) {
  layout.split(i, items, class_groups(layout), sample, item, first);
  first *= kClassGroup;
}

/// Labels (samples, full extents) as a level sees them: nearest-exact, floor((i + 0.5) * in / out).
struct LevelLabels {
  const void* labels;  // int8 or int16
  bool bytes;
  int32_t extents[3], full[3];
  float ratios[3];
  int32_t ignored;  // -1: none
  /// With regions: (label_count, regions) of 0 and 1. A label beyond the table is in no region.
  const float* membership;
  int32_t label_count;

  VOXGRAD_HOST_DEVICE static int32_t source(int32_t i, float ratio, int32_t full) {
    const auto nearest = static_cast<int32_t>((static_cast<float>(i) + 0.5f) * ratio);
    return nearest < full ? nearest : full - 1;
  }
  /// Where the row (y) of a plane (z) of a sample starts at full resolution.
  VOXGRAD_HOST_DEVICE int64_t row(int64_t sample, int32_t z, int32_t y) const {
    return ((sample * full[0] + source(z, ratios[0], full[0])) * full[1] + source(y, ratios[1], full[1])) * full[2];
  }
  VOXGRAD_HOST_DEVICE int32_t read(int64_t place) const {
    return bytes ? static_cast<const int8_t*>(labels)[place] : static_cast<const int16_t*>(labels)[place];
  }
  VOXGRAD_HOST_DEVICE int32_t at(int64_t sample, int64_t voxel) const {
    const auto v = static_cast<uint32_t>(voxel);
    const auto width = static_cast<uint32_t>(extents[2]), height = static_cast<uint32_t>(extents[1]);
    const auto x = static_cast<int32_t>(v % width), y = static_cast<int32_t>(v / width % height);
    return read(row(sample, static_cast<int32_t>(v / width / height), y) + source(x, ratios[2], full[2]));
  }
  VOXGRAD_HOST_DEVICE float in_region(int32_t label, int64_t region, int64_t regions) const {
    return label >= 0 && label < label_count ? membership[label * regions + region] : 0.0f;
  }
};

/// What is summed by (sample, class), one column each: probability, its product with the truth, truth, cross-entropy.
/// Behind the classes' columns: the annotated voxels.
constexpr int64_t kClassColumns = 4;
constexpr int64_t loss_columns(int64_t channels) { return channels * kClassColumns + 1; }

/// What backward reads of a (sample, class): Dice's gradient by its probability is both * truth + each.
struct DiceSlope {
  float both, each;
};

/// The logarithm of the sum of exponentials of each voxel, and with slopes the mean of Dice's slopes weighted with the
/// probabilities. For softmaxes over more classes than one thread takes; index: sample * voxels + voxel.
template <class Element>
struct LossNormalizers {
  const Element* logits;
  Layout layout;
  LevelLabels labels;
  const DiceSlope* slopes;  // (samples, channels), or null
  float *normalizers, *means;

  VOXGRAD_HOST_DEVICE void operator()(int64_t i) const {
    const int64_t sample = i / layout.voxels, voxel = i % layout.voxels;
    const int32_t label = labels.at(sample, voxel);
    const Element* values = logits + layout.offset(sample, voxel, 0);
    float largest = to_float(values[0]), sum = 1, weighted = slope_of(sample, 0, label);
    for (int64_t c = 1; c < layout.channels; ++c) {
      const float x = to_float(values[c * layout.channel_stride]), slope = slope_of(sample, c, label);
      const bool larger = x > largest;
      const float e = exp_of_negative(larger ? largest - x : x - largest);
      sum = larger ? sum * e + 1.0f : sum + e;
      weighted = larger ? weighted * e + slope : weighted + e * slope;
      largest = larger ? x : largest;
    }
    normalizers[i] = largest + log_from_one(sum);
    if (slopes) means[i] = weighted / sum;
  }
  VOXGRAD_HOST_DEVICE float slope_of(int64_t sample, int64_t c, int32_t label) const {
    if (!slopes) return 0;
    const DiceSlope slope = slopes[sample * layout.channels + c];
    return c == label ? slope.both + slope.each : slope.each;
  }
};

/// The values of a group of classes; -infinity beyond the last one.
template <class Element>
VOXGRAD_HOST_DEVICE inline void load_group(const Element* values, int64_t stride, int64_t count,
                                           float (&x)[kClassGroup]) {
  for (int k = 0; k < kClassGroup; ++k) x[k] = k < count ? to_float(values[k * stride]) : float_of(0xFF800000u);
}

VOXGRAD_HOST_DEVICE inline float log_sum_of(const float (&x)[kClassGroup]) {
  float largest = x[0], sum = 0;
  for (int k = 1; k < kClassGroup; ++k) largest = x[k] > largest ? x[k] : largest;
  for (int k = 0; k < kClassGroup; ++k) sum += exp_of_negative(x[k] - largest);
  return largest + log_from_one(sum);
}

/// Partial sums: number p adds the voxels p, p + partials, p + 2 * partials, ... of a sample; index:
/// split_classes over the partials.
template <class Element, bool kRegions>
struct LossSums {
  const Element* logits;
  Layout layout;
  LevelLabels labels;
  const float* normalizers;  // null where one thread takes all classes
  float* sums;               // (samples, partials, columns)
  int64_t partials;
  float label_smoothing;

  VOXGRAD_HOST_DEVICE void operator()(int64_t i) const {
    int64_t sample, partial, first;
    split_classes(layout, i, partials, sample, partial, first);
    const int64_t count = layout.channels - first;
    float probability[kClassGroup] = {}, both[kClassGroup] = {}, truth[kClassGroup] = {}, entropy[kClassGroup] = {};
    float annotated = 0;
    const float smoothed = label_smoothing / static_cast<float>(layout.channels);
    for (int64_t voxel = partial; voxel < layout.voxels; voxel += partials) {
      const int32_t label = labels.at(sample, voxel);
      if (label == labels.ignored) continue;
      annotated += 1;
      float x[kClassGroup], normalizer = 0;
      load_group(logits + layout.offset(sample, voxel, first), layout.channel_stride, count, x);
      if constexpr (!kRegions) normalizer = normalizers ? normalizers[sample * layout.voxels + voxel] : log_sum_of(x);
      for (int k = 0; k < kClassGroup; ++k) {
        if (k >= count) continue;
        float p, y;
        if constexpr (kRegions) {
          const Sigmoid sigmoid = Sigmoid::of(x[k]);
          p = sigmoid.value;
          y = labels.in_region(label, first + k, layout.channels);
          entropy[k] += sigmoid.softplus - x[k] * y;
        } else {
          p = exp_of_negative(x[k] - normalizer);
          y = first + k == label ? 1.0f : 0.0f;
          const float weight = (1 - label_smoothing) * y + smoothed;
          if (weight != 0) entropy[k] += weight * (normalizer - x[k]);
        }
        probability[k] += p;
        both[k] += p * y;
        truth[k] += y;
      }
    }
    float* row = sums + (sample * partials + partial) * loss_columns(layout.channels);
    if (first == 0) row[layout.channels * kClassColumns] = annotated;
    row += first * kClassColumns;
    for (int k = 0; k < kClassGroup; ++k) {
      if (k >= count) continue;
      row[k * kClassColumns] = probability[k];
      row[k * kClassColumns + 1] = both[k];
      row[k * kClassColumns + 2] = truth[k];
      row[k * kClassColumns + 3] = entropy[k];
    }
  }
};

/// Weights of a level's two parts (the level's own included), and how they are averaged: see LossConfig.
struct LossRule {
  double dice_weight, entropy_weight, smooth;
  bool regions, annotated_mean, batch_dice;
};

/// The sums' meaning: what a class adds to the loss, and what backward needs of it; index: class.
struct LossCoefficients {
  const double* sums;  // (samples, columns)
  LossRule rule;
  int64_t samples, batch, channels, voxels;  // batch: the samples that the means are over
  bool has_ignored;
  DiceSlope* slopes;     // (samples, channels)
  float* entropy_slope;  // cross-entropy's gradient by one voxel's term
  double* shares;        // (channels)

  VOXGRAD_HOST_DEVICE double sum(int64_t sample, int64_t column) const {
    return sums[sample * loss_columns(channels) + column];
  }
  VOXGRAD_HOST_DEVICE double entropy_terms() const {
    if (!has_ignored) return static_cast<double>(batch * voxels * (rule.regions ? channels : 1));
    double annotated = 0;
    for (int64_t sample = 0; sample < samples; ++sample) annotated += sum(sample, channels * kClassColumns);
    const double terms = annotated * static_cast<double>(rule.regions && rule.annotated_mean ? channels : 1);
    return terms < 1 ? 1 : terms;
  }
  VOXGRAD_HOST_DEVICE void operator()(int64_t c) const {
    const double slope = rule.entropy_weight / entropy_terms();
    if (c == 0) *entropy_slope = static_cast<float>(slope);
    double entropy = 0, dice = 0;
    for (int64_t sample = 0; sample < samples; ++sample) entropy += sum(sample, c * kClassColumns + 3);
    const bool counted = rule.regions || c > 0;  // the background has no Dice
    const int64_t rows = rule.batch_dice ? 1 : samples, of_row = rule.batch_dice ? samples : 1;
    const int64_t means = (rule.batch_dice ? 1 : batch) * (rule.regions ? channels : channels - 1);
    const double weight = rule.dice_weight / static_cast<double>(means);
    for (int64_t row = 0; row < rows; ++row) {
      double probability = 0, both = 0, truth = 0;
      for (int64_t sample = row; sample < row + of_row; ++sample) {
        probability += sum(sample, c * kClassColumns);
        both += sum(sample, c * kClassColumns + 1);
        truth += sum(sample, c * kClassColumns + 2);
      }
      constexpr double smallest = 1e-8;
      const double volume = probability + truth + rule.smooth, divisor = volume < smallest ? smallest : volume;
      const double quotient = (2 * both + rule.smooth) / divisor;
      DiceSlope found{0, 0};
      if (counted) {
        dice += weight * quotient;
        found = {static_cast<float>(-2 * weight / divisor),
                 volume < smallest ? 0.0f : static_cast<float>(weight * quotient / divisor)};
      }
      for (int64_t sample = row; sample < row + of_row; ++sample) slopes[sample * channels + c] = found;
    }
    // A part of weight 0 must not matter even where it is infinite.
    shares[c] = (rule.entropy_weight != 0 ? slope * entropy : 0) - (rule.dice_weight != 0 ? dice : 0);
  }
};

/// Adds the shares of all classes of all levels up; one index.
struct LossTotal {
  const double* shares;
  float* loss;
  int64_t count;
  double part;  // of their sum

  VOXGRAD_HOST_DEVICE void operator()(int64_t) const {
    double sum = 0;
    for (int64_t i = 0; i < count; ++i) sum += shares[i];
    *loss = static_cast<float>(part * sum);
  }
};

/// The gradient of the logits; index: split_classes over the voxels.
template <class Element, bool kRegions>
struct LossGradient {
  const Element* logits;
  Element* gradient;
  Layout layout;
  LevelLabels labels;
  const float *normalizers, *means;  // null where one thread takes all classes
  const DiceSlope* slopes;
  const float *entropy_slope, *outer;  // outer: the gradient of the loss
  float label_smoothing;

  VOXGRAD_HOST_DEVICE void operator()(int64_t i) const {
    int64_t sample, voxel, first;
    split_classes(layout, i, layout.voxels, sample, voxel, first);
    const int64_t count = layout.channels - first;
    const int32_t label = labels.at(sample, voxel);
    Element* result = gradient + layout.offset(sample, voxel, first);
    if (label == labels.ignored) {
      for (int k = 0; k < kClassGroup; ++k) {
        if (k < count) result[k * layout.channel_stride] = from_float<Element>(0.0f);
      }
      return;
    }
    float x[kClassGroup], slope[kClassGroup], normalizer = 0, mean = 0;
    load_group(logits + layout.offset(sample, voxel, first), layout.channel_stride, count, x);
    const DiceSlope* row = slopes + sample * layout.channels + first;
    for (int k = 0; k < kClassGroup; ++k) {
      const DiceSlope found = k < count ? row[k] : DiceSlope{0, 0};
      float y;
      if constexpr (kRegions) {
        y = k < count ? labels.in_region(label, first + k, layout.channels) : 0.0f;
      } else {
        y = first + k == label ? 1.0f : 0.0f;
      }
      slope[k] = found.both * y + found.each;
    }
    if constexpr (!kRegions) {
      if (normalizers) {
        normalizer = normalizers[sample * layout.voxels + voxel];
        mean = means[sample * layout.voxels + voxel];
      } else {
        normalizer = log_sum_of(x);
        for (int k = 0; k < kClassGroup; ++k) mean += exp_of_negative(x[k] - normalizer) * slope[k];
      }
    }
    const float smoothed = label_smoothing / static_cast<float>(layout.channels);
    for (int k = 0; k < kClassGroup; ++k) {
      if (k >= count) continue;
      float change;
      if constexpr (kRegions) {
        const Sigmoid sigmoid = Sigmoid::of(x[k]);
        const float y = labels.in_region(label, first + k, layout.channels);
        change = sigmoid.slope * slope[k] + *entropy_slope * (sigmoid.value - y);
      } else {
        const float p = exp_of_negative(x[k] - normalizer);
        const float target = (first + k == label ? 1 - label_smoothing : 0.0f) + smoothed;
        change = p * (slope[k] - mean) + *entropy_slope * (p - target);
      }
      result[k * layout.channel_stride] = from_float<Element>(*outer * change);
    }
  }
};

}  // namespace voxgrad
