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
      share_(share_of_batch(config.batchSize, config.group.rank, config.group.ranks)),
      layout_(layout),
      seed_(parse_seed(config.seed)),
      training_seed_(redrawn_seed(seed_, 0)),
      patch_(to_extents(config.patchSize)),
      initial_patch_(to_extents(config.initialPatchSize)) {}

augment::SpatialParameters BatchMaker::draw_spatial(const Address& address) const {
  return augment::draw_spatial(config_.augmentation, config_.network.dimensions, address);
}

Region BatchMaker::region(const CaseStore& cases, const Address& address, bool training) const {
  Draw case_draw(address, training ? Purpose::kTrainingCase : Purpose::kValidationCase);
  Draw patch_draw(address, training ? Purpose::kTrainingPatch : Purpose::kValidationPatch);
  const auto source = cases.at(static_cast<size_t>(case_draw.below(static_cast<int64_t>(cases.size()))));
  const bool forced = draw_foreground_forced(address.sample, config_.batchSize, config_.oversampleForeground,
                                             config_.foregroundByProbability, patch_draw);
  const Extents& load = training ? initial_patch_ : patch_;
  Extents start = draw_box_start(*source, load, patch_, forced, patch_draw);
  if (training && !draw_spatial(address).identity) return cases.region(*source, start, load);
  // The middle of the initial patch is all that is needed.
  for (size_t axis = 0; axis < 3; ++axis) start[axis] += load[axis] / 2 - patch_[axis] / 2;
  return cases.region(*source, start, patch_);
}

std::vector<Region> BatchMaker::regions(const CaseStore& cases, uint64_t step, bool training) const {
  std::vector<Region> result;
  for (int64_t index = 0; index < share_.count; ++index)
    result.push_back(cases.to_device(region(cases, address(step, share_.first + index, training), training)));
  return result;
}

Batch BatchMaker::empty_batch(at::Device device) const {
  const auto options = at::TensorOptions().device(device);
  std::vector<int64_t> shape{share_.count};
  shape.insert(shape.end(), config_.patchSize.begin(), config_.patchSize.end());
  const at::Tensor labels = at::empty(shape, options.dtype(at::kShort));
  shape.insert(shape.begin() + 1, config_.network.inputChannels);
  return {at::empty(shape, options.dtype(at::kFloat), layout_), labels, {}, {}};
}

Batch BatchMaker::training_batch(const std::vector<Region>& regions, uint64_t step) const {
  const auto& augmentation = config_.augmentation;
  const bool mirrors_first = augment::can_mirror_first(augmentation), background = !augment::masks_any(augmentation);
  Batch batch = empty_batch(regions.front().image.device());
  for (int64_t index = 0; index < share_.count; ++index) {
    const Address address = this->address(step, share_.first + index, true);
    batch.samples.push_back(address);
    const Region& region = regions[static_cast<size_t>(index)];
    const auto spatial = draw_spatial(address);
    const augment::Sample place = place_of(batch, index);
    augment::Mirrored mirrored{mirrors_first, {}};
    if (mirrors_first) {
      mirrored.flip = augment::draw_flip(augmentation, config_.network.dimensions, address);
      gather_into(region, spatial, mirrored.flip, place, background);
      augment::augment(place, augmentation, address, mirrored);
    } else {
      augment::Sample sample{at::empty(place.image.sizes(), place.image.options()), place.segmentation};
      gather_into(region, spatial, {}, sample, background);
      sample = augment::augment(std::move(sample), augmentation, address);
      place.image.copy_(sample.image);
      if (!sample.segmentation.is_same(place.segmentation)) place.segmentation.copy_(sample.segmentation);
    }
    if (config_.previousStageLabels > 0) put_previous(batch, index, previous_of(region, spatial, address, mirrored));
  }
  return batch;
}

Batch BatchMaker::validation_batch(const std::vector<Region>& regions, uint64_t step) const {
  Batch batch = empty_batch(regions.front().image.device());
  for (int64_t index = 0; index < share_.count; ++index) {
    batch.samples.push_back(address(step, share_.first + index, false));
    const Region& region = regions[static_cast<size_t>(index)];
    gather_into(region, {}, {}, place_of(batch, index), true);
    if (config_.previousStageLabels > 0) {
      const at::Tensor previous = crop_previous(region);
      put_previous(batch, index, config_.network.dimensions == 2 ? previous.squeeze(0) : previous);
    }
  }
  return batch;
}

augment::Sample BatchMaker::place_of(const Batch& batch, int64_t index) const {
  const int64_t channels = config_.network.inputChannels - config_.previousStageLabels;
  return {batch.image[index].narrow(0, 0, channels), batch.labels[index]};
}

void BatchMaker::gather_into(const Region& region, const augment::SpatialParameters& spatial, const augment::Flip& flip,
                             const augment::Sample& place, bool background) const {
  GatherGeometry geometry{};
  for (size_t axis = 0; axis < 3; ++axis) {
    geometry.start[axis] = region.start[axis];
    geometry.box[axis] = region.extent[axis];
    geometry.flip[axis] = flip[axis];
  }
  for (size_t i = 0; i < 9; ++i) geometry.matrix[i] = static_cast<float>(spatial.matrix[i]);
  geometry.identity = spatial.identity;
  geometry.nearest_image = spatial.nearest_image;
  geometry.nearest_labels = spatial.nearest_labels;
  geometry.background = background;
  const bool flat = config_.network.dimensions == 2;
  gather(region.image, region.segmentation, geometry, flat ? place.image.unsqueeze(1) : place.image,
         flat ? place.segmentation.unsqueeze(0) : place.segmentation);
}

at::Tensor BatchMaker::previous_of(const Region& region, const augment::SpatialParameters& spatial,
                                   const Address& address, const augment::Mirrored& mirrored) const {
  at::Tensor previous = crop_previous(region);
  if (config_.network.dimensions == 2) previous = previous.squeeze(0);
  if (!spatial.identity) previous = augment::apply_spatial(previous, spatial, config_.patchSize);
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
