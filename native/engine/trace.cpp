// Traced training steps.
#include "engine/trace.h"

#include "engine/device.h"
#include "engine/loss.h"
#include "engine/optimizer.h"
#include "engine/sample_parallel.h"
#include "engine/weights.h"

namespace voxgrad {

namespace {
std::map<std::string, at::Tensor> copy_tensors(const Network& network) {
  std::map<std::string, at::Tensor> copies;
  for (const auto& [name, tensor] : network.tensors())
    copies[name] = tensor.detach().to(at::kFloat).contiguous(at::MemoryFormat::Contiguous).clone();
  return copies;
}
}  // namespace

Trace trace_steps(const TrainerConfig& config, const std::string& checkpoint, const std::vector<Batch>& batches,
                  const std::vector<double>& learning_rates) {
  prepare_thread(config.threads, config.deterministic);
  Network network(config.network, parse_seed(config.seed), at::kCPU);
  load_weights(network, io::read_torch_file(checkpoint), checkpoint);
  Optimizer optimizer(config.optimizer, network.parameters(), /*dynamic_scale=*/false);
  const Loss loss(config.loss, Targets(config.labels, config.network.outputChannels, at::kCPU), config.patchSize,
                  config.network.strides, at::kCPU);

  const SampleParallel forward(network, config.batchSize, config.threads);
  Trace trace;
  {
    const at::NoGradGuard no_grad;
    trace.evaluated = network.forward(batches.at(0).image).contiguous();
  }
  for (size_t step = 0; step < batches.size(); ++step) {
    optimizer.zero_gradients();
    std::vector<Address> samples;
    for (int64_t index = 0; index < batches[step].image.size(0); ++index)
      samples.push_back({parse_seed(config.seed), step, static_cast<uint32_t>(index)});
    const TrainingPass pass = network.begin_pass(network.draw_dropout(samples));
    const auto logits = forward(batches[step].image, loss.heads(), &pass);
    const at::Tensor value = loss(logits, batches[step].labels);
    value.backward();
    trace.losses.push_back(value.item<double>());
    if (step == 0) {
      for (const at::Tensor& output : logits)
        trace.outputs.push_back(output.defined() ? output.detach().contiguous() : output);
      for (const auto& [name, tensor] : network.parameters()) {
        if (tensor.grad().defined())
          trace.gradients[name] = tensor.grad().contiguous(at::MemoryFormat::Contiguous).clone();
      }
    }
    const Optimizer::Update update = optimizer.step(at::tensor(learning_rates[step]), value.detach());
    network.end_pass(pass, update.unchanged);
    trace.gradient_norms.push_back(update.gradient_norm.item<double>());
    if (step == 0) trace.after_first = copy_tensors(network);
  }
  trace.after_last = copy_tensors(network);
  return trace;
}

}  // namespace voxgrad
