// Makes the batches of training and validation from regions of the cases: sample, gather, augment.
#pragma once
#include <vector>

#include "augment/chain.h"
#include "data/sampler.h"
#include "dist/process_group.h"
#include "engine/config.h"
#include "kernels/draw.h"

namespace voxgrad {

struct Batch {
  at::Tensor image;              // (B, C, D, H, W) or (B, C, H, W) float32, in the network's layout
  at::Tensor labels;             // (B, D, H, W) or (B, H, W) int16, without negative values
  std::vector<Address> samples;  // what each sample was drawn from
  at::Tensor dropout;            // Network::draw_dropout for these samples; undefined where nothing is dropped
};

class BatchMaker {
 public:
  BatchMaker(const TrainerConfig& config, at::MemoryFormat layout);

  /// Gives the training batches other draws than before (see redrawn_seed); 0: those of the run's own seed.
  void set_redraws(uint64_t redraws) { training_seed_ = redrawn_seed(seed_, redraws); }

  /// The samples of a batch that are this rank's.
  const BatchShare& share() const { return share_; }
  /// What sample `sample` of the whole batch number `step` is drawn from: the same on any number of ranks.
  Address address(uint64_t step, int64_t sample, bool training) const {
    return {training ? training_seed_ : seed_, step, static_cast<uint32_t>(sample)};
  }
  /// What a sample is cut from, by nnU-Net's sampling; not yet on the device where cases lie elsewhere. Several threads
  /// may call it.
  Region region(const CaseStore& cases, const Address& address, bool training) const;
  /// Those of this rank's samples of a batch, on the device.
  std::vector<Region> regions(const CaseStore& cases, uint64_t step, bool training) const;

  /// Batch number `step` of a run, with nnU-Net's augmentation, from its regions. The same seed, redraws and step give
  /// the same batch.
  Batch training_batch(const std::vector<Region>& regions, uint64_t step) const;
  /// A batch of patches as they are; `step` addresses it among the validation batches.
  Batch validation_batch(const std::vector<Region>& regions, uint64_t step) const;

 private:
  augment::SpatialParameters draw_spatial(const Address& address) const;
  Batch empty_batch(at::Device device) const;
  /// Where a sample's image (without a previous stage's channels) and labels lie in the batch.
  augment::Sample place_of(const Batch& batch, int64_t index) const;
  /// background: label -1 becomes 0.
  void gather_into(const Region& region, const augment::SpatialParameters& spatial, const augment::Flip& flip,
                   const augment::Sample& place, bool background) const;
  /// A cascade's previous stage, after all that training does to it.
  at::Tensor previous_of(const Region& region, const augment::SpatialParameters& spatial, const Address& address,
                         const augment::Mirrored& mirrored) const;
  /// Writes it as one-hot channels behind the image's own.
  void put_previous(const Batch& batch, int64_t index, const at::Tensor& previous) const;

  const TrainerConfig config_;
  const BatchShare share_;
  at::MemoryFormat layout_;
  uint64_t seed_, training_seed_;
  Extents patch_, initial_patch_;
};

/// The seed of TrainerConfig as a number. Throws Failure(ERR_CONFIG) if it is not one.
uint64_t parse_seed(const std::string& text);

}  // namespace voxgrad
