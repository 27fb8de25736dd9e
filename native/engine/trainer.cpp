// The trainer's jobs: training, validation, prediction.
#include "engine/trainer.h"

#include <c10/core/CachingDeviceAllocator.h>

#include "engine/batches_ahead.h"
#include "engine/device.h"
#include "engine/stopwatch.h"
#include "failure.h"

namespace voxgrad {

namespace {
const TrainerConfig& prepared(const TrainerConfig& config) {
  prepare_thread(config.threads, config.deterministic);
  return config;
}

std::vector<float> to_floats(const at::Tensor& column) {
  const at::Tensor host = column.to(at::kCPU, at::kFloat).contiguous();
  return {host.data_ptr<float>(), host.data_ptr<float>() + host.numel()};
}

std::vector<double> to_doubles(const at::Tensor& counts) {
  const at::Tensor host = counts.to(at::kCPU, at::kDouble).contiguous();
  return {host.data_ptr<double>(), host.data_ptr<double>() + host.numel()};
}

int64_t longest_run_of_ones(const std::vector<float>& column) {
  int64_t longest = 0, run = 0;
  for (const float value : column) {
    run = value != 0 ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  return longest;
}
}  // namespace

class Trainer::JobMark {
 public:
  JobMark(Trainer& trainer, const std::string& job, int64_t total) : trainer_(trainer) {
    set({job, 0, total, trainer_.step_, std::numeric_limits<float>::quiet_NaN()});
  }
  ~JobMark() { set({"idle", 0, 0, trainer_.step_, std::numeric_limits<float>::quiet_NaN()}); }

 private:
  void set(const Snapshot& snapshot) {
    const std::lock_guard lock(trainer_.snapshot_mutex_);
    trainer_.snapshot_ = snapshot;
  }
  Trainer& trainer_;
};

Trainer::Trainer(const TrainerConfig& config)
    : config_(prepared(config)),
      device_(open_device(config.device)),
      precision_(open_precision(config.precision, device_)),
      network_(config.network, parse_seed(config.seed), device_),
      optimizer_(config.optimizer, network_.parameters(), precision_ == at::kHalf),
      batches_(config, network_.memory_format()),
      loss_(config.loss, Targets(config.labels, config.network.outputChannels, device_), config.patchSize,
            config.network.strides, device_),
      training_work_(config.cudaGraph),
      validation_work_(config.cudaGraph) {
  const auto zeros = [&] {
    return at::zeros({loss_.targets().foreground_count()}, at::TensorOptions().device(device_).dtype(at::kLong));
  };
  counts_ = {zeros(), zeros(), zeros()};
  if (config.loss.deepSupervisionWeights.size() != network_.head_count()) {
    throw Failure("ERR_CONFIG", "loss.deepSupervisionWeights: expected " + std::to_string(network_.head_count()) +
                                    " entries, found " + std::to_string(config.loss.deepSupervisionWeights.size()));
  }
}

void Trainer::load_cases(const std::string& folder, const std::vector<std::string>& training,
                         const std::vector<std::string>& validation, const std::vector<int64_t>& labels,
                         const std::string& previous_stage) {
  JobMark mark(*this, "other", static_cast<int64_t>(training.size() + validation.size()));
  const int64_t previous_labels = config_.previousStageLabels;
  if (previous_stage.empty() != (previous_labels == 0))
    throw Failure("ERR_CONFIG", "cases: expected a folder of the previous stage in a cascade, and none otherwise");
  const CaseRules rules{config_.network.inputChannels - previous_labels, labels, loss_.targets().has_ignore_label(),
                        previous_stage, previous_labels};
  std::vector<Case> cases[2];
  int64_t done = 0;
  for (const auto* ids : {&training, &validation}) {
    for (const std::string& id : *ids) {
      if (stop_requested_) return;
      cases[ids == &validation].push_back(load_case(folder, id, rules, device_));
      advance(++done, 0);
    }
  }
  set_cases(std::move(cases[0]), std::move(cases[1]));
}

void Trainer::set_cases(std::vector<Case> training, std::vector<Case> validation) {
  training_cases_ = std::move(training);
  validation_cases_ = std::move(validation);
}

TrainingChunk Trainer::run_training(const std::vector<double>& learning_rates, int64_t most_skipped) {
  if (training_cases_.empty()) throw Failure("ERR_DATASET", "there is no training case: load cases first");
  const auto steps = static_cast<int64_t>(learning_rates.size());
  JobMark mark(*this, "training", steps);
  TrainingChunk chunk;
  chunk.first_step = step_;
  // The columns loss, gradient norm and skipped stay on the device until the chunk is done.
  at::Tensor history = at::zeros({steps, 3}, at::TensorOptions().device(device_).dtype(at::kFloat));
  const at::Tensor rates =
      at::tensor(learning_rates, at::kDouble).to(device_, device_.is_cpu() ? at::kDouble : at::kFloat);
  const auto work = [parts = step_parts()](const RepeatedWork::Tensors& inputs) -> RepeatedWork::Tensors {
    const StepResult result = train_step(parts, {inputs[0], inputs[1], {}, inputs[2]}, inputs[3]);
    return {result.loss, result.gradient_norm, result.skipped};
  };
  BatchesAhead batches(
      device_, step_, step_ + static_cast<uint64_t>(steps), [this](uint64_t step) { return training_batch(step); },
      /*overlap=*/!clock_.is_open());
  int64_t done = 0, skipped_in_a_row = 0;
  for (; done < steps && !stop_requested_ && skipped_in_a_row < most_skipped; ++done) {
    clock_.start();
    const Stopwatch step_time, data_time;
    const Batch batch = batches.next();
    chunk.data_ms.push_back(data_time.ms());
    clock_.mark("data");
    const RepeatedWork::Tensors inputs = {batch.image, batch.labels, batch.dropout, rates[done]};
    // A benchmark looks into the step, where a graph shows nothing.
    const auto results = clock_.is_open() ? work(inputs) : training_work_(device_, inputs, work);
    history[done].copy_(at::stack(results));
    batches.launched();
    ++step_;
    chunk.step_ms.push_back(step_time.ms());
    float loss = std::numeric_limits<float>::quiet_NaN();
    if (device_.is_cpu()) {  // reading costs nothing there
      loss = *results[0].data_ptr<float>();
      skipped_in_a_row = *results[2].data_ptr<float>() != 0 ? skipped_in_a_row + 1 : 0;
    }
    advance(done + 1, loss);
  }
  optimizer_.zero_gradients();
  const at::Tensor columns = history.narrow(0, 0, done).to(at::kCPU);
  chunk.loss = to_floats(columns.select(1, 0));
  chunk.gradient_norm = to_floats(columns.select(1, 1));
  chunk.skipped = to_floats(columns.select(1, 2));
  chunk.graph_fault = training_work_.fault().value_or("");
  const bool non_finite = longest_run_of_ones(chunk.skipped) >= most_skipped;
  chunk.reason = non_finite ? "non_finite" : done < steps ? "stopped" : "completed";
  return chunk;
}

ValidationChunk Trainer::run_validation(int64_t steps) {
  if (validation_cases_.empty()) throw Failure("ERR_DATASET", "there is no validation case: load cases first");
  JobMark mark(*this, "validation", steps);
  for (at::Tensor* column : {&counts_.true_positives, &counts_.false_positives, &counts_.false_negatives})
    column->zero_();
  at::Tensor losses = at::zeros({steps}, at::TensorOptions().device(device_).dtype(at::kFloat));
  const auto work = [this, parts = step_parts()](const RepeatedWork::Tensors& inputs) -> RepeatedWork::Tensors {
    return {validation_step(parts, {inputs[0], inputs[1], {}, {}}, counts_)};
  };
  BatchesAhead batches(
      device_, step_, step_ + static_cast<uint64_t>(steps), [this](uint64_t step) { return validation_batch(step); },
      /*overlap=*/!clock_.is_open());
  int64_t done = 0;
  for (; done < steps && !stop_requested_; ++done) {
    clock_.start();
    const Batch batch = batches.next();
    clock_.mark("data");
    const RepeatedWork::Tensors inputs = {batch.image, batch.labels};
    losses[done].copy_((clock_.is_open() ? work(inputs) : validation_work_(device_, inputs, work))[0]);
    batches.launched();
    advance(done + 1, std::numeric_limits<float>::quiet_NaN());
  }
  ValidationChunk chunk;
  chunk.loss = to_floats(losses.narrow(0, 0, done));
  chunk.true_positives = to_doubles(counts_.true_positives);
  chunk.false_positives = to_doubles(counts_.false_positives);
  chunk.false_negatives = to_doubles(counts_.false_negatives);
  chunk.stopped = done < steps;
  return chunk;
}

at::Tensor Trainer::predict(const at::Tensor& image, double tile_step, bool gaussian,
                            const std::vector<int64_t>& mirror_axes) {
  JobMark mark(*this, "prediction", 0);
  return predict_sliding_window(network_, image, {config_.patchSize, tile_step, gaussian, mirror_axes}, precision_,
                                [this](int64_t done, int64_t total) {
                                  const std::lock_guard lock(snapshot_mutex_);
                                  snapshot_.done = done;
                                  snapshot_.total = total;
                                  return !stop_requested_;
                                });
}

void Trainer::set_position(uint64_t step, uint64_t redraws) {
  step_ = step;
  batches_.set_redraws(redraws);
  const std::lock_guard lock(snapshot_mutex_);
  snapshot_.step = step;
}

void Trainer::hold_batch(bool held) {
  held_batch_.reset();
  if (held) held_batch_ = training_batch(step_);
}

Batch Trainer::training_batch(uint64_t step) const {
  if (held_batch_) return *held_batch_;
  Batch batch = batches_.training_batch(training_cases_, step);
  batch.dropout = network_.draw_dropout(batch.samples);
  return batch;
}

Batch Trainer::validation_batch(uint64_t step) const {
  return held_batch_ ? *held_batch_ : batches_.validation_batch(validation_cases_, step);
}

std::optional<DeviceMemory> Trainer::device_memory() const {
  if (device_.is_cpu()) return std::nullopt;
  auto* allocator = dynamic_cast<c10::DeviceAllocator*>(c10::GetAllocator(device_.type()));
  if (allocator == nullptr || !allocator->initialized()) return std::nullopt;
  constexpr auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  const auto bytes = allocator->getDeviceStats(device_.index()).allocated_bytes[all];
  return DeviceMemory{bytes.current, bytes.peak};
}

Snapshot Trainer::snapshot() const {
  const std::lock_guard lock(snapshot_mutex_);
  return snapshot_;
}

void Trainer::advance(int64_t done, float loss) {
  const std::lock_guard lock(snapshot_mutex_);
  snapshot_.done = done;
  snapshot_.step = step_;
  snapshot_.last_loss = loss;
}

}  // namespace voxgrad
