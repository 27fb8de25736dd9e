// Addressed random numbers: every draw is Philox4x32-10 (Salmon et al., SC'11) of (seed, step, sample, purpose, index),
// so that thread count, prefetch order and where a run was stopped cannot change it. Host and device compile this same
// code.
#pragma once
#include <array>
#include <cmath>
#include <cstdint>

#if defined(__CUDACC__)
#define VOXGRAD_HOST_DEVICE __host__ __device__
#else
#define VOXGRAD_HOST_DEVICE
#endif

namespace voxgrad {

/// What a number is drawn for. Values are part of the file format in effect: changing one changes every run.
enum class Purpose : uint32_t {
  kTrainingCase = 1,
  kTrainingPatch = 2,
  kValidationCase = 3,
  kValidationPatch = 4,
  kSpatial = 5,
  kGaussianNoise = 6,
  kGaussianNoiseField = 7,
  kGaussianBlur = 8,
  kBrightness = 9,
  kContrast = 10,
  kLowResolution = 11,
  kGammaInverted = 12,
  kGamma = 13,
  kMirror = 14,
  kInitialization = 15,
  kQuarterTurn = 16,
  kTranspose = 17,
  kAdditiveBrightness = 18,
  kSecondGammaInverted = 19,
  kBlankRectangle = 20,
  kBrightnessGradient = 21,
  kLocalGamma = 22,
  kSharpening = 23,
  kPreviousOperator = 26,
  kPreviousRemoval = 25,
  kDropout = 24,
};

using PhiloxBlock = std::array<uint32_t, 4>;

/// One Philox4x32-10 block. counter and key as in the paper; Random123's known-answer vectors are in the tests.
VOXGRAD_HOST_DEVICE inline PhiloxBlock philox(PhiloxBlock counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key0, static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key1, static_cast<uint32_t>(product0)};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

/// A uniform number in [0, 1) with 24 bits.
VOXGRAD_HOST_DEVICE inline float to_uniform(uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1.0p-24f; }

/// The seed of the training draws after `redraws` reloads because of non-finite losses; 0: the run's own. Here alone
/// reloads enter the random numbers: multiples of an odd constant (2^64 over the golden ratio) are all different, and
/// Philox makes unrelated numbers of any two keys.
inline uint64_t redrawn_seed(uint64_t seed, uint64_t redraws) { return seed + redraws * 0x9E3779B97F4A7C15u; }

/// The address of a group of draws: which run, step, sample in the batch, and what for.
struct Address {
  uint64_t seed = 0;
  uint64_t step = 0;
  uint32_t sample = 0;  // index in the global batch, below 65536
};

/// The stream of numbers at one address and purpose. Block i of the stream is philox(counter = {i, purpose << 16 |
/// sample, step low, step high}, key = seed). Copyable; reading it advances only this object.
class Draw {
 public:
  Draw(const Address& address, Purpose purpose)
      : key0_(static_cast<uint32_t>(address.seed)),
        key1_(static_cast<uint32_t>(address.seed >> 32)),
        lane_(static_cast<uint32_t>(purpose) << 16 | address.sample),
        step0_(static_cast<uint32_t>(address.step)),
        step1_(static_cast<uint32_t>(address.step >> 32)) {}

  /// The four words of block `index`.
  VOXGRAD_HOST_DEVICE PhiloxBlock block(uint32_t index) const {
    return philox({index, lane_, step0_, step1_}, key0_, key1_);
  }

  uint32_t next() {
    if (position_ % 4 == 0) current_ = block(position_ / 4);
    return current_[position_++ % 4];
  }
  /// Uniform in [0, 1) with 53 bits.
  double uniform() {
    const uint64_t high = next() >> 5, low = next() >> 6;
    return static_cast<double>(high << 26 | low) * 0x1.0p-53;
  }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  bool chance(double probability) { return uniform() < probability; }
  /// Uniform integer in [0, count). `count` must be positive; the bias is below 2^-53 * count.
  int64_t below(int64_t count) { return static_cast<int64_t>(uniform() * static_cast<double>(count)); }
  /// Standard normal (Box-Muller).
  double normal() {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
    return radius * std::cos(2.0 * 3.14159265358979323846 * uniform());
  }

  uint32_t key0() const { return key0_; }
  uint32_t key1() const { return key1_; }
  uint32_t lane() const { return lane_; }
  uint32_t step0() const { return step0_; }
  uint32_t step1() const { return step1_; }

 private:
  uint32_t key0_, key1_, lane_, step0_, step1_;
  uint32_t position_ = 0;
  PhiloxBlock current_{};
};

}  // namespace voxgrad
