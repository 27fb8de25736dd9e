// Soft Dice and cross-entropy with deep supervision: the kernels on any device, and the CPU's own loops.
#include "kernels/loss.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <vector>

#include "kernels/class_tile.h"
#include "kernels/fold_rows.h"
#include "kernels/launch.h"
#include "kernels/logits.h"
#include "kernels/ops.h"

namespace voxgrad {

namespace {

/// One level's tensors as the kernels see them.
struct Level {
  at::Tensor logits;
  Layout layout;
  LevelLabels labels;
};

Level level_of(const at::Tensor& logits, const at::Tensor& labels, const LossTerms& terms) {
  return {logits, layout_of(logits), level_labels(logits, labels, terms.ignored, terms.membership)};
}

LossRule rule_of(const LossTerms& terms, double weight) {
  return {weight * terms.dice_weight, weight * terms.entropy_weight, terms.smooth,
          terms.membership.defined(), terms.annotated_mean,          terms.batch_dice};
}

DiceSlope* slopes_in(const at::Tensor& coefficients) {
  return reinterpret_cast<DiceSlope*>(coefficients.data_ptr<float>() + 1);
}

// ---- kernels, on any device
// ------------------------------------------------------------------------------------------

/// Normalizers and, with slopes, their means: one number a voxel each; undefined where one thread takes all classes.
template <class Element>
std::array<at::Tensor, 2> normalizers_of(const Level& level, const DiceSlope* slopes) {
  if (level.labels.membership || class_groups(level.layout) == 1) return {};
  const int64_t count = level.layout.samples * level.layout.voxels;
  const auto options = level.logits.options().dtype(at::kFloat);
  std::array<at::Tensor, 2> result = {at::empty({count}, options), at::empty({slopes ? count : 0}, options)};
  launch(level.logits.device(), count,
         LossNormalizers<Element>{static_cast<const Element*>(level.logits.data_ptr()), level.layout, level.labels,
                                  slopes, result[0].data_ptr<float>(), result[1].data_ptr<float>()});
  return result;
}

const float* floats_in(const at::Tensor& tensor) { return tensor.defined() ? tensor.data_ptr<float>() : nullptr; }

/// The sums of a level, (samples, columns) float64.
template <class Element, bool kRegions>
at::Tensor sums_by_kernels(const Level& level, float label_smoothing) {
  const Layout& layout = level.layout;
  const int64_t columns = loss_columns(layout.channels);
  const int64_t partials = partials_of(layout);
  const auto normalizers = normalizers_of<Element>(level, nullptr);
  const at::Tensor partial = at::empty({layout.samples, partials, columns}, level.logits.options().dtype(at::kFloat));
  launch(level.logits.device(), layout.samples * partials * class_groups(layout),
         LossSums<Element, kRegions>{static_cast<const Element*>(level.logits.data_ptr()), layout, level.labels,
                                     floats_in(normalizers[0]), partial.data_ptr<float>(), partials, label_smoothing},
         64);
  return fold_rows<float, double>(partial);
}

template <class Element, bool kRegions>
void gradient_by_kernels(const Level& level, const at::Tensor& coefficients, const at::Tensor& outer,
                         float label_smoothing, const at::Tensor& gradient) {
  const auto normalizers = normalizers_of<Element>(level, slopes_in(coefficients));
  launch(gradient.device(), level.layout.samples * level.layout.voxels * class_groups(level.layout),
         LossGradient<Element, kRegions>{static_cast<const Element*>(level.logits.data_ptr()),
                                         static_cast<Element*>(gradient.data_ptr()), level.layout, level.labels,
                                         floats_in(normalizers[0]), floats_in(normalizers[1]), slopes_in(coefficients),
                                         coefficients.data_ptr<float>(), outer.data_ptr<float>(), label_smoothing});
}

// ---- the CPU's loops
// -------------------------------------------------------------------------------------------------

/// The value of the label's class, and the sum over all classes.
VOXGRAD_VECTORIZED void pick_label(const float* __restrict x, int64_t channels, const int32_t* __restrict labels,
                                   float* __restrict picked, float* __restrict total) {
  for (int64_t t = 0; t < kTile; ++t) picked[t] = total[t] = 0;
  for (int64_t c = 0; c < channels; ++c, x += kTile) {
    for (int64_t t = 0; t < kTile; ++t) {
      picked[t] = labels[t] == c ? x[t] : picked[t];
      total[t] += x[t];
    }
  }
}

/// Replaces x by exp(x - largest), and tells the largest and the sum of a voxel's.
VOXGRAD_VECTORIZED void exponentials(float* __restrict x, int64_t channels, float* __restrict largest,
                                     float* __restrict sum) {
  for (int64_t t = 0; t < kTile; ++t) largest[t] = x[t], sum[t] = 0;
  for (int64_t c = 1; c < channels; ++c) {
    for (int64_t t = 0; t < kTile; ++t) {
      const float value = x[c * kTile + t];
      largest[t] = value > largest[t] ? value : largest[t];
    }
  }
  for (int64_t c = 0; c < channels; ++c, x += kTile) {
    for (int64_t t = 0; t < kTile; ++t) {
      x[t] = exp_of_negative(x[t] - largest[t]);
      sum[t] += x[t];
    }
  }
}

/// Adds a tile of exponentials to a row of sums. The background's columns are left out: it has no Dice.
VOXGRAD_VECTORIZED void add_softmax_sums(const float* __restrict e, int64_t channels, const int32_t* __restrict labels,
                                         const float* __restrict largest, const float* __restrict sum,
                                         const float* __restrict picked, const float* __restrict total,
                                         float label_smoothing, double* __restrict row) {
  alignas(64) float inverse[kTile];
  float entropy = 0;
  int32_t annotated = 0;
  const float smoothed = label_smoothing / static_cast<float>(channels);
#pragma omp simd reduction(+ : entropy, annotated)
  for (int64_t t = 0; t < kTile; ++t) {
    const float normalizer = largest[t] + log_from_one(sum[t]);
    const float of_label = (1 - label_smoothing) * (normalizer - picked[t]);
    const float of_all = label_smoothing == 0 ? 0.0f : label_smoothing * normalizer - smoothed * total[t];
    inverse[t] = labels[t] >= 0 ? 1.0f / sum[t] : 0.0f;
    entropy += labels[t] >= 0 ? of_label + of_all : 0.0f;
    annotated += labels[t] >= 0;
  }
  row[kClassColumns - 1] += entropy;
  row[channels * kClassColumns] += annotated;
  for (int64_t c = 1; c < channels; ++c) {
    const float* __restrict values = e + c * kTile;
    float probability = 0, both = 0;
    int32_t truth = 0;
#pragma omp simd reduction(+ : probability, both, truth)
    for (int64_t t = 0; t < kTile; ++t) {
      const float p = values[t] * inverse[t];
      probability += p;
      both += labels[t] == c ? p : 0.0f;
      truth += labels[t] == c;
    }
    row[c * kClassColumns] += probability;
    row[c * kClassColumns + 1] += both;
    row[c * kClassColumns + 2] += truth;
  }
}

/// Replaces a tile of exponentials by the gradient of the logits.
VOXGRAD_VECTORIZED void softmax_gradient(float* __restrict e, int64_t channels, const int32_t* __restrict labels,
                                         const float* __restrict sum, const DiceSlope* __restrict slopes,
                                         float entropy_slope, float outer, float label_smoothing) {
  alignas(64) float inverse[kTile], mean[kTile];
  for (int64_t t = 0; t < kTile; ++t) inverse[t] = 1.0f / sum[t], mean[t] = 0;
  for (int64_t c = 1; c < channels; ++c) {
    const float* __restrict values = e + c * kTile;
    const DiceSlope slope = slopes[c];
    const float of_label = slope.both + slope.each;
    for (int64_t t = 0; t < kTile; ++t) mean[t] += values[t] * inverse[t] * (labels[t] == c ? of_label : slope.each);
  }
  const float smoothed = entropy_slope * label_smoothing / static_cast<float>(channels);
  const float hit = entropy_slope * (1 - label_smoothing) + smoothed;
  for (int64_t c = 0; c < channels; ++c, e += kTile) {
    const float each = slopes[c].each + entropy_slope, of_label = each + slopes[c].both;
    for (int64_t t = 0; t < kTile; ++t) {
      const bool is_label = labels[t] == c;
      const float change = e[t] * inverse[t] * ((is_label ? of_label : each) - mean[t]) - (is_label ? hit : smoothed);
      e[t] = labels[t] >= 0 ? outer * change : 0.0f;
    }
  }
}

VOXGRAD_VECTORIZED void add_region_sums(const float* __restrict x, const float* __restrict truth,
                                        const int32_t* __restrict labels, double* __restrict row) {
  float probability = 0, both = 0, sum = 0, entropy = 0;
#pragma omp simd reduction(+ : probability, both, sum, entropy)
  for (int64_t t = 0; t < kTile; ++t) {
    const Sigmoid sigmoid = Sigmoid::of(x[t]);
    const float p = labels[t] >= 0 ? sigmoid.value : 0.0f;
    probability += p;
    both += p * truth[t];
    sum += truth[t];
    entropy += labels[t] >= 0 ? sigmoid.softplus - x[t] * truth[t] : 0.0f;
  }
  row[0] += probability;
  row[1] += both;
  row[2] += sum;
  row[3] += entropy;
}

VOXGRAD_VECTORIZED void region_gradient(float* __restrict x, const float* __restrict truth,
                                        const int32_t* __restrict labels, DiceSlope slope, float entropy_slope,
                                        float outer) {
  for (int64_t t = 0; t < kTile; ++t) {
    const Sigmoid sigmoid = Sigmoid::of(x[t]);
    const float change =
        sigmoid.slope * (slope.both * truth[t] + slope.each) + entropy_slope * (sigmoid.value - truth[t]);
    x[t] = labels[t] >= 0 ? outer * change : 0.0f;
  }
}

void truth_of_region(const ClassTile& tile, const LevelLabels& labels, int64_t region, float (&truth)[kTile]) {
  for (int64_t t = 0; t < kTile; ++t) truth[t] = labels.in_region(tile.labels[t], region, tile.channels);
}

template <class Element, bool kRegions>
at::Tensor sums_by_loops(const Level& level, float label_smoothing) {
  const Layout& layout = level.layout;
  const int64_t columns = loss_columns(layout.channels), runs = runs_of(layout);
  std::vector<double> rows(static_cast<size_t>(layout.samples * runs * columns), 0.0);
  for_each_tile(layout, [&](ClassTile& tile, int64_t sample, int64_t first, int64_t count, int64_t index) {
    double* row = rows.data() + index * columns;
    tile.load(static_cast<const Element*>(level.logits.data_ptr()), layout, level.labels, sample, first, count);
    if constexpr (kRegions) {
      alignas(64) float truth[kTile];
      for (int64_t c = 0; c < layout.channels; ++c) {
        truth_of_region(tile, level.labels, c, truth);
        add_region_sums(tile.values.data() + c * kTile, truth, tile.labels, row + c * kClassColumns);
      }
      row[columns - 1] += static_cast<double>(kTile - std::count(tile.labels, tile.labels + kTile, -1));
    } else {
      alignas(64) float largest[kTile], sum[kTile], picked[kTile], total[kTile];
      pick_label(tile.values.data(), layout.channels, tile.labels, picked, total);
      exponentials(tile.values.data(), layout.channels, largest, sum);
      add_softmax_sums(tile.values.data(), layout.channels, tile.labels, largest, sum, picked, total, label_smoothing,
                       row);
    }
  });
  const at::Tensor sums = at::zeros({layout.samples * columns}, at::kDouble);
  for (int64_t i = 0; i < static_cast<int64_t>(rows.size()); ++i)
    sums.data_ptr<double>()[i / columns / runs * columns + i % columns] += rows[static_cast<size_t>(i)];
  return sums;
}

template <class Element, bool kRegions>
void gradient_by_loops(const Level& level, const at::Tensor& coefficients, const at::Tensor& outer_gradient,
                       float label_smoothing, const at::Tensor& gradient) {
  const Layout& layout = level.layout;
  const float entropy_slope = *coefficients.data_ptr<float>(), outer = *outer_gradient.data_ptr<float>();
  for_each_tile(layout, [&](ClassTile& tile, int64_t sample, int64_t first, int64_t count, int64_t) {
    const DiceSlope* slopes = slopes_in(coefficients) + sample * layout.channels;
    tile.load(static_cast<const Element*>(level.logits.data_ptr()), layout, level.labels, sample, first, count);
    if constexpr (kRegions) {
      alignas(64) float truth[kTile];
      for (int64_t c = 0; c < layout.channels; ++c) {
        truth_of_region(tile, level.labels, c, truth);
        region_gradient(tile.values.data() + c * kTile, truth, tile.labels, slopes[c], entropy_slope, outer);
      }
    } else {
      alignas(64) float largest[kTile], sum[kTile];
      exponentials(tile.values.data(), layout.channels, largest, sum);
      softmax_gradient(tile.values.data(), layout.channels, tile.labels, sum, slopes, entropy_slope, outer,
                       label_smoothing);
    }
    tile.store(static_cast<Element*>(gradient.data_ptr()), layout, sample, first, count);
  });
}

// ---- the op
// ----------------------------------------------------------------------------------------------------------

/// The levels' losses added up, and per level what backward needs: cross-entropy's slope, then Dice's.
std::pair<at::Tensor, std::vector<at::Tensor>> forward(at::TensorList logits, const at::Tensor& labels,
                                                       const LossTerms& terms) {
  const auto options = labels.options().dtype(at::kFloat);
  const auto smoothing = static_cast<float>(terms.label_smoothing);
  std::vector<at::Tensor> coefficients;
  const int64_t channels = logits[0].size(1);
  const at::Tensor shares = at::empty({static_cast<int64_t>(logits.size()) * channels}, options.dtype(at::kDouble));
  std::vector<at::Tensor> all_sums;
  for (const at::Tensor& of_level : logits) {
    const Level level = level_of(of_level, labels, terms);
    at::Tensor& sums = all_sums.emplace_back();
    for_element_type(level.logits, [&](auto element) {
      using Element = decltype(element);
      const bool loops = level.logits.is_cpu() && !terms.kernels;
      if (terms.membership.defined())
        sums = loops ? sums_by_loops<Element, true>(level, 0) : sums_by_kernels<Element, true>(level, 0);
      else
        sums =
            loops ? sums_by_loops<Element, false>(level, smoothing) : sums_by_kernels<Element, false>(level, smoothing);
    });
  }
  const int64_t own = labels.size(0), batch = terms.batch > 0 ? terms.batch : own;
  if (terms.gather)
    all_sums = terms.gather(at::stack(all_sums).view({static_cast<int64_t>(logits.size()), own, -1})).unbind();
  const int64_t samples = terms.gather ? batch : own;
  for (size_t i = 0; i < logits.size(); ++i) {
    coefficients.push_back(at::empty({1 + 2 * samples * channels}, options));
    launch(labels.device(), channels,
           LossCoefficients{all_sums[i].data_ptr<double>(), rule_of(terms, terms.level_weights[i]), samples, batch,
                            channels, layout_of(logits[i]).voxels, terms.ignored >= 0, slopes_in(coefficients[i]),
                            coefficients[i].data_ptr<float>(),
                            shares.data_ptr<double>() + static_cast<int64_t>(i) * channels});
    if (!terms.gather) continue;
    const auto slopes = coefficients[i].narrow(0, 1 + 2 * terms.first_sample * channels, 2 * own * channels);
    coefficients[i] = at::cat({coefficients[i].narrow(0, 0, 1), slopes});
  }
  const at::Tensor loss = at::empty({}, options);
  const double part = terms.gather ? static_cast<double>(own) / static_cast<double>(batch) : 1;
  launch(labels.device(), 1, LossTotal{shares.data_ptr<double>(), loss.data_ptr<float>(), shares.numel(), part});
  return {loss, coefficients};
}

at::Tensor backward(const at::Tensor& logits, const at::Tensor& labels, const LossTerms& terms,
                    const at::Tensor& coefficients, const at::Tensor& outer) {
  const Level level = level_of(logits, labels, terms);
  const at::Tensor gradient = at::empty_like(logits);
  const auto smoothing = static_cast<float>(terms.label_smoothing);
  for_element_type(logits, [&](auto element) {
    using Element = decltype(element);
    const bool loops = logits.is_cpu() && !terms.kernels;
    if (terms.membership.defined()) {
      loops ? gradient_by_loops<Element, true>(level, coefficients, outer, 0, gradient)
            : gradient_by_kernels<Element, true>(level, coefficients, outer, 0, gradient);
    } else {
      loops ? gradient_by_loops<Element, false>(level, coefficients, outer, smoothing, gradient)
            : gradient_by_kernels<Element, false>(level, coefficients, outer, smoothing, gradient);
    }
  });
  return gradient;
}

struct SavedTerms : torch::CustomClassHolder {
  LossTerms terms;
  explicit SavedTerms(LossTerms terms) : terms(std::move(terms)) {}
};

class FusedLoss : public torch::autograd::Function<FusedLoss> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, at::TensorList logits, const at::Tensor& labels,
                            const LossTerms& terms) {
    auto [loss, saved] = voxgrad::forward(logits, labels, terms);
    saved.insert(saved.end(), logits.begin(), logits.end());
    saved.push_back(labels);
    context->save_for_backward(saved);
    context->saved_data["terms"] = at::IValue::make_capsule(c10::make_intrusive<SavedTerms>(terms));
    return loss;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto capsule = context->saved_data["terms"].toCapsule();
    const LossTerms& terms = static_cast<SavedTerms&>(*capsule).terms;
    const size_t levels = saved.size() / 2;
    torch::autograd::variable_list result;
    for (size_t i = 0; i < levels; ++i)
      result.push_back(voxgrad::backward(saved[levels + i], saved.back(), terms, saved[i], gradients[0]));
    result.resize(levels + 2);
    return result;
  }
};

}  // namespace

at::Tensor deep_supervision_loss(const std::vector<at::Tensor>& logits, const at::Tensor& labels,
                                 const LossTerms& terms) {
  std::vector<at::Tensor> dense;
  for (const at::Tensor& level : logits) dense.push_back(dense_logits(level));
  return FusedLoss::apply(at::TensorList(dense), narrow_labels(labels), terms);
}

}  // namespace voxgrad
