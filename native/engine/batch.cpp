// Sampling, augmentation and stacking of a batch.
#include "engine/batch.h"

#include <charconv>

#include "augment/chain.h"
#include "failure.h"

namespace voxgrad {

namespace {
Extents to_extents(const std::vector<int64_t>& patch) {
  return patch.size() == 2 ? Extents{1, patch[0], patch[1]} : Extents{patch[0], patch[1], patch[2]};
}
}  // namespace

uint64_t parse_seed(const std::string& text) {
  uint64_t seed = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw Failure("ERR_CONFIG", "seed: expected an integer from 0 to 2^64 - 1, found " + text);
  }
  return seed;
}

BatchMaker::BatchMaker(const TrainerConfig& config, at::MemoryFormat layout)
    : config_(config),
      layout_(layout),
      seed_(parse_seed(config.seed)),
      training_seed_(redrawn_seed(seed_, 0)),
      patch_(to_extents(config.patchSize)),
      initial_patch_(to_extents(config.initialPatchSize)) {}

Batch BatchMaker::training_batch(const std::vector<Case>& cases, uint64_t step) const {
  std::vector<at::Tensor> images, labels;
  std::vector<Address> samples;
  for (int64_t index = 0; index < config_.batchSize; ++index) {
    const Address address{training_seed_, step, static_cast<uint32_t>(index)};
    samples.push_back(address);
    Draw case_draw(address, Purpose::kTrainingCase), patch_draw(address, Purpose::kTrainingPatch);
    const Case& source = cases[static_cast<size_t>(case_draw.below(static_cast<int64_t>(cases.size())))];
    const bool forced = draw_foreground_forced(index, config_.batchSize, config_.oversampleForeground,
                                               config_.foregroundByProbability, patch_draw);
    Extents start = draw_box_start(source, initial_patch_, patch_, forced, patch_draw);

    const auto spatial = augment::draw_spatial(config_.augmentation, config_.network.dimensions, address);
    Extents extent = initial_patch_;
    if (spatial.identity) {  // the middle of the initial patch is all that is needed
      for (size_t axis = 0; axis < 3; ++axis) start[axis] += initial_patch_[axis] / 2 - patch_[axis] / 2;
      extent = patch_;
    }
    auto [image, segmentation] = crop(source, start, extent);
    at::Tensor previous = crop_previous(source, start, extent);
    if (config_.network.dimensions == 2) image = image.squeeze(1), segmentation = segmentation.squeeze(0);
    if (config_.network.dimensions == 2 && previous.defined()) previous = previous.squeeze(0);
    augment::Sample sample{image, segmentation, previous};
    if (!spatial.identity) {
      sample = augment::apply_spatial(image, segmentation, spatial, config_.patchSize);
      if (previous.defined()) sample.previous = augment::apply_spatial(previous, spatial, config_.patchSize);
    }
    sample = augment::augment(std::move(sample), config_.augmentation, address, config_.previousStageLabels);
    images.push_back(with_previous(sample.image, sample.previous));
    labels.push_back(sample.segmentation);
  }
  return stack(images, labels, std::move(samples));
}

Batch BatchMaker::validation_batch(const std::vector<Case>& cases, uint64_t step) const {
  std::vector<at::Tensor> images, labels;
  std::vector<Address> samples;
  for (int64_t index = 0; index < config_.batchSize; ++index) {
    const Address address{seed_, step, static_cast<uint32_t>(index)};
    samples.push_back(address);
    Draw case_draw(address, Purpose::kValidationCase), patch_draw(address, Purpose::kValidationPatch);
    const Case& source = cases[static_cast<size_t>(case_draw.below(static_cast<int64_t>(cases.size())))];
    const bool forced = draw_foreground_forced(index, config_.batchSize, config_.oversampleForeground,
                                               config_.foregroundByProbability, patch_draw);
    const Extents start = draw_box_start(source, patch_, patch_, forced, patch_draw);
    auto [image, segmentation] = crop(source, start, patch_);
    image = with_previous(image, crop_previous(source, start, patch_));
    if (config_.network.dimensions == 2) image = image.squeeze(1), segmentation = segmentation.squeeze(0);
    images.push_back(image);
    labels.push_back(segmentation.clamp_min(0));
  }
  return stack(images, labels, std::move(samples));
}

at::Tensor BatchMaker::with_previous(const at::Tensor& image, const at::Tensor& previous) const {
  if (!previous.defined()) return image;
  return at::cat({image, one_hot_labels(previous.to(image.device()), config_.previousStageLabels)});
}

Batch BatchMaker::stack(const std::vector<at::Tensor>& images, const std::vector<at::Tensor>& labels,
                        std::vector<Address> samples) const {
  return {at::stack(images).contiguous(layout_), at::stack(labels), std::move(samples), {}};
}

}  // namespace voxgrad
