// What the training augmentation may do and how often: the C++ side of AugmentationConfig in src/native/binding.ts.
// Every value is final; defaults live in the TypeScript schema alone.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

namespace voxgrad::augment {

/// A range [low, high].
using Range = std::array<double, 2>;

/// nnU-Net's default chain (nnUNetTrainer.get_training_transforms). Rotations in radians. Spellings equal binding.ts.
struct AugmentationConfig {
  bool enabled = false;  // false: no transform at all but the center crop
  bool dummy2d = false;  // transforms in the plane of axes 1 and 2 only; axis 0 counts as channels
  double rotationProbability = 0;
  Range rotationRange{};
  double scalingProbability = 0;
  Range scalingRange{};
  double noiseProbability = 0;
  Range noiseStandardDeviation{};
  double blurProbability = 0;
  Range blurSigma{};
  double blurChannelProbability = 0;
  double brightnessProbability = 0;
  Range brightnessRange{};
  double contrastProbability = 0;
  Range contrastRange{};
  double lowResolutionProbability = 0;
  Range lowResolutionScale{};
  double lowResolutionChannelProbability = 0;
  double gammaInvertedProbability = 0;
  double gammaProbability = 0;
  Range gammaRange{};
  std::vector<int64_t> mirrorAxes;  // spatial axes, counted from 0
  std::vector<bool> maskImage;      // per channel: 0 where the segmentation is -1

  /// Calls visit(name, member pointer) for every field, in the order above.
  template <class Visitor>
  static void fields(Visitor&& visit) {
    using Config = AugmentationConfig;
    visit("enabled", &Config::enabled);
    visit("dummy2d", &Config::dummy2d);
    visit("rotationProbability", &Config::rotationProbability);
    visit("rotationRange", &Config::rotationRange);
    visit("scalingProbability", &Config::scalingProbability);
    visit("scalingRange", &Config::scalingRange);
    visit("noiseProbability", &Config::noiseProbability);
    visit("noiseStandardDeviation", &Config::noiseStandardDeviation);
    visit("blurProbability", &Config::blurProbability);
    visit("blurSigma", &Config::blurSigma);
    visit("blurChannelProbability", &Config::blurChannelProbability);
    visit("brightnessProbability", &Config::brightnessProbability);
    visit("brightnessRange", &Config::brightnessRange);
    visit("contrastProbability", &Config::contrastProbability);
    visit("contrastRange", &Config::contrastRange);
    visit("lowResolutionProbability", &Config::lowResolutionProbability);
    visit("lowResolutionScale", &Config::lowResolutionScale);
    visit("lowResolutionChannelProbability", &Config::lowResolutionChannelProbability);
    visit("gammaInvertedProbability", &Config::gammaInvertedProbability);
    visit("gammaProbability", &Config::gammaProbability);
    visit("gammaRange", &Config::gammaRange);
    visit("mirrorAxes", &Config::mirrorAxes);
    visit("maskImage", &Config::maskImage);
  }
};

}  // namespace voxgrad::augment
