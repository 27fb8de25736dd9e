// Synthetic cases and configuration.
#include "check/synthetic.h"

#include "io/blosc2_array.h"
#include "io/files.h"
#include "io/pickle.h"
#include "kernels/draw.h"

namespace voxgrad::check {

std::vector<Case> synthetic_cases(int64_t count, std::array<int64_t, 3> shape, uint64_t seed, at::Device device) {
  std::vector<Case> cases;
  for (int64_t index = 0; index < count; ++index) {
    Draw draw({seed, static_cast<uint64_t>(index), 0}, Purpose::kTrainingCase);
    Case made;
    made.id = std::to_string(index);
    made.shape = shape;
    made.foreground.resize(2);
    at::Tensor image = at::empty({1, shape[0], shape[1], shape[2]}, at::kFloat);
    at::Tensor segmentation = at::zeros({shape[0], shape[1], shape[2]}, at::kShort);
    std::array<double, 3> center, radius;
    for (size_t axis = 0; axis < 3; ++axis) {
      center[axis] = static_cast<double>(shape[axis]) * draw.uniform(0.4, 0.6);
      radius[axis] = static_cast<double>(shape[axis]) * draw.uniform(0.2, 0.35);
    }
    float* voxel = image.data_ptr<float>();
    int16_t* label = segmentation.data_ptr<int16_t>();
    for (int32_t z = 0; z < shape[0]; ++z) {
      for (int32_t y = 0; y < shape[1]; ++y) {
        for (int32_t x = 0; x < shape[2]; ++x, ++voxel, ++label) {
          const double dz = (z - center[0]) / radius[0], dy = (y - center[1]) / radius[1],
                       dx = (x - center[2]) / radius[2];
          if (dz * dz + dy * dy + dx * dx < 1) *label = dy < 0 ? 1 : 2;
          *voxel = static_cast<float>(*label + 0.3 * draw.normal());
          if (*label > 0) made.foreground[static_cast<size_t>(*label - 1)].push_back({z, y, x});
        }
      }
    }
    made.image = image.to(device);
    made.segmentation = segmentation.to(device);
    cases.push_back(std::move(made));
  }
  return cases;
}

void write_cases(const std::string& folder, const std::vector<Case>& cases, const std::vector<int64_t>& patch_size) {
  for (const Case& one : cases) {
    const std::string base = folder + "/" + one.id;
    const auto write = [&](const std::string& stem, const at::Tensor& array) {
      io::write_blosc2(stem + ".b2nd", array,
                       io::blosc2_layout(array.sizes().vec(), patch_size, static_cast<int64_t>(array.element_size())));
    };
    write(base, one.image);
    write(base + "_seg", one.segmentation.unsqueeze(0));
    io::Dict locations;
    for (const Voxels& voxels : one.foreground) {
      at::Tensor rows = at::zeros({static_cast<int64_t>(voxels.size()), 4}, at::kLong);
      int64_t* row = rows.data_ptr<int64_t>();
      for (const auto& voxel : voxels) {
        std::copy(voxel.begin(), voxel.end(), row + 1);
        row += 4;
      }
      locations.items.emplace_back(static_cast<int>(locations.items.size()) + 1, io::NumpyArray{rows});
    }
    io::write_atomically(base + ".pkl", io::write_pickle(io::Dict{{{"class_locations", locations}}}));
  }
}

TrainerConfig synthetic_config(const std::string& device, std::vector<int64_t> patch_size,
                               std::vector<int64_t> features) {
  const auto dimensions = static_cast<int64_t>(patch_size.size());
  const size_t stages = features.size();
  TrainerConfig config;
  config.device = device;
  config.threads = 2;
  config.deterministic = false;
  config.cudaGraph = true;
  config.precision = "float32";
  config.seed = "1";
  config.group = {0, 1, "", 0, false, "", 0};
  config.batchSize = 2;
  config.patchSize = patch_size;
  for (int64_t extent : patch_size) config.initialPatchSize.push_back(extent * 3 / 2);
  config.oversampleForeground = 0.33;
  config.foregroundByProbability = false;
  config.previousStageLabels = 0;
  config.network = {"PlainConvUNet", dimensions, 1, 3, features, {}, {}, {}, {}, true, false, 0, false, 1e-5, 0.01};
  for (size_t stage = 0; stage < stages; ++stage) {
    config.network.kernelSizes.emplace_back(static_cast<size_t>(dimensions), 3);
    config.network.strides.emplace_back(static_cast<size_t>(dimensions), stage == 0 ? 1 : 2);
    config.network.convsPerStage.push_back(2);
  }
  config.network.convsPerStageDecoder.assign(stages - 1, 2);
  config.labels = {{{0}, {1}, {2}}, false, -1};
  config.loss = {1, 1, 100, 0, true, false, 1e-5, {}};
  for (size_t level = 0; level + 1 < stages; ++level) {
    config.loss.deepSupervisionWeights.push_back(level + 2 < stages || level == 0 ? std::pow(0.5, level) : 0.0);
  }
  config.optimizer = {"sgd", 0.99, true, 0.9, 0.999, {0.02, 0.08, 0.01}, 1e-8, false, 3e-5, 12.0};
  auto& augmentation = config.augmentation;
  augmentation.enabled = true;
  augmentation.rotationProbability = augmentation.scalingProbability = 0.2;
  augmentation.rotationRange = {-0.5236, 0.5236};
  augmentation.scalingRange = {0.7, 1.4};
  augmentation.noiseProbability = 0.1;
  augmentation.noiseStandardDeviation = {0, 0.1};
  augmentation.blurProbability = 0.2;
  augmentation.blurSigma = {0.5, 1};
  augmentation.blurChannelProbability = 0.5;
  augmentation.brightnessProbability = augmentation.contrastProbability = 0.15;
  augmentation.brightnessRange = augmentation.contrastRange = {0.75, 1.25};
  augmentation.lowResolutionProbability = 0.25;
  augmentation.lowResolutionScale = {0.5, 1};
  augmentation.lowResolutionChannelProbability = 0.5;
  augmentation.gammaInvertedProbability = 0.1;
  augmentation.gammaProbability = 0.3;
  augmentation.gammaRange = {0.7, 1.5};
  for (int64_t axis = 0; axis < dimensions; ++axis) augmentation.mirrorAxes.push_back(axis);
  augmentation.maskImage = {false};
  return config;
}

void add_da5_transforms(augment::AugmentationConfig& config) {
  config.rotationAxisProbability = 0.5;
  config.scalingPerAxis = true;
  config.quarterTurnProbability = config.transposeProbability = 0.5;
  config.noiseAfterBlur = true;
  config.blurProbability = config.medianFilterProbability = 0.5;
  config.medianFilterSize = {2, 4};
  config.additiveBrightnessProbability = config.additiveBrightnessDeviation = 0.5;
  config.contrastProbability = config.unclampedContrastProbability = 0.5;
  config.secondGammaInvertedProbability = 0.5;
  config.blankRectangleProbability = config.brightnessGradientProbability = 0.5;
  config.localGammaProbability = config.sharpeningProbability = 0.5;
  config.blankRectangleCount = {1, 4};
  config.brightnessGradientStrength = {1, 5};
  config.localGammaBelow = {0.01, 0.8};
  config.localGammaAbove = {1.5, 4};
  config.sharpeningStrength = {0.1, 1};
  config.medianFilterChannelProbability = config.additiveBrightnessChannelProbability = 1;
  config.blankRectangleChannelProbability = config.brightnessGradientChannelProbability = 1;
  config.localGammaChannelProbability = config.sharpeningChannelProbability = 1;
}

void make_cascade(TrainerConfig& config, std::vector<Case>& cases) {
  config.previousStageLabels = 2;
  config.network.inputChannels += 2;
  config.augmentation.previousOperatorProbability = config.augmentation.previousRemovalProbability = 0.5;
  config.augmentation.previousOperatorLabelProbability = config.augmentation.previousRemovalLabelProbability = 0.5;
  config.augmentation.previousOperatorRadius = {1, 4};
  config.augmentation.previousRemovalShare = 0.5;
  for (Case& one : cases) one.previous = one.segmentation.to(at::kCPU);
}

void make_sparse_regions(TrainerConfig& config, std::vector<Case>& cases) {
  config.network.outputChannels = 2;
  config.labels = {{{1, 2}, {2}}, true, 3};
  for (Case& one : cases) {
    one.segmentation.narrow(0, 0, one.shape[0] / 2).fill_(3);
    const auto first = static_cast<int32_t>(one.shape[0] / 2);
    for (int32_t z = first; z < one.shape[0]; ++z) one.annotated.push_back({z, first, first});
  }
}

}  // namespace voxgrad::check
