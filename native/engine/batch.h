// Makes the batches of training and validation from the cases in memory: sample, gather, augment.
#pragma once
#include <vector>

#include "augment/chain.h"
#include "data/sampler.h"
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

  /// Batch number `step` of a run: nnU-Net's sampling and its augmentation. The same seed, redraws and step give the
  /// same batch.
  Batch training_batch(const std::vector<Case>& cases, uint64_t step) const;
  /// A batch of patches as they are, drawn with the same rules; `step` addresses it among the validation batches.
  Batch validation_batch(const std::vector<Case>& cases, uint64_t step) const;

 private:
  /// What a sample is made of: a box of a case, which may reach beyond it, and the spatial transform.
  struct Box {
    Extents start, extent;
  };
  struct Drawn {
    const Case& source;
    Box box;
    augment::SpatialParameters spatial;
  };
  Drawn draw(const std::vector<Case>& cases, const Address& address, bool training) const;

  Batch empty_batch(const std::vector<Case>& cases) const;
  /// Where a sample's image (without a previous stage's channels) and labels lie in the batch.
  augment::Sample place_of(const Batch& batch, int64_t index) const;
  /// background: label -1 becomes 0.
  void gather_into(const Drawn& drawn, const augment::Flip& flip, const augment::Sample& place, bool background) const;
  /// A cascade's previous stage, after all that training does to it.
  at::Tensor previous_of(const Drawn& drawn, const Address& address, const augment::Mirrored& mirrored) const;
  /// Writes it as one-hot channels behind the image's own.
  void put_previous(const Batch& batch, int64_t index, const at::Tensor& previous) const;

  const TrainerConfig config_;
  at::MemoryFormat layout_;
  uint64_t seed_, training_seed_;
  Extents patch_, initial_patch_;
};

/// The seed of TrainerConfig as a number. Throws Failure(ERR_CONFIG) if it is not one.
uint64_t parse_seed(const std::string& text);

}  // namespace voxgrad
