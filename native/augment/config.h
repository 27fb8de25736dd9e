// What the training augmentation may do and how often: the C++ side of AugmentationConfig in src/native/binding.ts.
// Every value is final: defaults live in the TypeScript schema alone, and those here leave every transform out.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

namespace voxgrad::augment {

/// A range [low, high].
using Range = std::array<double, 2>;

/// What nnU-Net's default chain and its DA5 need (get_training_transforms of nnUNetTrainer and nnUNetTrainerDA5).
/// Rotations in radians. A transform whose probability is 0 is not part of the chain. Spellings equal binding.ts.
struct AugmentationConfig {
  bool enabled = false;  // false: no transform at all but the center crop
  bool dummy2d = false;  // transforms in the plane of axes 1 and 2 only; axis 0 counts as channels
  double rotationProbability = 0;
  Range rotationRange{};
  double rotationAxisProbability = 1;  // each angle of a rotated sample is kept with it, else 0
  double scalingProbability = 0;
  Range scalingRange{};
  bool scalingPerAxis = false;  // a factor of its own for each axis
  bool nearestImage = false;    // rotation and scaling take the nearest voxel in place of interpolating
  bool nearestLabels = false;
  double quarterTurnProbability = 0;  // this one and the next act on axes of equal extent
  double transposeProbability = 0;
  double noiseProbability = 0;
  Range noiseStandardDeviation{};
  bool noiseAfterBlur = false;  // the median filter and blur come first
  double blurProbability = 0;   // excludes the median filter
  Range blurSigma{};
  bool blurSigmaPerAxis = true;
  double blurChannelProbability = 0;
  double medianFilterProbability = 0;  // excludes blur
  Range medianFilterSize{};            // whole numbers of voxels, both ends included
  double medianFilterChannelProbability = 0;
  double brightnessProbability = 0;
  Range brightnessRange{};
  double additiveBrightnessProbability = 0;
  double additiveBrightnessDeviation = 0;
  double additiveBrightnessChannelProbability = 0;
  double contrastProbability = 0;  // clamped to the channel's range; excludes the next
  double unclampedContrastProbability = 0;
  Range contrastRange{};
  double contrastChannelProbability = 1;
  double lowResolutionProbability = 0;
  Range lowResolutionScale{};
  double lowResolutionChannelProbability = 0;
  double gammaInvertedProbability = 0;
  double secondGammaInvertedProbability = 0;  // DA5 has the inverted gamma twice
  double gammaProbability = 0;
  Range gammaRange{};
  double blankRectangleProbability = 0;
  Range blankRectangleCount{};  // whole numbers, both ends included
  double blankRectangleChannelProbability = 0;
  double brightnessGradientProbability = 0;
  Range brightnessGradientStrength{};  // added or subtracted at its peak
  double brightnessGradientChannelProbability = 0;
  double localGammaProbability = 0;
  Range localGammaBelow{};  // this range or the next with probability 0.5 each
  Range localGammaAbove{};
  double localGammaChannelProbability = 0;
  double sharpeningProbability = 0;
  Range sharpeningStrength{};
  double sharpeningChannelProbability = 0;
  // What is done to a previous stage's segmentation; probabilities named Label are of each of its labels.
  double previousOperatorProbability = 0;
  double previousOperatorLabelProbability = 0;
  Range previousOperatorRadius{};  // voxels
  double previousRemovalProbability = 0;
  double previousRemovalLabelProbability = 0;
  double previousRemovalShare = 0;  // of the patch: larger components stay
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
    visit("rotationAxisProbability", &Config::rotationAxisProbability);
    visit("scalingProbability", &Config::scalingProbability);
    visit("scalingRange", &Config::scalingRange);
    visit("scalingPerAxis", &Config::scalingPerAxis);
    visit("nearestImage", &Config::nearestImage);
    visit("nearestLabels", &Config::nearestLabels);
    visit("quarterTurnProbability", &Config::quarterTurnProbability);
    visit("transposeProbability", &Config::transposeProbability);
    visit("noiseProbability", &Config::noiseProbability);
    visit("noiseStandardDeviation", &Config::noiseStandardDeviation);
    visit("noiseAfterBlur", &Config::noiseAfterBlur);
    visit("blurProbability", &Config::blurProbability);
    visit("blurSigma", &Config::blurSigma);
    visit("blurSigmaPerAxis", &Config::blurSigmaPerAxis);
    visit("blurChannelProbability", &Config::blurChannelProbability);
    visit("medianFilterProbability", &Config::medianFilterProbability);
    visit("medianFilterSize", &Config::medianFilterSize);
    visit("medianFilterChannelProbability", &Config::medianFilterChannelProbability);
    visit("brightnessProbability", &Config::brightnessProbability);
    visit("brightnessRange", &Config::brightnessRange);
    visit("additiveBrightnessProbability", &Config::additiveBrightnessProbability);
    visit("additiveBrightnessDeviation", &Config::additiveBrightnessDeviation);
    visit("additiveBrightnessChannelProbability", &Config::additiveBrightnessChannelProbability);
    visit("contrastProbability", &Config::contrastProbability);
    visit("unclampedContrastProbability", &Config::unclampedContrastProbability);
    visit("contrastRange", &Config::contrastRange);
    visit("contrastChannelProbability", &Config::contrastChannelProbability);
    visit("lowResolutionProbability", &Config::lowResolutionProbability);
    visit("lowResolutionScale", &Config::lowResolutionScale);
    visit("lowResolutionChannelProbability", &Config::lowResolutionChannelProbability);
    visit("gammaInvertedProbability", &Config::gammaInvertedProbability);
    visit("secondGammaInvertedProbability", &Config::secondGammaInvertedProbability);
    visit("gammaProbability", &Config::gammaProbability);
    visit("gammaRange", &Config::gammaRange);
    visit("blankRectangleProbability", &Config::blankRectangleProbability);
    visit("blankRectangleCount", &Config::blankRectangleCount);
    visit("blankRectangleChannelProbability", &Config::blankRectangleChannelProbability);
    visit("brightnessGradientProbability", &Config::brightnessGradientProbability);
    visit("brightnessGradientStrength", &Config::brightnessGradientStrength);
    visit("brightnessGradientChannelProbability", &Config::brightnessGradientChannelProbability);
    visit("localGammaProbability", &Config::localGammaProbability);
    visit("localGammaBelow", &Config::localGammaBelow);
    visit("localGammaAbove", &Config::localGammaAbove);
    visit("localGammaChannelProbability", &Config::localGammaChannelProbability);
    visit("sharpeningProbability", &Config::sharpeningProbability);
    visit("sharpeningStrength", &Config::sharpeningStrength);
    visit("sharpeningChannelProbability", &Config::sharpeningChannelProbability);
    visit("previousOperatorProbability", &Config::previousOperatorProbability);
    visit("previousOperatorLabelProbability", &Config::previousOperatorLabelProbability);
    visit("previousOperatorRadius", &Config::previousOperatorRadius);
    visit("previousRemovalProbability", &Config::previousRemovalProbability);
    visit("previousRemovalLabelProbability", &Config::previousRemovalLabelProbability);
    visit("previousRemovalShare", &Config::previousRemovalShare);
    visit("mirrorAxes", &Config::mirrorAxes);
    visit("maskImage", &Config::maskImage);
  }
};

}  // namespace voxgrad::augment
