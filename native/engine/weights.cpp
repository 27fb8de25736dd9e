// State dict of a network.
#include "engine/weights.h"

#include <algorithm>

#include "failure.h"

namespace voxgrad {

at::Tensor to_host(const at::Tensor& tensor) {
  return at::empty(tensor.sizes(), tensor.scalar_type()).copy_(tensor.detach());
}

io::OrderedDict state_dict(const Network& network) {
  std::vector<at::Tensor> tensors;
  for (const auto& [name, tensor] : network.tensors()) tensors.push_back(to_host(tensor));
  io::OrderedDict weights;
  for (const auto& [name, index] : network.state_dict_keys())
    weights.items.emplace_back(name, io::TorchTensor{tensors[index]});
  return weights;
}

std::string unexpected_statistics(const Network& network, const io::Value& weights) {
  if (network.config().batchNorm || !weights.is<io::OrderedDict>()) return {};
  const auto& items = weights.as<io::OrderedDict>().items;
  const auto found = std::find_if(items.begin(), items.end(), [](const auto& item) {
    return item.first.template is<std::string>() && item.first.text().ends_with(".running_mean");
  });
  return found == items.end() ? std::string() : found->first.text();
}

std::vector<at::Tensor> find_weights(const Network& network, const io::Value& file, const std::string& path) {
  auto misfit = [&path](const std::string& what) { return Failure("ERR_CHECKPOINT_MISFIT", path + ": " + what); };
  const io::Value* weights = file.find("network_weights");
  if (!weights) throw Failure("ERR_CHECKPOINT", path + ": expected nnU-Net's key network_weights, found none");
  std::vector<at::Tensor> found;
  for (const auto& [name, target] : network.tensors()) {
    const io::Value* value = weights->find(name);
    if (!value || !value->is<io::TorchTensor>())
      throw misfit("the weights lack " + name + ": another network made them");
    const at::Tensor& tensor = value->as<io::TorchTensor>().tensor;
    if (tensor.sizes() != target.sizes()) {
      throw misfit(name + " has shape " + c10::str(tensor.sizes()) + ", the plans need " + c10::str(target.sizes()));
    }
    if (!tensor.isfinite().all().item<bool>())
      throw Failure("ERR_CHECKPOINT", path + ": " + name + " holds values that are not finite");
    found.push_back(tensor);
  }
  if (const std::string extra = unexpected_statistics(network, *weights); !extra.empty())
    throw misfit("the weights have " + extra + " of batch norm, the network has instance norm");
  return found;
}

void load_weights(const Network& network, const io::Value& file, const std::string& path) {
  const auto weights = find_weights(network, file, path);
  at::NoGradGuard no_grad;
  for (size_t i = 0; i < weights.size(); ++i) at::Tensor(network.tensors()[i].tensor).copy_(weights[i]);
}

}  // namespace voxgrad
