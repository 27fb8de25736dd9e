// One training step and one validation step: the page to read first.
#pragma once
#include "dist/gradient_exchange.h"
#include "engine/batch.h"
#include "engine/loss.h"
#include "engine/network.h"
#include "engine/optimizer.h"
#include "engine/sample_parallel.h"
#include "engine/step_clock.h"

namespace voxgrad {

/// All that a step works on besides its batch.
struct StepParts {
  const Network& network;
  /// The network's forward pass.
  const SampleParallel& forward;
  const Loss& loss;
  Optimizer& optimizer;
  /// Where several ranks share a batch; null: alone.
  GradientExchange* exchange;
  /// Autocast type of convolutions on an accelerator; kFloat: no autocast.
  at::ScalarType precision;
  StepClock& clock;
};

/// What a step leaves on the device, as 0-dimensional float32 tensors.
struct StepResult {
  at::Tensor loss;
  at::Tensor gradient_norm;
  at::Tensor skipped;  // see Optimizer::Update
  at::Tensor stop;     // how many ranks wish to end after this step
};

/// A training step at a learning rate (0-dimensional, see Optimizer::step); one whose loss or gradient is not finite
/// changes nothing. `stop` is this rank's wish, 0 or 1 (0-dimensional float32 on the device). Reads nothing back from
/// the device, and nothing but its arguments changes from step to step, so that a device may record it once and replay
/// it (engine/step_graph.h).
StepResult train_step(const StepParts& parts, const Batch& batch, const at::Tensor& learning_rate,
                      const at::Tensor& stop);

/// Adds the counts of a validation batch to `counts` and returns its loss (0-dimensional, on the device). As
/// replayable.
at::Tensor validation_step(const StepParts& parts, const Batch& batch, DiceCounts& counts);

}  // namespace voxgrad
