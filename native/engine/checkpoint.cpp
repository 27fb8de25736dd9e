// nnU-Net's checkpoint, written and read: weights under all their names, momentum by parameter index, and what else the
// caller keeps. Source: nnUNetTrainer.save_checkpoint, torch.optim.SGD.state_dict.

#include "engine/trainer.h"
#include "failure.h"
#include "io/torch_file.h"

namespace voxgrad {

namespace {
/// A contiguous copy on the host; keys that share a parameter share it, and so its bytes in the file.
at::Tensor to_host(const at::Tensor& tensor) {
  return tensor.detach().to(at::kCPU).contiguous(at::MemoryFormat::Contiguous).clone();
}

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
}  // namespace

void Trainer::save_checkpoint(const std::string& path, const io::Value& entries, double learning_rate) const {
  std::vector<at::Tensor> tensors;
  for (const auto& parameter : network_.parameters()) tensors.push_back(to_host(parameter.tensor));
  io::OrderedDict weights;
  for (const auto& [name, index] : network_.state_dict_keys()) weights.items.emplace_back(name, io::TorchTensor{tensors[index]});

  io::Dict momentum;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const at::Tensor& buffer = optimizer_.momentum_buffers()[i];
    if (!buffer.defined()) continue;
    momentum.items.emplace_back(static_cast<int64_t>(i), io::Dict{{{"momentum_buffer", io::TorchTensor{to_host(buffer)}}}});
  }
  io::Dict file;
  file.items.emplace_back("network_weights", std::move(weights));
  file.items.emplace_back(
      "optimizer_state",
      io::Dict{{{"state", std::move(momentum)},
                {"param_groups", io::List{{param_group(optimizer_.config(), learning_rate, tensors.size())}}}}});
  for (const auto& entry : entries.as<io::Dict>().items) file.items.push_back(entry);
  io::write_torch_file(path, file);
}

io::Value Trainer::load_checkpoint(const std::string& path, bool optimizer) {
  const io::Value file = io::read_torch_file(path);
  auto misfit = [&path](const std::string& what) { return Failure("ERR_CHECKPOINT", path + ": " + what); };
  const io::Value* weights = file.find("network_weights");
  if (!weights) throw misfit("expected nnU-Net's key network_weights, found none");

  // Everything is checked before anything is changed.
  std::vector<at::Tensor> loaded;
  for (const auto& parameter : network_.parameters()) {
    const io::Value* value = weights->find(parameter.name);
    if (!value || !value->is<io::TorchTensor>()) throw misfit("the weights lack " + parameter.name + ": another network made them");
    const at::Tensor& tensor = value->as<io::TorchTensor>().tensor;
    if (tensor.sizes() != parameter.tensor.sizes()) {
      throw misfit(parameter.name + " has shape " + c10::str(tensor.sizes()) + ", the plans need " + c10::str(parameter.tensor.sizes()));
    }
    if (!tensor.isfinite().all().item<bool>()) throw misfit(parameter.name + " holds values that are not finite");
    loaded.push_back(tensor);
  }
  std::vector<std::pair<size_t, at::Tensor>> momentum;
  if (optimizer) {
    const io::Value& state = file.at("optimizer_state").at("state");
    for (const auto& [key, value] : state.as<io::Dict>().items) {
      const auto index = static_cast<size_t>(key.integer());
      if (index >= loaded.size()) throw misfit("the optimizer's state names parameter " + std::to_string(index) + " of " + std::to_string(loaded.size()));
      const io::Value& buffer = value.at("momentum_buffer");
      if (!buffer.is<io::TorchTensor>()) continue;
      const at::Tensor& tensor = buffer.as<io::TorchTensor>().tensor;
      if (tensor.sizes() != loaded[index].sizes()) throw misfit("the momentum of " + network_.parameters()[index].name + " has another shape");
      momentum.emplace_back(index, tensor);
    }
  }

  at::NoGradGuard no_grad;
  for (size_t i = 0; i < loaded.size(); ++i) at::Tensor(network_.parameters()[i].tensor).copy_(loaded[i]);
  if (optimizer) optimizer_.forget_momentum();
  for (const auto& [index, buffer] : momentum) optimizer_.set_momentum_buffer(index, buffer);

  io::Dict rest;
  for (const auto& entry : file.as<io::Dict>().items) {
    const bool own = entry.first.is<std::string>() && (entry.first.text() == "network_weights" || entry.first.text() == "optimizer_state");
    if (!own) rest.items.push_back(entry);
  }
  return rest;
}

}  // namespace voxgrad
