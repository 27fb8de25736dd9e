// nnU-Net's checkpoint, written and read: weights under all their names, momentum by parameter index, and what else the
// caller keeps. Source: nnUNetTrainer.save_checkpoint, torch.optim.SGD.state_dict.
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

void Trainer::save_checkpoint(const std::string& path, const io::Value& entries, double learning_rate) const {
  const auto& buffers = optimizer_.momentum_buffers();
  io::Dict momentum;
  for (size_t i = 0; i < buffers.size(); ++i) {
    if (!buffers[i].defined()) continue;
    momentum.items.emplace_back(static_cast<int64_t>(i),
                                io::Dict{{{"momentum_buffer", io::TorchTensor{to_host(buffers[i])}}}});
  }
  const io::List groups{{param_group(optimizer_.config(), learning_rate, buffers.size())}};
  io::Dict file{{{"network_weights", state_dict(network_)},
                 {"optimizer_state", io::Dict{{{"state", std::move(momentum)}, {"param_groups", groups}}}}}};
  for (const auto& entry : entries.as<io::Dict>().items) file.items.push_back(entry);
  io::write_torch_file(path, file);
}

io::Value Trainer::load_checkpoint(const std::string& path, bool optimizer) {
  const io::Value file = io::read_torch_file(path);
  // All is checked before anything is changed.
  const MomentumBuffers momentum = optimizer ? find_momentum(network_, file, path) : MomentumBuffers{};
  load_weights(network_, file, path);
  if (optimizer) optimizer_.forget_momentum();
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
