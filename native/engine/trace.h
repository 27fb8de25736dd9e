// Training steps on given batches, with everything they pass through kept: what comparisons with nnU-Net look at.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "engine/batch.h"

namespace voxgrad {

struct Trace {
  std::vector<at::Tensor> outputs;  // of the first step, highest resolution first; undefined where not computed
  std::map<std::string, at::Tensor> gradients;                // of the first step before clipping, by parameter name
  std::vector<double> losses, gradient_norms;                 // one a step; norms before clipping
  std::map<std::string, at::Tensor> after_first, after_last;  // parameters, running statistics
  at::Tensor evaluated;  // the first batch at full resolution without a training pass, before the first step
};

/// Starts from the weights of a checkpoint and takes one step per batch, through the same network, loss and optimizer
/// as a training. The device is the CPU. Throws Failure as Trainer::load_checkpoint does.
Trace trace_steps(const TrainerConfig& config, const std::string& checkpoint, const std::vector<Batch>& batches,
                  const std::vector<double>& learning_rates);

}  // namespace voxgrad
