// Sampling and augmentation, straight into the batch.
#include "engine/batch.h"

#include <charconv>

#include "failure.h"
#include "kernels/ops.h"

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

BatchMaker::Drawn BatchMaker::draw(const std::vector<Case>& cases, const Address& address, bool training) const {
  Draw case_draw(address, training ? Purpose::kTrainingCase : Purpose::kValidationCase);
  Draw patch_draw(address, training ? Purpose::kTrainingPatch : Purpose::kValidationPatch);
  const Case& source = cases[static_cast<size_t>(case_draw.below(static_cast<int64_t>(cases.size())))];
  const bool forced = draw_foreground_forced(address.sample, config_.batchSize, config_.oversampleForeground,
                                             config_.foregroundByProbability, patch_draw);
  if (!training) return {source, {draw_box_start(source, patch_, patch_, forced, patch_draw), patch_}, {}};
  Box box{draw_box_start(source, initial_patch_, patch_, forced, patch_draw), initial_patch_};
  const auto spatial = augment::draw_spatial(config_.augmentation, config_.network.dimensions, address);
  if (spatial.identity) {  // the middle of the initial patch is all that is needed
    for (size_t axis = 0; axis < 3; ++axis) box.start[axis] += initial_patch_[axis] / 2 - patch_[axis] / 2;
    box.extent = patch_;
  }
  return {source, box, spatial};
}

Batch BatchMaker::empty_batch(const std::vector<Case>& cases) const {
  const auto options = cases.front().image.options();
  std::vector<int64_t> shape{config_.batchSize};
  shape.insert(shape.end(), config_.patchSize.begin(), config_.patchSize.end());
  const at::Tensor labels = at::empty(shape, options.dtype(at::kShort));
  shape.insert(shape.begin() + 1, config_.network.inputChannels);
  return {at::empty(shape, options.dtype(at::kFloat), layout_), labels, {}, {}};
}

Batch BatchMaker::training_batch(const std::vector<Case>& cases, uint64_t step) const {
  const auto& augmentation = config_.augmentation;
  const bool mirrors_first = augment::can_mirror_first(augmentation), background = !augment::masks_any(augmentation);
  Batch batch = empty_batch(cases);
  for (int64_t index = 0; index < config_.batchSize; ++index) {
    const Address address{training_seed_, step, static_cast<uint32_t>(index)};
    batch.samples.push_back(address);
    const Drawn drawn = draw(cases, address, true);
    const augment::Sample place = place_of(batch, index);
    augment::Mirrored mirrored{mirrors_first, {}};
    if (mirrors_first) {
      mirrored.flip = augment::draw_flip(augmentation, config_.network.dimensions, address);
      gather_into(drawn, mirrored.flip, place, background);
      augment::augment(place, augmentation, address, mirrored);
    } else {
      augment::Sample sample{at::empty(place.image.sizes(), place.image.options()), place.segmentation};
      gather_into(drawn, {}, sample, background);
      sample = augment::augment(std::move(sample), augmentation, address);
      place.image.copy_(sample.image);
      if (!sample.segmentation.is_same(place.segmentation)) place.segmentation.copy_(sample.segmentation);
    }
    if (config_.previousStageLabels > 0) put_previous(batch, index, previous_of(drawn, address, mirrored));
  }
  return batch;
}

Batch BatchMaker::validation_batch(const std::vector<Case>& cases, uint64_t step) const {
  Batch batch = empty_batch(cases);
  for (int64_t index = 0; index < config_.batchSize; ++index) {
    const Address address{seed_, step, static_cast<uint32_t>(index)};
    batch.samples.push_back(address);
    const Drawn drawn = draw(cases, address, false);
    const augment::Sample place = place_of(batch, index);
    gather_into(drawn, {}, place, true);
    if (config_.previousStageLabels > 0) {
      const at::Tensor previous = crop_previous(drawn.source, drawn.box.start, drawn.box.extent);
      put_previous(batch, index, config_.network.dimensions == 2 ? previous.squeeze(0) : previous);
    }
  }
  return batch;
}

augment::Sample BatchMaker::place_of(const Batch& batch, int64_t index) const {
  const int64_t channels = config_.network.inputChannels - config_.previousStageLabels;
  return {batch.image[index].narrow(0, 0, channels), batch.labels[index]};
}

void BatchMaker::gather_into(const Drawn& drawn, const augment::Flip& flip, const augment::Sample& place,
                             bool background) const {
  const auto& spatial = drawn.spatial;
  GatherGeometry geometry{};
  for (size_t axis = 0; axis < 3; ++axis) {
    geometry.start[axis] = drawn.box.start[axis];
    geometry.box[axis] = drawn.box.extent[axis];
    geometry.flip[axis] = flip[axis];
  }
  for (size_t i = 0; i < 9; ++i) geometry.matrix[i] = static_cast<float>(spatial.matrix[i]);
  geometry.identity = spatial.identity;
  geometry.nearest_image = spatial.nearest_image;
  geometry.nearest_labels = spatial.nearest_labels;
  geometry.background = background;
  const bool flat = config_.network.dimensions == 2;
  gather(drawn.source.image, drawn.source.segmentation, geometry, flat ? place.image.unsqueeze(1) : place.image,
         flat ? place.segmentation.unsqueeze(0) : place.segmentation);
}

at::Tensor BatchMaker::previous_of(const Drawn& drawn, const Address& address,
                                   const augment::Mirrored& mirrored) const {
  at::Tensor previous = crop_previous(drawn.source, drawn.box.start, drawn.box.extent);
  if (config_.network.dimensions == 2) previous = previous.squeeze(0);
  if (!drawn.spatial.identity) previous = augment::apply_spatial(previous, drawn.spatial, config_.patchSize);
  if (config_.augmentation.enabled) {
    if (!mirrored.done) previous = augment::exchange_axes(previous, config_.augmentation, address);
    previous = previous.flip(augment::draw_mirror_axes(config_.augmentation, address));
  }
  previous = previous.contiguous();
  augment::augment_previous(previous, config_.augmentation, address, config_.previousStageLabels);
  return previous;
}

void BatchMaker::put_previous(const Batch& batch, int64_t index, const at::Tensor& previous) const {
  const int64_t labels = config_.previousStageLabels;
  batch.image[index]
      .narrow(0, config_.network.inputChannels - labels, labels)
      .copy_(one_hot_labels(previous.to(batch.image.device()), labels));
}

}  // namespace voxgrad
