// Buckets that are sent from autograd's hooks.
#include "dist/gradient_exchange.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <utility>

namespace voxgrad {

namespace {
/// In front of the first bucket's gradients: the loss, and who wishes to stop.
constexpr int64_t kExtras = 2;
}  // namespace

struct GradientExchange::State {
  struct Bucket {
    at::Tensor flat;
    std::vector<size_t> parameters;
    std::vector<at::Tensor> views;  // of flat, one a parameter
    size_t missing = 0;             // gradients of this step that have not arrived
    bool ready = false;
    ProcessGroup::Work work;
  };

  std::shared_ptr<ProcessGroup> group;
  std::vector<at::Tensor> parameters;
  std::vector<Bucket> buckets;
  std::vector<int64_t> bucket_of;  // of each parameter; -1: it never has a gradient
  size_t sent = 0;                 // buckets are sent in order, so that all ranks agree
  at::Tensor extras;               // of this step, until the first bucket takes them
  std::vector<int64_t> arrived;    // parameters whose gradients are there in this step, in that order
  std::vector<int64_t> arrived_when_sent;
  bool running = false;

  /// By the order in which the gradients of the first step came at rank 0, as DistributedDataParallel has it: modules
  /// are not run in the order of their parameters.
  void plan() {
    const at::Device device = parameters[0].device();
    at::Tensor order = at::tensor(arrived, at::kLong).to(device);
    group->broadcast(order);
    group->settle();
    order = order.to(at::kCPU);
    bucket_of.assign(parameters.size(), -1);
    int64_t bytes = 0;
    std::vector<int64_t> counts;
    for (int64_t k = 0; k < order.numel(); ++k) {
      const auto i = static_cast<size_t>(order.data_ptr<int64_t>()[k]);
      const bool first = buckets.size() == 1;
      if (buckets.empty() || bytes >= (first ? first_bucket_bytes : bucket_bytes)) {
        buckets.emplace_back();
        counts.push_back(buckets.size() == 1 ? kExtras : 0);
        bytes = 0;
      }
      buckets.back().parameters.push_back(i);
      bucket_of[i] = static_cast<int64_t>(buckets.size()) - 1;
      counts.back() += parameters[i].numel();
      bytes += static_cast<int64_t>(parameters[i].nbytes());
    }
    for (size_t b = 0; b < buckets.size(); ++b) {
      Bucket& bucket = buckets[b];
      bucket.flat = at::empty({counts[b]}, parameters[bucket.parameters[0]].options().requires_grad(false));
      int64_t start = b == 0 ? kExtras : 0;
      for (const size_t i : bucket.parameters) {
        const at::Tensor& parameter = parameters[i];
        // The layout of the parameter, so that the optimizer's fused kernel takes both as they lie.
        bucket.views.push_back(
            bucket.flat.narrow(0, start, parameter.numel()).as_strided(parameter.sizes(), parameter.strides(), start));
        start += parameter.numel();
      }
    }
  }

  void arm() {
    for (Bucket& bucket : buckets) {
      bucket.missing = bucket.parameters.size();
      bucket.ready = false;
    }
    sent = 0;
    arrived_when_sent.clear();
  }

  void take(size_t index) {
    if (!running) return;
    arrived.push_back(static_cast<int64_t>(index));
    if (bucket_of.empty() || bucket_of[index] < 0) return;
    Bucket& bucket = buckets[static_cast<size_t>(bucket_of[index])];
    bucket.ready = --bucket.missing == 0;
    for (; sent < buckets.size() && buckets[sent].ready; ++sent) send(sent);
  }

  void send(size_t number) {
    const at::NoGradGuard no_grad;
    Bucket& bucket = buckets[number];
    if (number == 0) bucket.flat.narrow(0, 0, kExtras).copy_(extras);
    std::vector<at::Tensor> gradients;
    for (const size_t i : bucket.parameters) gradients.push_back(parameters[i].grad());
    at::_foreach_copy_(bucket.views, gradients);
    arrived_when_sent.push_back(static_cast<int64_t>(arrived.size()));
    bucket.work = group->start_sum(bucket.flat);
  }
};

class GradientExchange::Arrived : public torch::autograd::PostAccumulateGradHook {
 public:
  Arrived(std::weak_ptr<State> state, size_t index) : state_(std::move(state)), index_(index) {}
  void operator()(const at::Tensor&) override {
    if (const auto state = state_.lock()) state->take(index_);
  }

 private:
  const std::weak_ptr<State> state_;
  const size_t index_;
};

GradientExchange::GradientExchange(std::shared_ptr<ProcessGroup> group, std::vector<at::Tensor> parameters)
    : state_(std::make_shared<State>()) {
  state_->group = std::move(group);
  state_->parameters = std::move(parameters);
  for (size_t i = 0; i < state_->parameters.size(); ++i)
    torch::autograd::impl::set_post_acc_grad_hooks(state_->parameters[i], std::make_unique<Arrived>(state_, i));
}

GradientExchange::~GradientExchange() {
  for (const at::Tensor& parameter : state_->parameters)
    torch::autograd::impl::set_post_acc_grad_hooks(parameter, nullptr);
}

void GradientExchange::begin(const at::Tensor& loss, const at::Tensor& stop) {
  State& state = *state_;
  state.extras = at::stack({loss, stop});
  state.running = true;
  state.arrived.clear();
  state.arm();
}

GradientExchange::Sums GradientExchange::finish() {
  State& state = *state_;
  if (state.buckets.empty()) {
    state.plan();
    state.arm();
    for (; state.sent < state.buckets.size(); ++state.sent) state.send(state.sent);
  }
  state.running = false;
  TORCH_INTERNAL_ASSERT(state.sent == state.buckets.size(), "a parameter that had a gradient has none");
  for (auto& bucket : state.buckets) {
    state.group->wait(std::exchange(bucket.work, {}));
    for (size_t k = 0; k < bucket.parameters.size(); ++k)
      state.parameters[bucket.parameters[k]].mutable_grad() = bucket.views[k];
  }
  const at::Tensor extras = state.buckets[0].flat.narrow(0, 0, kExtras).clone();
  return {extras[0], extras[1]};
}

size_t GradientExchange::buckets() const { return state_->buckets.size(); }
const std::vector<int64_t>& GradientExchange::arrived_when_sent() const { return state_->arrived_when_sent; }
int64_t GradientExchange::gradients() const { return static_cast<int64_t>(state_->arrived.size()); }

}  // namespace voxgrad
