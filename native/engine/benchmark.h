// What a benchmark measures of a trainer: steps, batches and parts alone, counts of one step, limits of the device.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "engine/counters.h"
#include "engine/trainer.h"

namespace voxgrad {

/// Gives the trainer `count` random cases of extents (z, y, x) for training and validation.
void use_random_cases(Trainer& trainer, int64_t count, const std::array<int64_t, 3>& shape);

/// Times training steps at a small learning rate; with `held` all on one batch (nnU-Net's noDataLoading benchmark).
StepTimes time_training(Trainer& trainer, int64_t steps, bool held);
StepTimes time_validation(Trainer& trainer, int64_t steps, bool held);
/// Times making training batches number first, first + 1, ..., without a step.
StepTimes time_batches(Trainer& trainer, int64_t first, int64_t steps);

/// Milliseconds of each run, by part, after one that does not count: "network" (forward, backward of the mean outputs),
/// "loss" (forward, backward), "optimizer", "pseudo_dice", and "norm" (instance norm and leaky ReLU of the first stage,
/// forward and backward).
std::map<std::string, std::vector<float>> time_parts(Trainer& trainer, int64_t runs);

struct StepCounts {
  OperatorCounts training;       // of one step on a batch that is there
  OperatorCounts validation;     // the same
  AllocationCounts allocations;  // of one such training step
};
/// Counts one step; the trainer must have made steps before.
StepCounts count_step(Trainer& trainer);

/// The most that the device does, measured: arithmetic by a large matrix product of random values in the trainer's
/// precision, memory by a copy that no cache holds.
struct Ceilings {
  double flop_per_second, bytes_per_second;
};
Ceilings measure_ceilings(Trainer& trainer);

}  // namespace voxgrad
