// NumPy's legacy random stream numpy.random.RandomState(seed): nnU-Net fixes its draws with it, so they can be
// repeated.
#pragma once
#include <cstdint>
#include <random>
#include <span>
#include <utility>
#include <vector>

namespace voxgrad::preprocess {

/// MT19937 with the masked rejection that RandomState uses for bounded integers.
class LegacyRandom {
 public:
  explicit LegacyRandom(uint32_t seed) : generator_(seed) {}

  /// A uniform integer in [0, maximum]. A maximum of 0 draws nothing.
  uint32_t interval(uint32_t maximum) {
    if (maximum == 0) return 0;
    uint32_t mask = maximum;
    for (int shift = 1; shift < 32; shift *= 2) mask |= mask >> shift;
    uint32_t value;
    while ((value = static_cast<uint32_t>(generator_()) & mask) > maximum) {
    }
    return value;
  }

  /// RandomState.shuffle.
  template <class T>
  void shuffle(std::span<T> values) {
    for (size_t i = values.size(); i-- > 1;) std::swap(values[i], values[interval(static_cast<uint32_t>(i))]);
  }

  /// RandomState.choice(population, count, replace=False): distinct indices below `population` in draw order.
  std::vector<uint32_t> choice_without_replacement(uint32_t population, uint32_t count) {
    std::vector<uint32_t> indices(population);
    for (uint32_t i = 0; i < population; ++i) indices[i] = i;
    shuffle(std::span(indices));
    indices.resize(count);
    return indices;
  }

 private:
  std::mt19937 generator_;
};

}  // namespace voxgrad::preprocess
