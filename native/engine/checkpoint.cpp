// nnU-Net's checkpoint, written and read: weights under all their names, momentum by parameter index, the float16
// scaler's state, and what else the caller keeps. Source: nnUNetTrainer.save_checkpoint, torch.optim.SGD.state_dict,
// torch.amp.GradScaler.state_dict.
#include "engine/trainer.h"
#include "engine/weights.h"
#include "failure.h"

namespace voxgrad {

namespace {
io::Value param_group(const OptimizerConfig& config, double learning_rate, size_t parameters) {
  io::List indices;
  for (size_t i = 0; i < parameters; ++i) indices.items.emplace_back(static_cast<int64_t>(i));
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

void check_finite(const at::Tensor& tensor, const std::string& name) {
  if (tensor.isfinite().all().item<bool>()) return;
  throw Failure("ERR_NON_FINITE", name + " holds values that are not finite; the checkpoint was not saved");
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

using MomentumBuffers = std::vector<std::pair<size_t, at::Tensor>>;

MomentumBuffers find_momentum(const Network& network, const io::Value& file, const std::string& path) {
  MomentumBuffers found;
  for (const auto& [key, value] : file.at("optimizer_state").at("state").as<io::Dict>().items) {
    const auto index = static_cast<size_t>(key.integer());
    const io::Value& buffer = value.at("momentum_buffer");
    if (!buffer.is<io::TorchTensor>()) continue;
    const at::Tensor& tensor = buffer.as<io::TorchTensor>().tensor;
    if (index >= network.parameters().size() || tensor.sizes() != network.parameters()[index].tensor.sizes()) {
      throw Failure("ERR_CHECKPOINT",
                    path + ": the momentum of parameter " + std::to_string(index) + " does not fit the network");
    }
    found.emplace_back(index, tensor);
  }
  return found;
}
}  // namespace

io::TorchFile Trainer::capture_checkpoint(const io::Value& entries, double learning_rate) const {
  const io::Value weights = state_dict(network_);
  for (const auto& parameter : network_.parameters()) {
    check_finite(weights.at(parameter.name).as<io::TorchTensor>().tensor, parameter.name);
  }
  const auto& buffers = optimizer_.momentum_buffers();
  io::Dict momentum;
  for (size_t i = 0; i < buffers.size(); ++i) {
    if (!buffers[i].defined()) continue;
    const at::Tensor buffer = to_host(buffers[i]);
    check_finite(buffer, "the momentum of " + network_.parameters()[i].name);
    momentum.items.emplace_back(static_cast<int64_t>(i), io::Dict{{{"momentum_buffer", io::TorchTensor{buffer}}}});
  }
  const io::List groups{{param_group(optimizer_.config(), learning_rate, buffers.size())}};
  io::Dict file{{{"network_weights", weights},
                 {"optimizer_state", io::Dict{{{"state", std::move(momentum)}, {"param_groups", groups}}}}}};
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
  const MomentumBuffers momentum = optimizer ? find_momentum(network_, file, path) : MomentumBuffers{};
  const auto scaler = optimizer ? find_scaler(file) : std::nullopt;
  load_weights(network_, file, path);
  if (optimizer) optimizer_.forget_momentum();
  if (optimizer_.scale().defined() && scaler) optimizer_.set_scaler(scaler->scale, scaler->growth_tracker);
  for (const auto& [index, buffer] : momentum) optimizer_.set_momentum_buffer(index, buffer);

  io::Dict rest;
  for (const auto& entry : file.as<io::Dict>().items) {
    const bool own = entry.first.is<std::string>() &&
                     (entry.first.text() == "network_weights" || entry.first.text() == "optimizer_state");
    if (!own) rest.items.push_back(entry);
  }
  return rest;
}

}  // namespace voxgrad
