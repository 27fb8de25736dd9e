// A trainer: the network, its optimizer and the cases, and the jobs that run on them, a chunk of steps at a time.
#pragma once
#include <atomic>
#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/sliding_window.h"
#include "engine/step_graph.h"
#include "engine/train_step.h"
#include "io/torch_file.h"

namespace voxgrad {

/// One entry a step, as columns.
struct TrainingChunk {
  /// "completed", "stopped", or "non_finite": as many steps in a row as allowed were skipped.
  std::string reason;
  uint64_t first_step = 0;
  bool stopped_elsewhere = false;  // by the wish of another rank
  std::vector<float> loss, gradient_norm, skipped, step_ms, data_ms;
  /// Why steps are not replayed as a graph though they should be; empty: they are, or the device has no graphs.
  std::string graph_fault;
};

/// Sums over all batches; one entry a foreground class or region.
struct ValidationChunk {
  bool stopped = false;
  std::vector<float> loss;
  std::vector<double> true_positives, false_positives, false_negatives;
};

/// Bytes of a device's memory that tensors hold, now and at most since the start.
struct DeviceMemory {
  int64_t allocated, peak;
};

/// The cases of a run in a preprocessed folder.
struct CaseSource {
  std::string folder;
  std::vector<std::string> training, validation;
  std::vector<int64_t> labels;  // all values of a segmentation besides -1, the ignore label included
  std::string previous_stage;   // in a cascade the folder of the previous stage's segmentations, else empty
  std::string place = "auto";   // see choose_place
  bool half = false;            // training images as float16; those of validation are float32
  int64_t free_on_host = std::numeric_limits<int64_t>::max();  // bytes
};

/// Where cases are kept, bytes that they take in memory there (on disk: would take), and bytes free there before.
struct CaseStorage {
  Place place = Place::kDevice;
  int64_t bytes = 0, free = 0;
};

/// What a trainer is doing; may be read from any thread while a job runs.
struct Snapshot {
  std::string job = "idle";
  int64_t done = 0, total = 0;
  uint64_t step = 0;
  float last_loss = 0;  // NaN on an accelerator, where reading it would make the host wait
  bool waits_for_ranks = false;
};

/// All calls but snapshot() and stop() must come from one thread (native/addon/job_thread.h gives each trainer its
/// own): libtorch keeps its number of threads, autocast and gradient mode per thread.
class Trainer {
 public:
  /// Throws Failure: ERR_CONFIG for numbers that do not fit together, ERR_DEVICE for a device that is not there.
  explicit Trainer(const TrainerConfig& config);

  /// Replaces the cases. Up to a thousand that do not stay on disk are read and checked here, so that faults are found
  /// before training; more of them when they are first needed.
  CaseStorage load_cases(const CaseSource& source);
  void set_cases(std::vector<Case> training, std::vector<Case> validation);
  /// The largest of each number over all ranks, which must all ask; alone what is given.
  std::vector<double> agree(const std::vector<double>& values) const {
    return group_ ? group_->largest(values) : values;
  }
  /// As many steps as there are learning rates, unless stopped (a stop at any rank ends all after the same step, see
  /// CommonStop) or
  /// `most_skipped` steps in a row are skipped. The CPU ends right after the last of them, an accelerator after the
  /// chunk.
  TrainingChunk run_training(const std::vector<double>& learning_rates,
                             int64_t most_skipped = std::numeric_limits<int64_t>::max());
  ValidationChunk run_validation(int64_t steps);
  /// Logits (classes, z, y, x) for a preprocessed image (C, z, y, x); undefined if stopped.
  at::Tensor predict(const at::Tensor& image, double tile_step, bool gaussian, const std::vector<int64_t>& mirror_axes);

  /// nnU-Net's checkpoint, ready to be written: network_weights, optimizer_state and `entries` (all other keys; the
  /// float16 scaler's state takes the place of their grad_scaler_state), copied, so that training may go on.
  /// Throws Failure(ERR_NON_FINITE) that names the weight or optimizer state that is not finite.
  io::TorchFile capture_checkpoint(const io::Value& entries, double learning_rate) const;
  /// Reads weights and, with `optimizer`, its state and the float16 scaler's. Returns all other entries.
  /// Throws Failure(ERR_CHECKPOINT) that names the file and the tensor that does not fit; then nothing has changed.
  io::Value load_checkpoint(const std::string& path, bool optimizer);

  /// The step that the next training job starts with, and which draws it makes (see redrawn_seed).
  void set_position(uint64_t step, uint64_t redraws);
  /// Nothing on the CPU, or if the device's allocator keeps no statistics. May be called from any thread.
  std::optional<DeviceMemory> device_memory() const;
  Snapshot snapshot() const;
  /// Ends the running job after its current step.
  void stop() { stop_requested_ = true; }
  /// Forgets an earlier stop. Called when a job is given, not when it starts: a stop in between must count.
  void clear_stop() { stop_requested_ = false; }

  /// What ranks exchange: all that the host has begun so far, and the buckets of the last step that it ran (see
  /// GradientExchange).
  struct ExchangeReport {
    ProcessGroup::Traffic traffic;
    std::vector<int64_t> arrived_when_sent;
    int64_t gradients = 0;
  };
  /// Nothing alone.
  std::optional<ExchangeReport> exchange_report() const;

  const Network& network() const { return network_; }
  /// What the steps of this trainer work on.
  StepParts step_parts() {
    return {network_, forward_, loss_, optimizer_, exchange_ ? &*exchange_ : nullptr, precision_, clock_};
  }
  /// The batch of a training step.
  Batch training_batch(uint64_t step) const;
  /// Opened by a benchmark, it times the steps of the jobs that follow.
  StepClock& clock() { return clock_; }
  /// From now on every step uses the same batch, or with `held` false batches of its own again.
  void hold_batch(bool held);
  const TrainerConfig& config() const { return config_; }

 private:
  Batch training_batch(uint64_t step, const std::vector<Region>& regions) const;
  /// Marks a job in the snapshot while it lives.
  class JobMark;
  void advance(int64_t done, float loss);

  const TrainerConfig config_;
  const at::Device device_;
  const at::ScalarType precision_;
  const std::shared_ptr<ProcessGroup> group_;  // null: alone. In front of the graphs, which must be gone before it
  Network network_;
  SampleParallel forward_;
  Optimizer optimizer_;
  BatchMaker batches_;
  Loss loss_;
  std::optional<GradientExchange> exchange_;
  CaseStore training_cases_, validation_cases_;
  uint64_t step_ = 0;
  StepClock clock_;
  std::optional<Batch> held_batch_;
  RepeatedWork training_work_, validation_work_;
  DiceCounts counts_;  // of the running validation job

  std::atomic<bool> stop_requested_{false};
  mutable std::mutex snapshot_mutex_;
  Snapshot snapshot_;
};

}  // namespace voxgrad
