// One training step, top to bottom; and its twin without a gradient, which counts what the pseudo-Dice is made of.
#include "engine/train_step.h"

#include "engine/autocast.h"

namespace voxgrad {

// ---- training step
// ----------------------------------------------------------------------------------------------------

StepResult train_step(const StepParts& parts, const Batch& batch, const at::Tensor& learning_rate,
                      const at::Tensor& stop) {
  parts.optimizer.zero_gradients();
  const TrainingPass pass = parts.network.begin_pass(batch.dropout);
  at::Tensor loss;
  {
    const Autocast autocast(parts.network.device(), parts.precision);
    const auto logits = parts.forward(batch.image, parts.loss.heads(), &pass);
    parts.clock.mark("forward");
    loss = parts.loss(logits, batch.labels);
    parts.clock.mark("loss");
  }
  GradientExchange::Sums over_ranks{loss.detach(), stop};
  if (parts.exchange) parts.exchange->begin(over_ranks.loss, stop);
  parts.optimizer.scaled(loss).backward();
  if (parts.exchange) over_ranks = parts.exchange->finish();
  parts.clock.mark("backward");

  const Optimizer::Update update = parts.optimizer.step(learning_rate, over_ranks.loss);
  parts.network.end_pass(pass, update.unchanged);
  parts.clock.mark("optimizer");
  return {over_ranks.loss, update.gradient_norm, update.skipped, over_ranks.stop};
}

// ---- validation step
// --------------------------------------------------------------------------------------------------

at::Tensor validation_step(const StepParts& parts, const Batch& batch, DiceCounts& counts) {
  const at::NoGradGuard no_grad;
  const Autocast autocast(parts.network.device(), parts.precision);
  const auto logits = parts.forward(batch.image, parts.loss.heads());
  parts.clock.mark("forward");
  count_dice(logits[0], batch.labels, parts.loss.targets(), counts);
  parts.clock.mark("pseudo_dice");
  const at::Tensor loss = parts.loss(logits, batch.labels);
  parts.clock.mark("loss");
  return loss;
}

}  // namespace voxgrad
