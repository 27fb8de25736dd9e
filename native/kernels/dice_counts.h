// The counts of a hard prediction, which the pseudo-Dice is made of. Host and device compile this same code;
// kernels/dice_counts.cpp has the CPU's loops. Logits and labels are read once; with more than kClassGroup exclusive
// classes the winner of each voxel is written and read in between.
#pragma once
#include "kernels/loss.h"

namespace voxgrad {

/// Sigmoids exceed one half from here on when they are rounded to float32, as PyTorch's are.
constexpr float kHalfLogit = 0x1.8p-24f;

/// Whether the later of two values wins: torch.argmax takes the first of equal ones, and what is no number before all.
VOXGRAD_HOST_DEVICE inline bool wins(float later, float earlier) {
  return (later > earlier) | ((later != later) & (earlier == earlier));
}

/// The class of the largest logit; index: sample * voxels + voxel.
template <class Element>
struct Winners {
  const Element* logits;
  Layout layout;
  int16_t* winners;

  VOXGRAD_HOST_DEVICE void operator()(int64_t i) const {
    const Element* values = logits + layout.offset(i / layout.voxels, i % layout.voxels, 0);
    float best = to_float(values[0]);
    int64_t winner = 0;
    for (int64_t c = 1; c < layout.channels; ++c) {
      const float x = to_float(values[c * layout.channel_stride]);
      if (!wins(x, best)) continue;
      best = x;
      winner = c;
    }
    winners[i] = static_cast<int16_t>(winner);
  }
};

/// Columns by class: true positives, false positives, false negatives.
constexpr int64_t kCountColumns = 3;

/// Partial counts; index and voxels as those of LossSums.
template <class Element, bool kRegions>
struct DicePartialCounts {
  const Element* logits;
  Layout layout;
  LevelLabels labels;
  const int16_t* winners;  // null where one thread takes all classes
  int32_t* counts;         // (samples, partials, classes * kCountColumns)
  int64_t partials;

  VOXGRAD_HOST_DEVICE void operator()(int64_t i) const {
    int64_t sample, partial, first;
    split_classes(layout, i, partials, sample, partial, first);
    const int64_t count = layout.channels - first;
    int32_t both[kClassGroup] = {}, predicted[kClassGroup] = {}, present[kClassGroup] = {};
    for (int64_t voxel = partial; voxel < layout.voxels; voxel += partials) {
      const int32_t label = labels.at(sample, voxel);
      if (label == labels.ignored) continue;
      float x[kClassGroup];
      int32_t winner = 0;
      if (kRegions || !winners) {
        load_group(logits + layout.offset(sample, voxel, first), layout.channel_stride, count, x);
        if constexpr (!kRegions) {
          float best = x[0];
          for (int k = 1; k < kClassGroup; ++k) {
            const bool later = wins(x[k], best);
            best = later ? x[k] : best;
            winner = later ? k : winner;
          }
        }
      } else {
        winner = winners[sample * layout.voxels + voxel] - static_cast<int32_t>(first);
      }
      for (int k = 0; k < kClassGroup; ++k) {
        if (k >= count) continue;
        bool likely, there;
        if constexpr (kRegions) {
          likely = x[k] > kHalfLogit;
          there = labels.in_region(label, first + k, layout.channels) != 0;
        } else {
          likely = k == winner;
          there = first + k == label;
        }
        both[k] += likely && there;
        predicted[k] += likely;
        present[k] += there;
      }
    }
    int32_t* row = counts + ((sample * partials + partial) * layout.channels + first) * kCountColumns;
    for (int k = 0; k < kClassGroup; ++k) {
      if (k >= count) continue;
      row[k * kCountColumns] = both[k];
      row[k * kCountColumns + 1] = predicted[k] - both[k];
      row[k * kCountColumns + 2] = present[k] - both[k];
    }
  }
};

/// Adds the counts of all samples to what is there; index: foreground class or region.
struct AddDiceCounts {
  const int64_t* counts;  // (samples, classes * kCountColumns)
  int64_t samples, classes, background;
  int64_t *true_positives, *false_positives, *false_negatives;

  VOXGRAD_HOST_DEVICE void operator()(int64_t i) const {
    for (int64_t sample = 0; sample < samples; ++sample) {
      const int64_t* row = counts + (sample * classes + background + i) * kCountColumns;
      true_positives[i] += row[0];
      false_positives[i] += row[1];
      false_negatives[i] += row[2];
    }
  }
};

}  // namespace voxgrad
