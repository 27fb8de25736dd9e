// Counts of hard predictions: the kernels on any device, and the CPU's own loops.
#include "kernels/dice_counts.h"

#include <ATen/ATen.h>

#include "kernels/class_tile.h"
#include "kernels/fold_rows.h"
#include "kernels/logits.h"
#include "kernels/ops.h"

namespace voxgrad {

namespace {

template <class Element, bool kRegions>
at::Tensor counts_by_kernels(const at::Tensor& tensor, const Layout& layout, const LevelLabels& labels) {
  const auto* logits = static_cast<const Element*>(tensor.data_ptr());
  const int64_t partials = partials_of(layout);
  at::Tensor winners;
  if (!kRegions && class_groups(layout) > 1) {
    winners = at::empty({layout.samples * layout.voxels}, tensor.options().dtype(at::kShort));
    launch(tensor.device(), winners.numel(), Winners<Element>{logits, layout, winners.data_ptr<int16_t>()});
  }
  const at::Tensor counts =
      at::empty({layout.samples, partials, layout.channels * kCountColumns}, tensor.options().dtype(at::kInt));
  launch(tensor.device(), layout.samples * partials * class_groups(layout),
         DicePartialCounts<Element, kRegions>{logits, layout, labels,
                                              winners.defined() ? winners.data_ptr<int16_t>() : nullptr,
                                              counts.data_ptr<int32_t>(), partials},
         64);
  return fold_rows<int32_t, int64_t>(counts);
}

/// The class of the largest value; -2 where a voxel does not count.
VOXGRAD_VECTORIZED void find_winners(const float* __restrict x, int64_t channels, const int32_t* __restrict labels,
                                     int32_t* __restrict winners) {
  alignas(64) float best[kTile];
  for (int64_t t = 0; t < kTile; ++t) best[t] = x[t], winners[t] = 0;
  for (int32_t c = 1; c < channels; ++c) {
    for (int64_t t = 0; t < kTile; ++t) {
      const bool later = wins(x[c * kTile + t], best[t]);
      best[t] = later ? x[c * kTile + t] : best[t];
      winners[t] = later ? c : winners[t];
    }
  }
  for (int64_t t = 0; t < kTile; ++t) winners[t] = labels[t] >= 0 ? winners[t] : -2;
}

VOXGRAD_VECTORIZED void add_counts(const int32_t* __restrict winners, const int32_t* __restrict labels, int32_t c,
                                   int64_t* __restrict row) {
  int32_t both = 0, predicted = 0, present = 0;
#pragma omp simd reduction(+ : both, predicted, present)
  for (int64_t t = 0; t < kTile; ++t) {
    both += (winners[t] == c) & (labels[t] == c);
    predicted += winners[t] == c;
    present += labels[t] == c;
  }
  row[0] += both;
  row[1] += predicted - both;
  row[2] += present - both;
}

template <class Element, bool kRegions>
at::Tensor counts_by_loops(const at::Tensor& tensor, const Layout& layout, const LevelLabels& labels) {
  const auto* logits = static_cast<const Element*>(tensor.data_ptr());
  const int64_t columns = layout.channels * kCountColumns, runs = runs_of(layout);
  const at::Tensor rows = at::zeros({layout.samples, runs, columns}, at::kLong);
  for_each_tile(layout, [&](ClassTile& tile, int64_t sample, int64_t first, int64_t count, int64_t index) {
    int64_t* row = rows.data_ptr<int64_t>() + index * columns;
    tile.load(logits, layout, labels, sample, first, count);
    alignas(64) int32_t winners[kTile], truth[kTile];
    if constexpr (!kRegions) find_winners(tile.values.data(), layout.channels, tile.labels, winners);
    for (int32_t c = kRegions ? 0 : 1; c < layout.channels; ++c) {
      if constexpr (kRegions) {
        const float* values = tile.values.data() + c * kTile;
        for (int64_t t = 0; t < kTile; ++t) {
          winners[t] = tile.labels[t] >= 0 && values[t] > kHalfLogit ? c : -2;
          truth[t] = labels.in_region(tile.labels[t], c, layout.channels) != 0 ? c : -1;
        }
      }
      add_counts(winners, kRegions ? truth : tile.labels, c, row + c * kCountColumns);
    }
  });
  return rows.sum(1);
}

}  // namespace

void add_dice_counts(const at::Tensor& logits_in, const at::Tensor& labels_in, int64_t ignored,
                     const at::Tensor& membership, bool kernels, const std::array<at::Tensor, 3>& counts) {
  const at::Tensor logits = dense_logits(logits_in), labels = narrow_labels(labels_in);
  const Layout layout = layout_of(logits);
  const LevelLabels level = level_labels(logits, labels, ignored, membership);
  at::Tensor found;
  for_element_type(logits, [&](auto element) {
    using Element = decltype(element);
    const bool loops = logits.is_cpu() && !kernels;
    if (membership.defined())
      found = loops ? counts_by_loops<Element, true>(logits, layout, level)
                    : counts_by_kernels<Element, true>(logits, layout, level);
    else
      found = loops ? counts_by_loops<Element, false>(logits, layout, level)
                    : counts_by_kernels<Element, false>(logits, layout, level);
  });
  const int64_t background = membership.defined() ? 0 : 1;
  launch(logits.device(), layout.channels - background,
         AddDiceCounts{found.data_ptr<int64_t>(), layout.samples, layout.channels, background,
                       counts[0].data_ptr<int64_t>(), counts[1].data_ptr<int64_t>(), counts[2].data_ptr<int64_t>()});
}

}  // namespace voxgrad
