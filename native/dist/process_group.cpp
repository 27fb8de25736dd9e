// Collectives with the errors of a rank that is gone.
#include "dist/process_group.h"

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <map>
#include <thread>

#include "dist/meeting.h"
#include "failure.h"
#include "kernels/launch.h"
#include "kernels/libraries.h"

namespace voxgrad {

BatchShare share_of_batch(int64_t batch_size, int64_t rank, int64_t ranks) {
  const int64_t least = batch_size / ranks, larger = batch_size % ranks;
  return {rank * least + std::min(rank, larger), least + (rank < larger), batch_size};
}

namespace {

template <class Call>
auto with_failures(int64_t rank, int64_t ranks, Call&& call) {
  try {
    return call();
  } catch (const Failure&) {
    throw;
  } catch (const std::exception& error) {
    const std::string what = error.what();
    throw Failure("ERR_RANK", "rank " + std::to_string(rank) + " of " + std::to_string(ranks) +
                                  " lost the others: " + what.substr(0, what.find('\n')));
  }
}

constexpr const char* kNcclLibrary = "libvoxgrad_nccl.so";

c10::intrusive_ptr<c10d::Backend> join_nccl(const RanksConfig& config, at::Device device) {
  if (!has_nccl()) {
    throw Failure("ERR_CONFIG", "devices: expected 1, found " + std::to_string(config.ranks) +
                                    ", because this build is without NCCL, over which CUDA devices train together. "
                                    "Run `npm run build:cuda` with a libtorch for CUDA");
  }
  using Join = c10d::Backend* (*)(const c10::intrusive_ptr<c10d::Store>&, int, int, int, int64_t);
  static const auto join = reinterpret_cast<Join>(find_in_library(kNcclLibrary, "voxgrad_join_nccl"));
  // What a rank notices itself (await) comes with a better word than NCCL's watchdog, which ends the process.
  const auto timeout_ms = static_cast<int64_t>(2 * 1000 * config.timeoutSeconds);
  return c10::intrusive_ptr<c10d::Backend>::reclaim(join(store_of(config), static_cast<int>(config.rank),
                                                         static_cast<int>(config.ranks), device.index(), timeout_ms));
}

std::map<at::DeviceType, JoinBackend>& backends() {
  static std::map<at::DeviceType, JoinBackend> registered = {{at::kCPU, join_gloo}, {at::kCUDA, join_nccl}};
  return registered;
}

}  // namespace

bool has_nccl() { return is_library_there(kNcclLibrary); }
void register_backend(at::DeviceType type, JoinBackend join) { backends()[type] = join; }

std::shared_ptr<ProcessGroup> ProcessGroup::join(const RanksConfig& config, at::Device device) {
  if (config.ranks == 1) return nullptr;
  return with_failures(config.rank, config.ranks,
                       [&] { return std::shared_ptr<ProcessGroup>(new ProcessGroup(config, device)); });
}

ProcessGroup::ProcessGroup(const RanksConfig& config, at::Device device)
    : rank_(config.rank),
      ranks_(config.ranks),
      timeout_(config.timeoutSeconds),
      device_(device),
      backend_(backends().at(device.type())(config, device)) {}

ProcessGroup::~ProcessGroup() {
  if (!device_.is_cuda()) return;
  try {
    // shutdown() lets the others finish with this rank's memory; with ranks that are gone it would wait for them.
    lost_ ? backend_->abort() : backend_->shutdown();
  } catch (...) {  // nothing can be done about it any more
  }
}

template <class Call>
auto ProcessGroup::guarded(Call&& call) {
  try {
    return with_failures(rank_, ranks_, call);
  } catch (...) {
    lost_ = true;
    throw;
  }
}

ProcessGroup::Work ProcessGroup::begin(const at::Tensor& tensor, c10d::ReduceOp operation) {
  ++traffic_.collectives;
  traffic_.bytes += static_cast<int64_t>(tensor.nbytes());
  std::vector<at::Tensor> tensors = {tensor};
  c10d::AllreduceOptions options;
  options.reduceOp = std::move(operation);
  return backend_->allreduce(tensors, options);
}

ProcessGroup::Work ProcessGroup::start_sum(const at::Tensor& tensor) {
  return guarded([&] { return begin(tensor, c10d::ReduceOp::SUM); });
}

void ProcessGroup::wait(const Work& work) {
  is_waiting_ = true;
  guarded([&] { return work->wait(); });
  is_waiting_ = false;
}

void ProcessGroup::broadcast(const at::Tensor& tensor) {
  ++traffic_.collectives;
  traffic_.bytes += static_cast<int64_t>(tensor.nbytes());
  std::vector<at::Tensor> tensors = {tensor};
  wait(guarded([&] { return backend_->broadcast(tensors); }));
}

std::vector<double> ProcessGroup::largest(const std::vector<double>& values) {
  const at::Tensor column = at::tensor(values, at::kDouble).to(device_);
  wait(guarded([&] { return begin(column, c10d::ReduceOp::MAX); }));
  settle();
  const at::Tensor host = column.to(at::kCPU);
  return std::vector<double>(host.data_ptr<double>(), host.data_ptr<double>() + host.numel());
}

void ProcessGroup::settle() {
  if (device_.is_cpu()) return;
  c10::Event done(device_.type());
  done.record(c10::impl::VirtualGuardImpl(device_.type()).getStream(device_));
  await(done);
}

void ProcessGroup::await(const c10::Event& event) {
  const auto start = std::chrono::steady_clock::now();
  is_waiting_ = true;
  while (!event.query()) {
    if (std::chrono::steady_clock::now() - start > timeout_) {
      lost_ = true;
      throw Failure("ERR_RANK", "rank " + std::to_string(rank_) + " of " + std::to_string(ranks_) +
                                    " lost the others: the device has waited for them for " +
                                    std::to_string(static_cast<int64_t>(timeout_.count())) + " s");
    }
    // The device has further steps to do meanwhile.
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  is_waiting_ = false;
}

}  // namespace voxgrad
