// One training step and one validation step: the page to read first.
#pragma once
#include "engine/batch.h"
#include "engine/loss.h"
#include "engine/network.h"
#include "engine/optimizer.h"
#include "engine/step_clock.h"

namespace voxgrad {

/// All that a step works on.
struct StepParts {
  const BatchMaker& batches;
  const Network& network;
  const Loss& loss;
  Optimizer& optimizer;
  /// Autocast type of convolutions on an accelerator; kFloat: no autocast.
  at::ScalarType precision;
  StepClock& clock;
  /// In place of a new batch in every step, for benchmarks; null: none.
  const Batch* held_batch;
};

/// What a step leaves on the device, as 0-dimensional float32 tensors, and the host's time for its batch.
struct StepResult {
  at::Tensor loss;
  at::Tensor gradient_norm;
  at::Tensor skipped;  // see Optimizer::Update
  float data_ms;
};

/// Training step number `step`; one whose loss or gradient is not finite changes nothing. Reads nothing back from the
/// device.
StepResult train_step(const StepParts& parts, const std::vector<Case>& cases, uint64_t step, double learning_rate);

/// Validation batch number `step`: adds its counts to `counts` and returns its loss (0-dimensional, on the device).
at::Tensor validation_step(const StepParts& parts, const std::vector<Case>& cases, uint64_t step, DiceCounts& counts);

}  // namespace voxgrad
