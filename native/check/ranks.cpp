// The two ranks' training, and what must hold for it.
#include "check/ranks.h"

#include <ATen/ATen.h>
#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check/pretend_device.h"
#include "check/synthetic.h"
#include "dist/common_stop.h"
#include "engine/device.h"
#include "engine/trainer.h"
#include "failure.h"

namespace voxgrad::check {

namespace {

int64_t free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ::bind(socket, reinterpret_cast<sockaddr*>(&address), size);
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(socket);
  return ntohs(address.sin_port);
}

struct Rank {
  std::string device;
  int64_t rank, ranks, port;

  std::unique_ptr<Trainer> trainer(const std::string& attempt, bool graph) const {
    auto config = synthetic_config(device, {16, 24, 16}, {8, 16, 32});
    config.deterministic = true;
    config.cudaGraph = graph;
    config.group = {rank, ranks, "127.0.0.1", port, rank == 0, attempt, 60};
    auto trainer = std::make_unique<Trainer>(config);
    const auto cases = synthetic_cases(4, {20, 24, 18}, 7, open_device(device));
    trainer->set_cases(cases, cases);
    return trainer;
  }
};

std::vector<at::Tensor> weights_of(const Trainer& trainer) {
  std::vector<at::Tensor> parts;
  for (const auto& parameter : trainer.network().parameters())
    parts.push_back(
        parameter.tensor.detach().to(at::kCPU, at::kFloat, /*non_blocking=*/false, /*copy=*/true).flatten());
  return parts;
}

/// Numbers of the parameters that training changed: those that have a gradient.
int64_t numbers_changed(const std::vector<at::Tensor>& before, const std::vector<at::Tensor>& after) {
  int64_t numbers = 0;
  for (size_t i = 0; i < before.size(); ++i) numbers += before[i].equal(after[i]) ? 0 : before[i].numel();
  return numbers;
}

/// Whether a number is the same at all ranks.
bool is_common(const Trainer& trainer, double number) {
  const auto largest = trainer.agree({number, -number});
  return largest[0] == -largest[1];
}

std::vector<RankFinding> work(const Rank& self) {
  const bool pretend = self.device == "pretend";
  std::vector<RankFinding> findings;
  const auto expect = [&](bool good, const std::string& what, const std::string& found) {
    findings.push_back({good, what, found});
  };
  constexpr size_t steps = 20;
  const std::vector<double> rates(steps, 0.01);
  at::Tensor found[2];
  for (const bool graph : {false, true}) {
    const auto trainer = self.trainer(graph ? "graph" : "steps", graph);
    const auto before = weights_of(*trainer);
    reset_device_counts();
    const TrainingChunk chunk = trainer->run_training(rates);
    const DeviceCounts counts = device_counts();
    const Trainer::ExchangeReport report = *trainer->exchange_report();
    const auto after = weights_of(*trainer);
    found[graph] = at::cat(after);
    const std::string mode = graph ? "two ranks, steps as a graph: " : "two ranks, steps one by one: ";
    expect(chunk.loss.size() == steps && chunk.graph_fault.empty(), mode + "all steps are done",
           c10::str(chunk.loss.size(), " ", chunk.graph_fault));
    const double sum = found[graph].to(at::kDouble).sum().item<double>(),
                 size = found[graph].abs().max().item<double>();
    expect(is_common(*trainer, sum) && is_common(*trainer, size), mode + "the same weights at both", c10::str(sum));
    const auto buckets = static_cast<int64_t>(report.arrived_when_sent.size());
    const int64_t bytes = 4 * (numbers_changed(before, after) + 2);
    if (!pretend && graph) continue;  // the host does not see what a replayed graph does
    const auto [collectives, sent] = report.traffic;
    // The order of gradients, after the first step, and whether all could record a step are asked once.
    const int64_t asked = graph ? 2 : 1, launched = static_cast<int64_t>(steps);
    const int64_t answers = 8 * (report.gradients + asked - 1);
    expect(collectives == launched * buckets + asked && sent == launched * bytes + answers,
           mode + "a collective a bucket and none else, 4 bytes a parameter, loss and stop",
           c10::str(collectives, " in ", steps, " steps of ", buckets, " buckets, ", sent, " bytes"));
    if (!pretend) continue;
    expect(counts.host_reads <= 1 + asked && counts.copies_in_graphs == 0, mode + "host reads in the chunk",
           c10::str(counts.host_reads));
    expect(counts.reads_behind == static_cast<int64_t>(steps), mode + "copies to the host that nobody waits for",
           c10::str(counts.reads_behind));
    expect(counts.replays == (graph ? static_cast<int64_t>(steps) - RepeatedWork::kWarmUp : 0), mode + "replays",
           c10::str(counts.replays));
  }
  const double difference = (found[0] - found[1]).abs().max().item<double>();
  expect(difference <= (pretend ? 0 : 1e-3), "two ranks: with graphs the same weights as without",
         c10::str(difference));

  const auto stopped = self.trainer("stop", true);
  if (self.rank == 1) stopped->stop();
  const TrainingChunk chunk = stopped->run_training(rates);
  expect(chunk.loss.size() == 1 + CommonStop::kLag && chunk.reason == "stopped" &&
             chunk.stopped_elsewhere == (self.rank == 0),
         "a wish that goes with the first step ends both ranks after the same one", c10::str(chunk.loss.size()));

  if (pretend) {
    fail_captures(self.rank == 1);
    const auto trainer = self.trainer("fault", true);
    reset_device_counts();
    const TrainingChunk without = trainer->run_training(rates);
    expect(device_counts().replays == 0 && !without.graph_fault.empty() && without.loss.size() == steps,
           "where one rank cannot record a step, none replays it", without.graph_fault);
    fail_captures(false);
  }
  return findings;
}

}  // namespace

std::vector<RankFinding> check_ranks(const std::vector<std::string>& devices) {
  const int64_t port = free_port();
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    int failures = 0;
    try {
      for (const auto& [good, what, found] : work({devices[1], 1, 2, port})) {
        if (!good) std::printf("FAIL  rank 1: %s: %s\n", what.c_str(), found.c_str()), ++failures;
      }
    } catch (...) {
      std::printf("FAIL  rank 1: %s\n", describe_current_exception().message.c_str());
      failures = 1;
    }
    std::fflush(stdout);
    _exit(failures ? 1 : 0);
  }
  std::vector<RankFinding> findings;
  try {
    findings = work({devices[0], 0, 2, port});
  } catch (...) {
    findings.push_back({false, "rank 0", describe_current_exception().message});
  }
  int status = 0;
  waitpid(child, &status, 0);
  findings.push_back({status == 0, "the second rank ends well", c10::str(status)});
  return findings;
}

}  // namespace voxgrad::check
