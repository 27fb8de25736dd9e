// Makes the batches of training and validation from the cases in memory: sample, cut, augment, stack.
#pragma once
#include <vector>

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
  /// The image with the previous stage's one-hot channels behind its own; as it is without a cascade.
  at::Tensor with_previous(const at::Tensor& image, const at::Tensor& previous) const;
  Batch stack(const std::vector<at::Tensor>& images, const std::vector<at::Tensor>& labels,
              std::vector<Address> samples) const;

  const TrainerConfig config_;
  at::MemoryFormat layout_;
  uint64_t seed_, training_seed_;
  Extents patch_, initial_patch_;
};

/// The seed of TrainerConfig as a number. Throws Failure(ERR_CONFIG) if it is not one.
uint64_t parse_seed(const std::string& text);

}  // namespace voxgrad
