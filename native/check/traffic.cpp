// Kernels on counting elements: a kernel reads its large tensors through to_float and writes them through from_float,
// so that another element type sees each access.
#include "check/traffic.h"

#include <ATen/ATen.h>

#include <functional>

#include "engine/counters.h"
#include "kernels/accumulate.h"
#include "kernels/dice_counts.h"
#include "kernels/gather.h"
#include "kernels/instance_norm.h"
#include "kernels/ops.h"
#include "kernels/traffic.h"

namespace voxgrad {

/// A float32 that counts.
struct Counted {
  float value;
};
namespace {
Passes accesses{0, 0};
}
float to_float(Counted element) {
  ++accesses.read;
  return element.value;
}
template <>
Counted from_float<Counted>(float value) {
  ++accesses.written;
  return {value};
}

namespace check {

namespace {

/// Elements that one run of a kernel reads and writes.
template <class Functor>
int64_t accesses_of(int64_t count, const Functor& functor) {
  accesses = {0, 0};
  for (int64_t i = 0; i < count; ++i) functor(i);
  return accesses.read + accesses.written;
}

void count_norm(std::vector<TrafficCount>& results) {
  constexpr int64_t samples = 2, channels = 5, voxels = 210, partials = 7, elements = samples * channels * voxels;
  for (const bool last : {false, true}) {
    const Layout layout{samples, channels, voxels, last ? channels : 1, last ? 1 : voxels};
    const NormPartition partition{layout, partials};
    std::vector<Counted> x(elements, {1}), gradient(x), result(x);
    std::vector<float> row(samples * channels, 1.0f);
    std::vector<NormRow> rows(samples * channels, {0, 1, 1});
    std::vector<NormSums> sums(samples * channels * partials), means(samples * channels);
    const std::string where = last ? ", channels-last" : ", contiguous";
    results.push_back(
        {"norm, forward" + where, norm_forward.total() * elements,
         accesses_of(partition.count(), NormMoments<Counted>{x.data(), row.data(), sums.data(), partition}) +
             accesses_of(elements,
                         NormApply<Counted>{x.data(), x.data(), row.data(), row.data(), rows.data(), layout, 0.01f})});
    results.push_back(
        {"norm, backward" + where, norm_backward.total() * elements,
         accesses_of(partition.count(), NormGradientSums<Counted>{x.data(), gradient.data(), rows.data(), sums.data(),
                                                                  partition, 0.01f, 100}) +
             accesses_of(elements, NormInputGradient<Counted>{x.data(), gradient.data(), result.data(), rows.data(),
                                                              means.data(), layout, 0.01f, 100})});
  }
}

template <bool kRegions>
void count_loss(int64_t classes, std::vector<TrafficCount>& results) {
  constexpr int64_t samples = 2, voxels = 3 * 4 * 5, partials = 7;
  const int64_t elements = samples * classes * voxels;
  const Layout layout{samples, classes, voxels, classes, 1};
  std::vector<Counted> logits(static_cast<size_t>(elements), {1}), gradient(logits);
  std::vector<int8_t> truth(samples * voxels, 1);
  const std::vector<float> membership(static_cast<size_t>(2 * classes), 1.0f);
  const LevelLabels labels{
      truth.data(), true, {3, 4, 5}, {3, 4, 5}, {1, 1, 1}, -1, kRegions ? membership.data() : nullptr, 2};
  std::vector<float> normalizers(samples * voxels), means(normalizers), one(1, 1.0f),
      sums(static_cast<size_t>(samples * partials * loss_columns(classes)));
  const std::vector<DiceSlope> slopes(static_cast<size_t>(samples * classes), {1, 1});
  const bool shared = !kRegions && class_groups(layout) > 1;
  const auto normalize = [&](const DiceSlope* with) {
    if (!shared) return int64_t{0};
    return accesses_of(samples * voxels,
                       LossNormalizers<Counted>{logits.data(), layout, labels, with, normalizers.data(), means.data()});
  };
  const std::string name = std::to_string(classes) + (kRegions ? " regions" : " classes");
  results.push_back({"loss, forward, " + name, loss_forward(classes, kRegions).total() * elements,
                     normalize(nullptr) + accesses_of(samples * partials * class_groups(layout),
                                                      LossSums<Counted, kRegions>{logits.data(), layout, labels,
                                                                                  shared ? normalizers.data() : nullptr,
                                                                                  sums.data(), partials, 0})});
  results.push_back({"loss, backward, " + name, loss_backward(classes, kRegions).total() * elements,
                     normalize(slopes.data()) + accesses_of(samples * voxels * class_groups(layout),
                                                            LossGradient<Counted, kRegions>{
                                                                logits.data(), gradient.data(), layout, labels,
                                                                shared ? normalizers.data() : nullptr, means.data(),
                                                                slopes.data(), one.data(), one.data(), 0})});
  std::vector<int16_t> winners(samples * voxels);
  std::vector<int32_t> counts(static_cast<size_t>(samples * partials * classes * kCountColumns));
  const int64_t won =
      shared ? accesses_of(samples * voxels, Winners<Counted>{logits.data(), layout, winners.data()}) : 0;
  results.push_back({"counts, " + name, counting.total() * elements,
                     won + accesses_of(samples * partials * class_groups(layout),
                                       DicePartialCounts<Counted, kRegions>{logits.data(), layout, labels,
                                                                            shared ? winners.data() : nullptr,
                                                                            counts.data(), partials})});
}

void count_tiles(std::vector<TrafficCount>& results) {
  constexpr int64_t classes = 3, volume = 2 * 3 * 4, copies = 4;
  std::vector<Counted> output(classes * volume, {1});
  std::vector<float> kept(classes * volume), weights(volume, 1.0f), sums(classes * volume), weight_sums(volume);
  int64_t counted = 0;
  for (int64_t copy = 0; copy < copies; ++copy) {
    counted += accesses_of(volume, Accumulate<Counted>{output.data(),
                                                       {volume, 12, 4, 1},
                                                       kept.data(),
                                                       weights.data(),
                                                       sums.data(),
                                                       {volume, 12, 4},
                                                       weight_sums.data(),
                                                       {12, 4},
                                                       classes,
                                                       {2, 3, 4},
                                                       copy == 0,
                                                       copy == copies - 1,
                                                       copies});
  }
  results.push_back({"a tile's outputs", accumulated_outputs(copies).total() * classes * volume, counted});
}

void count_gather(std::vector<TrafficCount>& results) {
  constexpr int64_t channels = 2, volume = 3 * 4 * 5;
  const std::vector<Counted> image(channels * volume, {1});
  const std::vector<int8_t> labels(volume, 1);
  std::vector<float> target(channels * volume);
  std::vector<int16_t> label_target(volume);
  GatherGeometry geometry{{3, 4, 5}, {0, 0, 0}, {3, 4, 5}, {3, 4, 5}, {}, true, {false, true, false},
                          false,     false,     true};
  results.push_back({"a copied sample's image", gather_copied.read * channels * volume,
                     accesses_of(volume, Gather<Counted, int8_t>{image.data(), labels.data(), target.data(),
                                                                 label_target.data(), geometry, channels, 1, volume})});
}

}  // namespace

std::vector<TrafficCount> count_traffic() {
  std::vector<TrafficCount> results;
  count_norm(results);
  for (const int64_t classes : {2, 8, 9, 117}) {
    count_loss<false>(classes, results);
    count_loss<true>(classes, results);
  }
  count_tiles(results);
  count_gather(results);
  return results;
}

std::vector<MemoryCount> count_memory() {
  std::vector<MemoryCount> results;
  /// `forward` is run twice, because what is freed in a counted run must have been taken in one.
  const auto count = [&](const std::string& name, const at::Tensor& large, int64_t gradients,
                         const std::function<at::Tensor()>& forward) {
    const auto size = static_cast<int64_t>(large.nbytes()), tables = size / 8;
    at::Tensor result;
    for (int run = 0; run < 2; ++run) {
      const AllocationCounts ahead = count_allocations(at::kCPU, [&] { result = forward(); });
      const AllocationCounts back = count_allocations(at::kCPU, [&] { result.sum().backward(); });
      result.reset();
      large.mutable_grad().reset();
      if (run == 0) continue;
      results.push_back({name + ", bytes kept for backward beside the input's place", tables, ahead.growth});
      results.push_back({name + ", bytes taken forward at once", tables, ahead.peak});
      results.push_back(
          {name + ", bytes taken backward at once beside gradients", tables, back.peak - gradients * size});
    }
  };
  const at::Tensor weight = at::ones({16}).requires_grad_(), bias = at::zeros({16});
  const at::Tensor x = at::ones({2, 16, 24, 24, 24}).contiguous(at::MemoryFormat::ChannelsLast3d);
  count("norm", x, 2, [&] { return instance_norm_leaky_relu_(x.detach(), weight, bias, 1e-5, 0.01, false); });
  const at::Tensor logits = at::ones({2, 8, 24, 24, 24}).requires_grad_();
  const at::Tensor labels = at::zeros({2, 24, 24, 24}, at::kShort);
  const LossTerms terms{{1}, 1, 1, 0, false, true, 1e-5, -1, {}, false};
  count("loss", logits, 1, [&] { return deep_supervision_loss({logits}, labels, terms); });
  return results;
}

}  // namespace check
}  // namespace voxgrad
