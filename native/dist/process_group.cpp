// Collectives with the errors of a rank that is gone.
#include "dist/process_group.h"

#include <ATen/ATen.h>

#include "failure.h"

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
}  // namespace

std::shared_ptr<ProcessGroup> ProcessGroup::join(const RanksConfig& config, at::Device device) {
  if (config.ranks == 1) return nullptr;
  if (!device.is_cpu())
    throw Failure("ERR_CONFIG", "devices: several CUDA devices need NCCL, which this build does not have yet");
  return with_failures(config.rank, config.ranks, [&] {
    const auto gloo = join_gloo(config);
    return std::shared_ptr<ProcessGroup>(new ProcessGroup(gloo, gloo));
  });
}

ProcessGroup::Work ProcessGroup::start_sum(const at::Tensor& tensor) {
  return with_failures(rank_, ranks_, [&] {
    std::vector<at::Tensor> tensors = {tensor};
    return backend_->allreduce(tensors);
  });
}

void ProcessGroup::wait(const Work& work) {
  is_waiting_ = true;
  with_failures(rank_, ranks_, [&] { return work->wait(); });
  is_waiting_ = false;
}

void ProcessGroup::broadcast(const at::Tensor& tensor) {
  with_failures(rank_, ranks_, [&] {
    std::vector<at::Tensor> tensors = {tensor};
    return wait(backend_->broadcast(tensors));
  });
}

std::vector<double> ProcessGroup::largest(const std::vector<double>& values) {
  return with_failures(rank_, ranks_, [&] {
    const at::Tensor column = at::tensor(values, at::kDouble);
    std::vector<at::Tensor> tensors = {column};
    c10d::AllreduceOptions options;
    options.reduceOp = c10d::ReduceOp::MAX;
    wait(host_->allreduce(tensors, options));
    return std::vector<double>(column.data_ptr<double>(), column.data_ptr<double>() + column.numel());
  });
}

}  // namespace voxgrad
