// nnU-Net's checkpoint, written and read: weights under all their names, the optimizer's state by parameter index, the
// float16 scaler's state, and what else the caller keeps. Source: nnUNetTrainer.save_checkpoint, state_dict of
// torch.optim's SGD and Adam, of adan_pytorch's Adan and of torch.amp.GradScaler.
#include "engine/trainer.h"
#include "engine/weights.h"
#include "failure.h"

namespace voxgrad {

namespace {
io::Value param_group(const OptimizerConfig& config, double learning_rate, size_t parameters) {
  io::List indices;
  for (size_t i = 0; i < parameters; ++i) indices.items.emplace_back(static_cast<int64_t>(i));
  if (config.kind == "sgd") {
    return io::Dict{{{"lr", learning_rate},
                     {"momentum", config.momentum},
                     {"dampening", int64_t{0}},
                     {"weight_decay", config.weightDecay},
                     {"nesterov", config.nesterov},
                     {"maximize", false},
                     {"foreach", io::None{}},
                     {"differentiable", false},
                     {"fused", io::None{}},
                     {"params", std::move(indices)}}};
  }
  if (config.kind == "adan") {
    const auto& betas = config.adanBetas;
    return io::Dict{{{"lr", learning_rate},
                     {"betas", io::Tuple{{betas[0], betas[1], betas[2]}}},
                     {"eps", config.eps},
                     {"weight_decay", config.weightDecay},
                     {"restart_cond", io::None{}},
                     {"params", std::move(indices)}}};
  }
  return io::Dict{{{"lr", learning_rate},
                   {"betas", io::Tuple{{config.beta1, config.beta2}}},
                   {"eps", config.eps},
                   {"weight_decay", config.weightDecay},
                   {"amsgrad", config.amsgrad},
                   {"maximize", false},
                   {"foreach", io::None{}},
                   {"capturable", false},
                   {"differentiable", false},
                   {"fused", io::None{}},
                   {"decoupled_weight_decay", config.kind == "adamw"},
                   {"params", std::move(indices)}}};
}

void check_finite(const at::Tensor& tensor, const std::string& name) {
  if (tensor.isfinite().all().item<bool>()) return;
  throw Failure("ERR_NON_FINITE", name + " holds values that are not finite");
}

io::Value scaler_state(const Optimizer& optimizer) {
  return io::Dict{{{"scale", optimizer.scale().item<double>()},
                   {"growth_factor", Optimizer::growth_factor},
                   {"backoff_factor", Optimizer::backoff_factor},
                   {"growth_interval", Optimizer::growth_interval},
                   {"_growth_tracker", optimizer.growth_tracker().item<int64_t>()}}};
}

struct Scaler {
  double scale;
  int64_t growth_tracker;
};

/// Nothing where the file was made without a scaler, or with one that was switched off (an empty dict).
std::optional<Scaler> find_scaler(const io::Value& file) {
  const io::Value* state = file.find("grad_scaler_state");
  if (state == nullptr || !state->is<io::Dict>() || state->find("scale") == nullptr) return std::nullopt;
  return Scaler{state->at("scale").number(), state->at("_growth_tracker").integer()};
}

using OptimizerState = std::vector<std::pair<size_t, std::vector<at::Tensor>>>;

/// The optimizer's tensors by parameter, checked.
OptimizerState find_state(const Optimizer& optimizer, const Network& network, const io::Value& file,
                          const std::string& path) {
  OptimizerState found;
  for (const auto& [key, value] : file.at("optimizer_state").at("state").as<io::Dict>().items) {
    const auto index = static_cast<size_t>(key.integer());
    const auto misfit = [&](const std::string& what) {
      return Failure("ERR_CHECKPOINT_MISFIT",
                     path + ": the optimizer's state of parameter " + std::to_string(index) + " " + what);
    };
    if (index >= network.parameters().size()) throw misfit("does not fit the network, which has fewer");
    std::vector<at::Tensor> tensors;
    for (const std::string& name : optimizer.state_names()) {
      const io::Value* entry = value.find(name);
      // torch keeps None for a parameter that has not moved yet.
      if (entry != nullptr && entry->is<io::None>()) break;
      if (entry != nullptr && name == "step" && entry->is<int64_t>()) {  // Adan's
        tensors.push_back(at::scalar_tensor(entry->integer(), at::kFloat));
        continue;
      }
      if (entry == nullptr || !entry->is<io::TorchTensor>())
        throw misfit("lacks " + name + ": another optimizer than optimizer.kind " + optimizer.config().kind +
                     " made it");
      const at::Tensor& tensor = entry->as<io::TorchTensor>().tensor;
      const bool fits =
          name == "step" ? tensor.numel() == 1 : tensor.sizes() == network.parameters()[index].tensor.sizes();
      if (!fits) throw misfit("has another shape than the network's parameter (" + name + ")");
      tensors.push_back(tensor);
    }
    if (!tensors.empty()) found.emplace_back(index, std::move(tensors));
  }
  return found;
}
}  // namespace

io::TorchFile Trainer::capture_checkpoint(const io::Value& entries, double learning_rate) const {
  const io::Value weights = state_dict(network_);
  for (const auto& [name, tensor] : network_.tensors()) {
    check_finite(weights.at(name).as<io::TorchTensor>().tensor, name);
  }
  io::Dict state;
  const size_t count = network_.parameters().size();
  for (size_t i = 0; i < count; ++i) {
    if (optimizer_.state(i).empty()) continue;
    io::Dict tensors;
    for (size_t kind = 0; kind < optimizer_.state_names().size(); ++kind) {
      const std::string& name = optimizer_.state_names()[kind];
      const at::Tensor tensor = to_host(optimizer_.state(i)[kind]);
      check_finite(tensor, "the optimizer's " + name + " of " + network_.parameters()[i].name);
      if (name == "step" && optimizer_.config().kind == "adan")
        tensors.items.emplace_back(name, tensor.item().toLong());
      else
        tensors.items.emplace_back(name, io::TorchTensor{tensor});
    }
    state.items.emplace_back(static_cast<int64_t>(i), std::move(tensors));
  }
  const io::List groups{{param_group(optimizer_.config(), learning_rate, count)}};
  io::Dict file{{{"network_weights", weights},
                 {"optimizer_state", io::Dict{{{"state", std::move(state)}, {"param_groups", groups}}}}}};
  if (optimizer_.scale().defined()) file.items.emplace_back("grad_scaler_state", scaler_state(optimizer_));
  for (const auto& entry : entries.as<io::Dict>().items) {
    const bool own = optimizer_.scale().defined() && entry.first.text() == "grad_scaler_state";
    if (!own) file.items.push_back(entry);
  }
  return io::TorchFile(file);
}

io::Value Trainer::load_checkpoint(const std::string& path, bool optimizer) {
  const io::Value file = io::read_torch_file(path);
  // All is checked before anything is changed.
  const OptimizerState state = optimizer ? find_state(optimizer_, network_, file, path) : OptimizerState{};
  const auto scaler = optimizer ? find_scaler(file) : std::nullopt;
  load_weights(network_, file, path);
  if (optimizer) {
    optimizer_.forget_state();
    training_work_.reset();  // the state's memory is new
  }
  if (optimizer_.scale().defined() && scaler) optimizer_.set_scaler(scaler->scale, scaler->growth_tracker);
  for (const auto& [index, tensors] : state) optimizer_.set_state(index, tensors);

  io::Dict rest;
  for (const auto& entry : file.as<io::Dict>().items) {
    const bool own = entry.first.is<std::string>() &&
                     (entry.first.text() == "network_weights" || entry.first.text() == "optimizer_state");
    if (!own) rest.items.push_back(entry);
  }
  return rest;
}

}  // namespace voxgrad
