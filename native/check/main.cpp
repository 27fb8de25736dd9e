// voxgrad_check: trains a few steps on a chosen device without Node and checks itself; prints a line a check.
//   voxgrad_check [cpu|cuda|cuda:N|pretend] [--steps N] [--time]
//   voxgrad_check ranks [cpu|cuda|pretend]                 two ranks that train together (see ranks.h)
//   voxgrad_check save FOLDER --saves N [--megabytes M]   writes numbered checkpoints (see saves.h)
//   voxgrad_check read FOLDER...                          tells which ones are there
// Exit code 0 if every check holds, 74 if a file cannot be written. On the pretend accelerator it also counts what a
// step reads back: nothing.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "check/compiled_kernels.h"
#include "check/op_parity.h"
#include "check/pretend_device.h"
#include "check/ranks.h"
#include "check/saves.h"
#include "check/synthetic.h"
#include "check/traffic.h"
#include "engine/device.h"
#include "engine/trainer.h"
#include "failure.h"
#include "kernels/launch.h"
#include "kernels/traffic.h"

using namespace voxgrad;

namespace {

int failures = 0;

void expect(bool good, const std::string& what, const std::string& found) {
  std::printf("%s  %s: %s\n", good ? "ok  " : "FAIL", what.c_str(), found.c_str());
  if (!good) ++failures;
}

double mean(const std::vector<float>& values, size_t from, size_t to) {
  double sum = 0;
  for (size_t i = from; i < to; ++i) sum += values[i];
  return sum / static_cast<double>(to - from);
}

std::vector<at::Tensor> weights(const Trainer& trainer) {
  std::vector<at::Tensor> result;
  for (const auto& parameter : trainer.network().parameters())
    result.push_back(parameter.tensor.detach().to(at::kCPU).clone());
  return result;
}

double largest_difference(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, (a[i] - b[i]).abs().max().item<double>());
  return largest;
}

std::unique_ptr<Trainer> make_trainer(const TrainerConfig& config, const std::vector<Case>& cases) {
  auto trainer = std::make_unique<Trainer>(config);
  trainer->set_cases(cases, cases);
  return trainer;
}

void check_training(const std::string& device, int64_t steps) {
  const auto config = check::synthetic_config(device, {16, 24, 16}, {8, 16, 32});
  const auto cases = check::synthetic_cases(4, {20, 24, 18}, 7, open_device(device));
  const std::vector<double> rates(static_cast<size_t>(steps), 0.01), half(rates.size() / 2, 0.01);

  auto whole = make_trainer(config, cases);
  const TrainingChunk chunk = whole->run_training(rates);
  const size_t tenth = std::max<size_t>(rates.size() / 10, 1);
  const double first = mean(chunk.loss, 0, tenth), last = mean(chunk.loss, rates.size() - tenth, rates.size());
  expect(last < first - 0.3, "the loss falls", c10::str(first, " to ", last, " in ", steps, " steps"));

  const ValidationChunk validation = whole->run_validation(4);
  const double tp = validation.true_positives[0], fp = validation.false_positives[0],
               fn = validation.false_negatives[0];
  expect(2 * tp / (2 * tp + fp + fn) > 0.5, "pseudo-Dice of class 1 is above 0.5",
         c10::str(2 * tp / (2 * tp + fp + fn)));

  const std::string path =
      (std::filesystem::temp_directory_path() / ("voxgrad_check_" + std::to_string(getpid()) + ".pth")).string();
  auto before = make_trainer(config, cases);
  before->run_training(half);
  before->capture_checkpoint(io::Dict{}, 0.01).write(path);
  auto after = make_trainer(config, cases);
  after->load_checkpoint(path, true);
  after->set_position(half.size(), 0);
  after->run_training(half);
  std::filesystem::remove(path);
  const double difference = largest_difference(weights(*whole), weights(*after));
  const double allowed = at::Device(device == "cuda" ? "cuda:0" : device).is_cuda() ? 1e-3 : 0.0;
  expect(difference <= allowed, "half, save, load, half gives the weights of the whole run",
         c10::str("largest difference ", difference));
}

/// Steps and validation as a graph against the same one by one. On CUDA kernels may add up in another order.
void check_graph(const std::string& device, int64_t steps) {
  auto config = check::synthetic_config(device, {16, 24, 16}, {8, 16, 32});
  config.network.hasDropout = true;
  config.network.dropoutProbability = 0.2;
  const auto cases = check::synthetic_cases(4, {20, 24, 18}, 7, open_device(device));
  const std::vector<double> rates(static_cast<size_t>(steps), 0.01);
  std::vector<at::Tensor> found[2];
  std::vector<double> positives[2];
  for (const bool graph : {false, true}) {
    config.cudaGraph = graph;
    const auto trainer = make_trainer(config, cases);
    const TrainingChunk chunk = trainer->run_training(rates);
    if (!chunk.graph_fault.empty()) expect(false, "a step can be captured", chunk.graph_fault);
    positives[graph] = trainer->run_validation(6).true_positives;
    found[graph] = weights(*trainer);
  }
  const double difference = largest_difference(found[0], found[1]);
  const bool cuda = open_device(device).is_cuda();
  expect(difference <= (cuda ? 1e-3 : 0.0) && (cuda || positives[0] == positives[1]),
         "with graphs the same weights and counts as without", c10::str("largest difference ", difference));
}

void check_host_reads() {
  auto config = check::synthetic_config("pretend", {16, 24, 16}, {8, 16, 32});
  auto cases = check::synthetic_cases(4, {20, 24, 18}, 7, open_device("pretend"));
  constexpr size_t steps = 50;  // every transform has its turn
  std::unique_ptr<Trainer> trainer;
  check::DeviceCounts counts;
  const auto expect_none = [&](const std::string& what) {
    trainer = make_trainer(config, cases);
    check::reset_device_counts();
    trainer->run_training(std::vector<double>(steps, 0.01));
    counts = check::device_counts();
    // One copy of the whole history at the end of the chunk.
    expect(counts.host_reads <= 1, "host reads in a chunk of 50 training steps, " + what,
           std::to_string(counts.host_reads));
  };
  config.network.architecture = "ResidualEncoderUNet";
  config.network.hasDropout = true;
  config.network.dropoutProbability = 0.2;
  config.optimizer.kind = "adamw";
  config.optimizer.amsgrad = true;
  expect_none("ResidualEncoderUNet with dropout and AdamW");
  config = check::synthetic_config("pretend", {16, 24, 16}, {8, 16, 32});
  check::add_da5_transforms(config.augmentation);
  expect_none("DA5's augmentation");
  config = check::synthetic_config("pretend", {16, 24, 16}, {8, 16, 32});
  config.network.batchNorm = true;
  config.optimizer.kind = "adan";
  expect_none("batch norm and Adan");
  config = check::synthetic_config("pretend", {16, 24, 16}, {8, 16, 32});
  check::make_cascade(config, cases);
  check::make_sparse_regions(config, cases);
  expect_none("a cascade with sparse regions");
  trainer->run_validation(2);
  cases = check::synthetic_cases(4, {20, 24, 18}, 7, open_device("pretend"));
  config = check::synthetic_config("pretend", {16, 24, 16}, {8, 16, 32});
  expect_none("default augmentation");
  if (std::getenv("VOXGRAD_LIST_OPERATORS")) {
    for (const auto& [name, times] : counts.operators)
      std::printf("info  %8.2f %s\n", static_cast<double>(times) / steps, name.c_str());
  }
  std::printf("info  dispatches a training step: %.0f, copies to the device a step: %.1f\n",
              static_cast<double>(counts.dispatches) / steps, static_cast<double>(counts.host_writes) / steps);
  expect(counts.replays == steps - RepeatedWork::kWarmUp && counts.copies_in_graphs == 0,
         "steps replayed as a graph, copies between host and device within",
         c10::str(counts.replays, ", ", counts.copies_in_graphs));
  check::reset_device_counts();
  trainer->run_validation(10);
  counts = check::device_counts();
  expect(counts.host_reads <= 4, "host reads in a chunk of 10 validation steps (its four columns)",
         std::to_string(counts.host_reads));
  bool raised = false;
  try {
    at::ones({2}, at::Device("pretend")).add(at::ones({2}));
  } catch (const c10::Error&) {
    raised = true;
  }
  expect(raised, "a tensor left on the host raises", raised ? "yes" : "no");
}

/// Two runs in the mode that is slower where it has to be.
void check_determinism(const std::string& device, int64_t steps) {
  auto config = check::synthetic_config(device, {16, 24, 16}, {8, 16, 32});
  config.deterministic = true;
  const auto cases = check::synthetic_cases(4, {20, 24, 18}, 7, open_device(device));
  std::vector<at::Tensor> found[2];
  for (auto& result : found) {
    const auto trainer = make_trainer(config, cases);
    trainer->run_training(std::vector<double>(static_cast<size_t>(steps), 0.01));
    result = weights(*trainer);
  }
  const double difference = largest_difference(found[0], found[1]);
  expect(difference == 0, "a deterministic run gives the same weights again", c10::str("difference ", difference));
}

/// Of the regions of the first training steps: their images and labels, no larger than the boxes that samples are cut
/// from.
int64_t bytes_of_regions(const TrainerConfig& config, const CaseSource& source, at::Device device, uint64_t steps) {
  const BatchMaker maker(config, at::MemoryFormat::Contiguous);
  const CaseRules rules{1, source.labels, false, {}, 0};
  const CaseStore store({source.folder, rules, Place::kHost, source.half}, source.training, device);
  size_t bytes = 0;
  for (uint64_t step = 0; step < steps; ++step) {
    for (int64_t sample = 0; sample < config.batchSize; ++sample) {
      const Region region = maker.region(store, maker.address(step, sample, true), true);
      for (size_t axis = 0; axis < 3; ++axis)
        TORCH_CHECK(region.segmentation.size(static_cast<int64_t>(axis)) <= config.initialPatchSize[axis]);
      bytes += region.image.nbytes() + region.segmentation.nbytes();
    }
  }
  return static_cast<int64_t>(bytes);
}

/// How often each case is drawn for a training sample, wherever the cases are kept.
void check_uniformity(const TrainerConfig& config, const std::string& folder, std::vector<Case> cases,
                      at::Device device) {
  std::vector<std::string> ids;
  for (Case& one : cases) {  // told apart by their intensity
    one.image = at::full_like(one.image, static_cast<double>(ids.size()));
    ids.push_back(one.id);
  }
  check::write_cases(folder, cases, config.patchSize);
  const BatchMaker maker(config, at::MemoryFormat::Contiguous);
  constexpr uint64_t steps = 300;
  const double samples = static_cast<double>(steps) * static_cast<double>(config.batchSize),
               share = 1 / static_cast<double>(ids.size());
  double furthest = 0;
  std::vector<int64_t> first;
  for (const Place place : {Place::kDevice, Place::kHost, Place::kDisk}) {
    const CaseStore store({folder, {1, {0, 1, 2}, false, {}, 0}, place, false}, ids, device);
    std::vector<int64_t> counts(ids.size());
    for (uint64_t step = 0; step < steps; ++step) {
      for (int64_t sample = 0; sample < config.batchSize; ++sample) {
        const Region region = maker.region(store, maker.address(step, sample, true), true);
        ++counts[static_cast<size_t>(region.image.flatten()[0].item<float>())];
      }
    }
    for (const int64_t count : counts)
      furthest = std::max(furthest, std::abs(static_cast<double>(count) - samples * share));
    if (first.empty()) first = counts;
    if (counts != first) furthest = samples;
  }
  furthest /= std::sqrt(samples * share * (1 - share));
  expect(furthest < 4, "every case is drawn as often as any other, from all places the same",
         c10::str("at most ", furthest, " standard deviations off"));
}

/// The same training wherever the cases are kept, and what goes to the device for it.
void check_places(const std::string& device) {
  const std::vector<int64_t> patch = {16, 24, 16};
  const auto config = check::synthetic_config(device, patch, {4, 8});
  const at::Device opened = open_device(device);
  const auto made = check::synthetic_cases(6, {37, 50, 29}, 7, at::kCPU);
  const auto folder = std::filesystem::temp_directory_path() / ("voxgrad_places_" + std::to_string(getpid()));
  std::filesystem::create_directory(folder);
  check::write_cases(folder, made, patch);
  CaseSource source{
      .folder = folder, .training = {}, .validation = {"4", "5"}, .labels = {0, 1, 2}, .previous_stage = {}};
  for (int index = 0; index < 4; ++index) source.training.push_back(std::to_string(index));
  constexpr size_t steps = 8;
  const std::vector<double> rates(steps, 0.01);
  std::vector<at::Tensor> first[2];
  std::vector<float> losses[2];
  for (const bool half : {false, true}) {
    for (const char* place : {"device", "host", "disk"}) {
      const std::string kept = c10::str("cases on ", place, half ? " as float16" : "");
      source.place = place;
      source.half = half;
      Trainer trainer(config);
      trainer.load_cases(source);
      check::reset_device_counts();
      const TrainingChunk chunk = trainer.run_training(rates);
      const check::DeviceCounts counts = check::device_counts();
      const ValidationChunk validation = trainer.run_validation(4);
      std::vector<at::Tensor> found = weights(trainer);
      found.push_back(at::tensor(validation.loss));
      if (first[half].empty()) first[half] = found, losses[half] = chunk.loss;
      const double difference = largest_difference(first[half], found);
      expect(difference <= (opened.is_cuda() ? 1e-3 : 0.0), kept + ": weights and validation as on the device",
             c10::str("difference ", difference));
      if (opened.type() != c10::DeviceType::PrivateUse1) continue;
      if (source.place == "device") {
        const auto bytes = static_cast<double>(counts.bytes_written) / steps;
        expect(bytes <= 1024, kept + ": bytes to the device a training step", c10::str(bytes));
      } else {
        // The rates of the chunk besides, and the few numbers of augmentations.
        const int64_t regions = bytes_of_regions(config, source, opened, steps);
        const int64_t others = counts.bytes_written - regions;
        expect(regions > 0 && others >= 0 && others <= 1024 * static_cast<int64_t>(steps),
               kept + ": bytes to the device besides the regions of " + std::to_string(steps) + " steps",
               c10::str(others, " (", regions, ")"));
      }
    }
  }
  check_uniformity(config, folder, made, opened);
  std::filesystem::remove_all(folder);
  double largest = 0;
  for (size_t i = 0; i < steps; ++i) largest = std::max<double>(largest, std::abs(losses[0][i] - losses[1][i]));
  expect(largest > 0 && largest < 2e-3, "losses of float16 and float32 images",
         c10::str("largest difference ", largest));
}

/// What is launched and what is compiled for CUDA are the same: a kernel that one list lacks fails here, without a GPU.
void check_kernel_lists() {
  const auto launched = launched_functors(), compiled = check::compiled_functors();
  for (const std::string& name : launched)
    if (!compiled.count(name)) expect(false, "no .cu file lists a kernel that is launched", check::readable(name));
  for (const std::string& name : compiled)
    if (!launched.count(name)) expect(false, "a .cu file lists a kernel that is never launched", check::readable(name));
  expect(launched == compiled, "every kernel that is launched is compiled for CUDA",
         c10::str(launched.size(), " launched, ", compiled.size(), " compiled"));
}

/// What the ledger says of the ops' traffic is what their kernels do, and nothing large is kept beside.
void check_traffic() {
  const auto counts = check::count_traffic();
  bool good = true;
  for (const auto& [name, stated, counted] : counts) {
    if (stated != counted)
      expect(good = false, "traffic of " + name, c10::str(stated, " stated, ", counted, " counted"));
  }
  const int64_t passes = norm_forward.total() + norm_backward.total();
  expect(good && passes <= 9, "the ledger of traffic is right, and between convolutions there are at most 9 passes",
         c10::str(counts.size(), " kernels counted, ", passes, " passes"));
  for (const auto& [name, allowed, found] : check::count_memory())
    expect(found <= allowed, name, c10::str(found, ", allowed are ", allowed));
}

void check_ops(const std::string& device) {
  double worst = 0;
  const auto compared = check::compare_ops(open_device(device));
  for (const auto& [name, deviation, allowed] : compared) {
    if (!(deviation <= allowed)) expect(false, name, c10::str("deviates by ", deviation, ", allowed are ", allowed));
    worst = std::max(worst, deviation / allowed);
  }
  expect(worst <= 1, "ops give what they give on the CPU",
         c10::str(compared.size(), " comparisons, at most ", worst, " of what is allowed"));
}

/// The float16 scaler's state in a file and back.
void check_scaler(const std::string& device) {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("voxgrad_scaler_" + std::to_string(getpid()) + ".pth")).string();
  auto config = check::synthetic_config(device, {16, 24, 16}, {8, 16, 32});
  config.precision = "float16";
  auto trainer = make_trainer(config, {});
  const auto save = [&] {
    trainer->capture_checkpoint(io::Dict{{{"grad_scaler_state", io::None{}}}}, 0.01).write(path);
    return io::read_torch_file(path).as<io::Dict>();
  };
  const auto describe = [](const io::Value& file) {
    const io::Value& state = file.at("grad_scaler_state");
    return c10::str("scale ", state.at("scale").number(), ", growth tracker ", state.at("_growth_tracker").integer());
  };
  io::Dict file = save();
  const std::string first = describe(file);
  for (auto& [key, value] : file.items) {
    if (key.text() == "grad_scaler_state") value = io::Dict{{{"scale", 4096.0}, {"_growth_tracker", 17}}};
  }
  io::write_torch_file(path, file);
  trainer->load_checkpoint(path, true);
  const std::string loaded = describe(save());
  std::filesystem::remove(path);
  expect(first == "scale 65536, growth tracker 0" && loaded == "scale 4096, growth tracker 17",
         "the float16 scaler's state is saved and loaded", first + "; " + loaded);
}

/// On CUDA the two ranks take the first two devices.
void check_two_ranks(const std::string& device) {
  if (!has_gloo() && device != "cuda") {
    std::printf("info  two ranks are skipped: this build is without Gloo\n");
    return;
  }
  const bool cuda = device == "cuda";
  for (const auto& [good, what, found] : check::check_ranks({cuda ? "cuda:0" : device, cuda ? "cuda:1" : device}))
    expect(good, what, found);
}

void time_steps(const std::string& device) {
  auto config = check::synthetic_config(device, {40, 56, 40}, {8, 16, 32, 64});
  auto trainer = make_trainer(config, check::synthetic_cases(8, {36, 50, 35}, 7, open_device(device)));
  trainer->run_training(std::vector<double>(5, 0.01));
  auto times = trainer->run_training(std::vector<double>(30, 0.01)).step_ms;
  std::sort(times.begin(), times.end());
  std::printf("info  ms a training step (tiny, 40x56x40, batch 2): min %.0f, median %.0f\n", times[0],
              times[times.size() / 2]);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> words;  // what is no option
  int64_t steps = 60, saves = 1, megabytes = 1;
  bool timed = false;
  for (int i = 1; i < argc; ++i) {
    const auto is = [&](const char* option) { return !std::strcmp(argv[i], option) && i + 1 < argc; };
    if (is("--steps")) {
      steps = std::atoll(argv[++i]);
    } else if (is("--saves")) {
      saves = std::atoll(argv[++i]);
    } else if (is("--megabytes")) {
      megabytes = std::atoll(argv[++i]);
    } else if (!std::strcmp(argv[i], "--time")) {
      timed = true;
    } else {
      words.push_back(argv[i]);
    }
  }
  const std::string device = words.empty() ? "cpu" : words[0];
  const std::vector<std::string> folders(words.begin() + !words.empty(), words.end());
  try {
    if (device == "save" && folders.size() == 1) return check::write_saves(folders[0], saves, megabytes), 0;
    if (device == "read" && !folders.empty()) return check::print_saves(folders), 0;
    if (device == "ranks") {
      const std::string shared = folders.empty() ? "cpu" : folders[0];
      if (shared == "pretend") check::register_pretend_device();
      check_two_ranks(shared);
      return std::printf("%s\n", failures ? "failed" : "all checks hold"), failures ? 1 : 0;
    }
    if (device == "pretend") {
      check::register_pretend_device();
      check_two_ranks(device);  // before this process has threads
    }
    check_kernel_lists();
    if (device == "cpu") check_traffic();
    check_training(device, steps);
    if (device == "pretend") check_host_reads();
    check_places(device);
    if (device != "cpu") check_graph(device, std::min<int64_t>(steps, 20));
    check_determinism(device, std::min<int64_t>(steps, 20));
    if (device != "cpu") check_ops(device);
    if (device != "cpu") check_scaler(device);
    if (timed) time_steps(device);
  } catch (...) {
    const FailureReport report = describe_current_exception();
    std::fprintf(stderr, "voxgrad_check: %s\n%s\n", report.message.c_str(), report.backtrace.c_str());
    return report.code == "ERR_DEVICE" ? 2 : report.code.rfind("ERR_DISK", 0) == 0 ? 74 : 70;
  }
  std::printf("%s\n", failures ? "failed" : "all checks hold");
  return failures ? 1 : 0;
}
