// The trainer's jobs: training, validation, prediction.
#include "engine/trainer.h"

#include <c10/core/CachingDeviceAllocator.h>

#include "dist/common_stop.h"
#include "engine/batches_ahead.h"
#include "engine/device.h"
#include "engine/regions_ahead.h"
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

/// What a rank asks the others when a step could be recorded or not.
RepeatedWork::Agree agreement(const std::shared_ptr<ProcessGroup>& group) {
  if (!group) return {};
  return [group](bool captured) { return group->largest({captured ? 0.0 : 1.0})[0] == 0; };
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
      group_(ProcessGroup::join(config.group, device_)),
      network_(config.network, parse_seed(config.seed), device_),
      forward_(network_, share_of_batch(config.batchSize, config.group.rank, config.group.ranks).count, config.threads),
      optimizer_(config.optimizer, network_.parameters(), precision_ == at::kHalf),
      batches_(config, network_.memory_format()),
      loss_(config.loss, Targets(config.labels, config.network.outputChannels, device_), config.patchSize,
            config.network.strides, device_, batches_.share(), group_),
      training_work_(config.cudaGraph, agreement(group_)),
      validation_work_(config.cudaGraph, agreement(group_)) {
  const auto zeros = [&] {
    return at::zeros({loss_.targets().foreground_count()}, at::TensorOptions().device(device_).dtype(at::kLong));
  };
  counts_ = {zeros(), zeros(), zeros()};
  if (group_) {
    if (config.network.batchNorm) {
      throw Failure(
          "ERR_CONFIG",
          "network.normalization: expected instance norm, found batch norm, whose statistics are of the whole "
          "batch, where several devices share it");
    }
    std::vector<at::Tensor> parameters;
    for (const Parameter& parameter : network_.parameters()) parameters.push_back(parameter.tensor);
    exchange_.emplace(group_, std::move(parameters));
  }
  if (config.loss.deepSupervisionWeights.size() != network_.head_count()) {
    throw Failure("ERR_CONFIG", "loss.deepSupervisionWeights: expected " + std::to_string(network_.head_count()) +
                                    " entries, found " + std::to_string(config.loss.deepSupervisionWeights.size()));
  }
}

CaseStorage Trainer::load_cases(const CaseSource& source) {
  const auto& [folder, training, validation, labels, previous_stage, place, half, free_on_host] = source;
  JobMark mark(*this, "other", static_cast<int64_t>(training.size() + validation.size()));
  const int64_t previous_labels = config_.previousStageLabels;
  if (previous_stage.empty() != (previous_labels == 0))
    throw Failure("ERR_CONFIG", "cases: expected a folder of the previous stage in a cascade, and none otherwise");
  const CaseRules rules{config_.network.inputChannels - previous_labels, labels, loss_.targets().has_ignore_label(),
                        previous_stage, previous_labels};
  CaseFolder folders[2] = {{folder, rules, Place::kDisk, half}, {folder, rules, Place::kDisk, false}};
  CaseStorage storage;
  storage.bytes = bytes_in_memory(folders[0], training) + bytes_in_memory(folders[1], validation);
  storage.place = choose_place(place, storage.bytes, device_, free_on_host);
  const bool on_device = storage.place == Place::kDevice && !device_.is_cpu();
  storage.free = on_device ? free_device_memory(device_) : free_on_host;
  CaseStore stores[2];
  constexpr size_t most_at_once = 1000;
  const bool at_once = storage.place != Place::kDisk && training.size() + validation.size() <= most_at_once;
  int64_t done = 0;
  for (const bool second : {false, true}) {
    folders[second].place = storage.place;
    stores[second] = CaseStore(folders[second], second ? validation : training, device_);
    for (size_t index = 0; at_once && index < stores[second].size(); ++index) {
      if (stop_requested_) return storage;
      stores[second].at(index);
      advance(++done, 0);
    }
  }
  training_cases_ = std::move(stores[0]);
  validation_cases_ = std::move(stores[1]);
  return storage;
}

void Trainer::set_cases(std::vector<Case> training, std::vector<Case> validation) {
  training_cases_ = CaseStore(std::move(training));
  validation_cases_ = CaseStore(std::move(validation));
}

TrainingChunk Trainer::run_training(const std::vector<double>& learning_rates, int64_t most_skipped) {
  if (training_cases_.empty()) throw Failure("ERR_DATASET", "there is no training case: load cases first");
  const auto steps = static_cast<int64_t>(learning_rates.size());
  JobMark mark(*this, "training", steps);
  TrainingChunk chunk;
  chunk.first_step = step_;
  // The columns loss, gradient norm, skipped and stop stay on the device until the chunk is done.
  at::Tensor history = at::zeros({steps, 4}, at::TensorOptions().device(device_).dtype(at::kFloat));
  const at::Tensor rates =
      at::tensor(learning_rates, at::kDouble).to(device_, device_.is_cpu() ? at::kDouble : at::kFloat);
  const auto work = [parts = step_parts()](const RepeatedWork::Tensors& inputs) -> RepeatedWork::Tensors {
    const StepResult result = train_step(parts, {inputs[0], inputs[1], {}, inputs[2]}, inputs[3], inputs[4]);
    return {result.loss, result.gradient_norm, result.skipped, result.stop};
  };
  const uint64_t end = step_ + static_cast<uint64_t>(steps);
  RegionsAhead regions(batches_, training_cases_, /*training=*/true, step_, end);
  BatchesAhead batches(
      device_, step_, end,
      [&](uint64_t step) { return held_batch_ ? *held_batch_ : training_batch(step, regions.next()); },
      /*overlap=*/!clock_.is_open());
  const at::Tensor wishes[2] = {at::zeros({}, history.options()), at::ones({}, history.options())};
  int64_t done = 0, skipped_in_a_row = 0;
  bool stop = false;
  // A rank must not end alone: its wish goes with a step to all others.
  std::optional<CommonStop> common_stop;
  if (group_) common_stop.emplace(group_, device_);
  for (; done < steps && !stop && (group_ || !stop_requested_) && skipped_in_a_row < most_skipped; ++done) {
    clock_.start();
    const Stopwatch step_time, data_time;
    Batch batch;
    try {
      batch = batches.next();
    } catch (const Failure&) {
      // What is done counts; a job that starts with this step says what is wrong with its cases.
      if (done == 0 || group_) throw;
      break;
    }
    chunk.data_ms.push_back(data_time.ms());
    clock_.mark("data");
    const RepeatedWork::Tensors inputs = {batch.image, batch.labels, batch.dropout, rates[done],
                                          wishes[group_ && stop_requested_]};
    // A benchmark looks into the step, where a graph shows nothing.
    const auto results = clock_.is_open() ? work(inputs) : training_work_(device_, inputs, work);
    history[done].copy_(at::stack(results));
    if (common_stop) stop = common_stop->after_step(results[3]);
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
  if (group_) group_->settle();
  const at::Tensor columns = history.narrow(0, 0, done).to(at::kCPU);
  chunk.loss = to_floats(columns.select(1, 0));
  chunk.gradient_norm = to_floats(columns.select(1, 1));
  chunk.skipped = to_floats(columns.select(1, 2));
  chunk.graph_fault = training_work_.fault().value_or("");
  const bool non_finite = longest_run_of_ones(chunk.skipped) >= most_skipped;
  chunk.reason = non_finite ? "non_finite" : done < steps ? "stopped" : "completed";
  // The wish of another rank, which may have come too late to end this chunk.
  const std::vector<float> wished = to_floats(columns.select(1, 3));
  chunk.stopped_elsewhere =
      !stop_requested_ && std::any_of(wished.begin(), wished.end(), [](float n) { return n != 0; });
  if (chunk.stopped_elsewhere) stop_requested_ = true;
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
  const uint64_t end = step_ + static_cast<uint64_t>(steps);
  RegionsAhead regions(batches_, validation_cases_, /*training=*/false, step_, end);
  BatchesAhead batches(
      device_, step_, end,
      [&](uint64_t step) { return held_batch_ ? *held_batch_ : batches_.validation_batch(regions.next(), step); },
      /*overlap=*/!clock_.is_open());
  int64_t done = 0;
  for (; done < steps && (group_ || !stop_requested_); ++done) {
    clock_.start();
    const Batch batch = batches.next();
    clock_.mark("data");
    const RepeatedWork::Tensors inputs = {batch.image, batch.labels};
    losses[done].copy_((clock_.is_open() ? work(inputs) : validation_work_(device_, inputs, work))[0]);
    batches.launched();
    advance(done + 1, std::numeric_limits<float>::quiet_NaN());
  }
  if (group_) {
    for (at::Tensor* column : {&counts_.true_positives, &counts_.false_positives, &counts_.false_negatives})
      group_->sum(*column);
    group_->sum(losses);
    group_->settle();
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
  return held_batch_ ? *held_batch_ : training_batch(step, batches_.regions(training_cases_, step, true));
}

Batch Trainer::training_batch(uint64_t step, const std::vector<Region>& regions) const {
  Batch batch = batches_.training_batch(regions, step);
  batch.dropout = network_.draw_dropout(batch.samples);
  return batch;
}

std::optional<Trainer::ExchangeReport> Trainer::exchange_report() const {
  if (!exchange_) return std::nullopt;
  return ExchangeReport{group_->traffic(), exchange_->arrived_when_sent(), exchange_->gradients()};
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
  Snapshot now = snapshot_;
  now.waits_for_ranks = group_ && group_->is_waiting();
  return now;
}

void Trainer::advance(int64_t done, float loss) {
  const std::lock_guard lock(snapshot_mutex_);
  snapshot_.done = done;
  snapshot_.step = step_;
  snapshot_.last_loss = loss;
}

}  // namespace voxgrad
