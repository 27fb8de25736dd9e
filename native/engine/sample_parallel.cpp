// Deals samples to threads, forward and backward, and adds their gradients.
#include "engine/sample_parallel.h"

#include <ATen/ThreadLocalState.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/engine.h>

#include <future>

#include "engine/device.h"

namespace voxgrad {

namespace {

constexpr double least_use = 0.8;

int64_t workers_for(const Network& network, int64_t batch_size, int64_t threads) {
  if (!network.device().is_cpu() || network.config().batchNorm || threads == 1) return 1;
  const int64_t rounds = (batch_size + threads - 1) / threads;
  return static_cast<double>(batch_size) >= least_use * static_cast<double>(rounds * threads) ? threads : 1;
}

/// Calls `work` with every worker's number and returns when all are done; the first failure is thrown.
void run_all(c10::ThreadPool& pool, int64_t workers, const std::function<void(int64_t)>& work) {
  std::vector<std::future<void>> done;
  for (int64_t worker = 0; worker < workers; ++worker) {
    auto task = std::make_shared<std::packaged_task<void()>>([&work, worker, state = at::ThreadLocalState()] {
      const at::ThreadLocalStateGuard as_the_caller(state);
      work(worker);
    });
    done.push_back(task->get_future());
    pool.run([task] { (*task)(); });
  }
  for (const auto& one : done) one.wait();
  for (auto& one : done) one.get();
}

std::vector<at::Tensor> defined_of(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> result;
  for (const at::Tensor& tensor : tensors)
    if (tensor.defined()) result.push_back(tensor);
  return result;
}

}  // namespace

/// One forward pass by samples. It lives until its backward pass, with every worker's graph.
class SampleParallel::Pass : public torch::CustomClassHolder {
 public:
  /// The logits of the whole batch for every wanted head.
  std::vector<at::Tensor> forward(const SampleParallel& owner, const at::Tensor& image, const std::vector<bool>& wanted,
                                  const TrainingPass* pass) {
    pool_ = owner.pool_.get();
    samples_ = image.size(0);
    std::vector<std::vector<at::Tensor>> logits(static_cast<size_t>(owner.workers_));
    ends_.resize(logits.size());
    run_all(*pool_, workers(), [&](int64_t worker) {
      const auto index = static_cast<size_t>(worker);
      const TrainingPass own = {pass && pass->dropout.defined() ? part(pass->dropout, worker) : at::Tensor(), {}};
      for (const at::Tensor& head : owner.network_.forward(part(image, worker), wanted, pass ? &own : nullptr)) {
        if (!head.defined()) continue;
        logits[index].push_back(head.detach());
        if (head.requires_grad()) ends_[index].push_back(torch::autograd::impl::gradient_edge(head));
      }
    });
    std::vector<at::Tensor> joined;
    for (size_t head = 0; head < logits[0].size(); ++head) {
      std::vector<at::Tensor> parts;
      for (auto& own : logits) parts.push_back(std::move(own[head]));
      joined.push_back(at::cat(parts));
    }
    return joined;
  }

  /// Gradients of the parameters; undefined for one that no logits depend on.
  std::vector<at::Tensor> backward(const std::vector<at::Tensor>& gradients,
                                   const std::vector<at::Tensor>& parameters) {
    torch::autograd::edge_list wanted;
    for (const at::Tensor& parameter : parameters) wanted.push_back(torch::autograd::impl::gradient_edge(parameter));
    std::vector<std::vector<at::Tensor>> parts(ends_.size());
    run_all(*pool_, workers(), [&](int64_t worker) {
      std::vector<at::Tensor> own;
      for (const at::Tensor& gradient : gradients) own.push_back(part(gradient, worker));
      const auto index = static_cast<size_t>(worker);
      parts[index] = torch::autograd::Engine::get_default_engine().execute(std::exchange(ends_[index], {}), own,
                                                                           /*keep_graph=*/false, /*create_graph=*/false,
                                                                           /*accumulate_grad=*/false, wanted);
    });
    for (size_t worker = 1; worker < parts.size(); ++worker)
      at::_foreach_add_(defined_of(parts[0]), defined_of(parts[worker]));
    return parts[0];
  }

 private:
  int64_t workers() const { return static_cast<int64_t>(ends_.size()); }
  at::Tensor part(const at::Tensor& batch, int64_t worker) const {
    const int64_t first = worker * samples_ / workers(), end = (worker + 1) * samples_ / workers();
    return batch.narrow(0, first, end - first);
  }

  c10::ThreadPool* pool_ = nullptr;
  int64_t samples_ = 0;
  std::vector<torch::autograd::edge_list> ends_;  // of each worker's graph: the logits, whose values nobody needs
};

/// Autograd's view of it: one function from the parameters to the logits.
class SampleParallel::Joined : public torch::autograd::Function<Joined> {
 public:
  static std::vector<at::Tensor> forward(torch::autograd::AutogradContext* context, at::TensorList parameters,
                                         const SampleParallel& owner, const at::Tensor& image,
                                         const std::vector<bool>& wanted, const TrainingPass* pass) {
    auto own = c10::make_intrusive<Pass>();
    const at::AutoGradMode with_gradient(true);
    auto logits = own->forward(owner, image, wanted, pass);
    context->save_for_backward(parameters.vec());
    context->saved_data["pass"] = at::IValue::make_capsule(std::move(own));
    return logits;
  }

  static std::vector<at::Tensor> backward(torch::autograd::AutogradContext* context,
                                          const std::vector<at::Tensor>& gradients) {
    const auto pass = context->saved_data["pass"].toCapsule();
    auto result = static_cast<Pass&>(*pass).backward(gradients, context->get_saved_variables());
    result.resize(result.size() + 4);  // of the other arguments
    return result;
  }
};

SampleParallel::SampleParallel(const Network& network, int64_t batch_size, int64_t threads)
    : network_(network),
      workers_(workers_for(network, batch_size, threads)),
      pool_(workers_ == 1 ? nullptr : new c10::ThreadPool(static_cast<int>(workers_), -1, prepare_lone_thread)) {}

std::vector<at::Tensor> SampleParallel::operator()(const at::Tensor& image, const std::vector<bool>& wanted,
                                                   const TrainingPass* pass) const {
  if (workers_ == 1) return network_.forward(image, wanted, pass);
  std::vector<at::Tensor> joined;
  if (at::GradMode::is_enabled()) {
    std::vector<at::Tensor> parameters;
    for (const Parameter& parameter : network_.parameters()) parameters.push_back(parameter.tensor);
    joined = Joined::apply(at::TensorList(parameters), *this, image, wanted, pass);
  } else {
    joined = Pass().forward(*this, image, wanted, pass);
  }
  std::vector<at::Tensor> logits(wanted.size());
  for (size_t head = 0, next = 0; head < wanted.size(); ++head)
    if (wanted[head]) logits[head] = joined[next++];
  return logits;
}

}  // namespace voxgrad
