// Measurements for benchmarks.
#include "engine/benchmark.h"

#include <algorithm>

#include "data/random_cases.h"
#include "engine/autocast.h"
#include "kernels/ops.h"

namespace voxgrad {

namespace {

constexpr uint64_t case_seed = 1;
// Weights stay near those of the start, so that long benchmarks on random labels time ordinary numbers.
constexpr double learning_rate = 1e-4;

at::Tensor rate_on(at::Device device) {
  return at::full({}, learning_rate, at::TensorOptions().dtype(device.is_cpu() ? at::kDouble : at::kFloat)).to(device);
}

std::vector<double> rates(int64_t steps) { return std::vector<double>(static_cast<size_t>(steps), learning_rate); }

/// Milliseconds that `work` takes on the device.
double time_once(at::Device device, const std::function<void()>& work) {
  const DeviceMoment start(device);
  work();
  return DeviceMoment(device).ms_since(start);
}

double best_of(int64_t runs, at::Device device, const std::function<void()>& work) {
  double best = time_once(device, work);
  for (int64_t run = 1; run < runs; ++run) best = std::min(best, time_once(device, work));
  return best;
}

at::Tensor leaf_like(const at::Tensor& tensor) { return tensor.detach().clone().requires_grad_(); }

}  // namespace

void use_random_cases(Trainer& trainer, int64_t count, const std::array<int64_t, 3>& shape) {
  const TrainerConfig& config = trainer.config();
  RandomCases rules{.count = count,
                    .shape = shape,
                    .channels = config.network.inputChannels - config.previousStageLabels,
                    .labels = {0},
                    .targets = config.labels.outputs,
                    .ignore_label = config.labels.ignoreLabel,
                    .previous_stage = config.previousStageLabels > 0};
  if (!config.labels.overlapping) rules.targets.erase(rules.targets.begin());  // the background
  for (const auto& target : rules.targets) rules.labels.insert(rules.labels.end(), target.begin(), target.end());
  if (rules.ignore_label >= 0) rules.labels.push_back(rules.ignore_label);
  std::sort(rules.labels.begin(), rules.labels.end());
  rules.labels.erase(std::unique(rules.labels.begin(), rules.labels.end()), rules.labels.end());
  const auto cases = random_cases(rules, case_seed, trainer.network().device());
  trainer.set_cases(cases, cases);
}

StepTimes time_training(Trainer& trainer, int64_t steps, bool held) {
  trainer.hold_batch(held);
  trainer.clock().open(trainer.network().device());
  trainer.run_training(rates(steps));
  trainer.hold_batch(false);
  return trainer.clock().close();
}

StepTimes time_validation(Trainer& trainer, int64_t steps, bool held) {
  trainer.hold_batch(held);
  trainer.clock().open(trainer.network().device());
  trainer.run_validation(steps);
  trainer.hold_batch(false);
  return trainer.clock().close();
}

StepTimes time_batches(Trainer& trainer, int64_t first, int64_t steps) {
  const StepParts parts = trainer.step_parts();
  parts.clock.open(trainer.network().device());
  for (int64_t step = first; step < first + steps; ++step) {
    parts.clock.start();
    trainer.training_batch(static_cast<uint64_t>(step));
    parts.clock.mark("data");
  }
  return parts.clock.close();
}

std::map<std::string, std::vector<float>> time_parts(Trainer& trainer, int64_t runs) {
  const StepParts parts = trainer.step_parts();
  const at::Device device = parts.network.device();
  const NetworkConfig& config = parts.network.config();
  const Batch batch = trainer.training_batch(0);
  const TrainingPass pass = parts.network.begin_pass(batch.dropout);
  const auto forward = [&] {
    const Autocast autocast(device, parts.precision);
    return parts.forward(batch.image, parts.loss.heads(), &pass);
  };
  std::vector<at::Tensor> logits;
  at::Tensor loss;
  for (const at::Tensor& output : forward()) logits.push_back(output.defined() ? leaf_like(output) : output);
  const at::Tensor rate = rate_on(device);
  train_step(parts, batch, rate, at::zeros_like(rate, at::kFloat));  // leaves gradients for the optimizer
  loss = at::zeros({}, at::TensorOptions().device(device).dtype(at::kFloat));

  std::map<std::string, std::vector<float>> times;
  const auto time = [&](const std::string& name, const std::function<void()>& work) {
    work();
    for (int64_t run = 0; run < runs; ++run) times[name].push_back(static_cast<float>(time_once(device, work)));
  };
  time("optimizer", [&] { parts.optimizer.step(rate, loss); });
  time("network", [&] {
    parts.optimizer.zero_gradients();
    at::Tensor sum = at::zeros({}, at::TensorOptions().device(device).dtype(at::kFloat));
    for (const at::Tensor& output : forward())
      if (output.defined()) sum = sum + output.mean();
    sum.backward();
  });
  time("loss", [&] {
    for (at::Tensor& output : logits)
      if (output.defined()) output.mutable_grad().reset();
    parts.loss(logits, batch.labels).backward();
  });
  const at::NoGradGuard no_grad;
  const auto zeros = [&] {
    return at::zeros({parts.loss.targets().foreground_count()}, at::TensorOptions().device(device).dtype(at::kLong));
  };
  DiceCounts counts{zeros(), zeros(), zeros()};
  time("pseudo_dice", [&] { count_dice(logits[0].detach(), batch.labels, parts.loss.targets(), counts); });
  std::vector<int64_t> shape = batch.image.sizes().vec();
  shape[1] = config.featuresPerStage[0];
  const auto options = at::TensorOptions().device(device).dtype(at::kFloat);
  const at::Tensor values = at::randn(shape, options).to(parts.precision).contiguous(parts.network.memory_format());
  const at::Tensor gradient = at::randn_like(values);
  const at::Tensor weight = at::ones({shape[1]}, options).requires_grad_(),
                   bias = at::zeros({shape[1]}, options).requires_grad_();
  const at::AutoGradMode with_gradient(true);
  time("norm", [&] {
    weight.mutable_grad().reset();
    bias.mutable_grad().reset();
    // In place: what is normalized again and again stays ordinary numbers.
    instance_norm_leaky_relu_(values.detach(), weight, bias, config.normEps, config.negativeSlope, false)
        .backward(gradient);
  });
  parts.optimizer.zero_gradients();
  return times;
}

StepCounts count_step(Trainer& trainer) {
  trainer.hold_batch(true);
  const StepParts parts = trainer.step_parts();
  const at::Device device = parts.network.device();
  const int64_t foreground = parts.loss.targets().foreground_count();
  const auto zeros = [&] { return at::zeros({foreground}, at::TensorOptions().device(device).dtype(at::kLong)); };
  DiceCounts dice{zeros(), zeros(), zeros()};
  const Batch batch = trainer.training_batch(0);
  const at::Tensor rate = rate_on(device);
  const at::Tensor stop = at::zeros_like(rate, at::kFloat);
  const auto train = [&] { train_step(parts, batch, rate, stop); };
  StepCounts counts;
  // What the counted step frees was then taken by a step that the counter has seen.
  count_allocations(device, train);
  counts.allocations = count_allocations(device, train);
  counts.training = count_operators(device, train);
  counts.validation = count_operators(device, [&] { validation_step(parts, batch, dice); });
  trainer.hold_batch(false);
  parts.optimizer.zero_gradients();
  return counts;
}

Ceilings measure_ceilings(Trainer& trainer) {
  const StepParts parts = trainer.step_parts();
  const at::Device device = parts.network.device();
  const at::NoGradGuard no_grad;
  constexpr int64_t runs = 5;
  const int64_t extent = device.is_cpu() ? 1024 : 8192;
  const int64_t elements = device.is_cpu() ? int64_t{1} << 25 : int64_t{1} << 28;
  double gemm_ms = 0, copy_ms = 0;
  {
    const auto options = at::TensorOptions().device(device).dtype(parts.precision);
    const at::Tensor a = at::randn({extent, extent}, options), b = at::randn({extent, extent}, options);
    at::Tensor product = at::mm(a, b);
    gemm_ms = best_of(runs, device, [&] { at::mm_out(product, a, b); });
  }
  {
    const auto options = at::TensorOptions().device(device).dtype(at::kFloat);
    const at::Tensor source = at::full({elements}, 1.5, options);
    at::Tensor target = source.clone();
    copy_ms = best_of(runs, device, [&] { target.copy_(source); });
  }
  const auto cube = static_cast<double>(extent) * static_cast<double>(extent) * static_cast<double>(extent);
  return {2 * cube / gemm_ms * 1e3, 2 * 4 * static_cast<double>(elements) / copy_ms * 1e3};
}

}  // namespace voxgrad
