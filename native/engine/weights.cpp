// State dict of a network.
#include "engine/weights.h"

#include "failure.h"

namespace voxgrad {

at::Tensor to_host(const at::Tensor& tensor) {
  return at::empty(tensor.sizes(), tensor.scalar_type()).copy_(tensor.detach());
}

io::OrderedDict state_dict(const Network& network) {
  std::vector<at::Tensor> tensors;
  for (const auto& parameter : network.parameters()) tensors.push_back(to_host(parameter.tensor));
  io::OrderedDict weights;
  for (const auto& [name, index] : network.state_dict_keys())
    weights.items.emplace_back(name, io::TorchTensor{tensors[index]});
  return weights;
}

std::vector<at::Tensor> find_weights(const Network& network, const io::Value& file, const std::string& path) {
  auto misfit = [&path](const std::string& what) { return Failure("ERR_CHECKPOINT", path + ": " + what); };
  const io::Value* weights = file.find("network_weights");
  if (!weights) throw misfit("expected nnU-Net's key network_weights, found none");
  std::vector<at::Tensor> found;
  for (const auto& parameter : network.parameters()) {
    const io::Value* value = weights->find(parameter.name);
    if (!value || !value->is<io::TorchTensor>())
      throw misfit("the weights lack " + parameter.name + ": another network made them");
    const at::Tensor& tensor = value->as<io::TorchTensor>().tensor;
    if (tensor.sizes() != parameter.tensor.sizes()) {
      throw misfit(parameter.name + " has shape " + c10::str(tensor.sizes()) + ", the plans need " +
                   c10::str(parameter.tensor.sizes()));
    }
    if (!tensor.isfinite().all().item<bool>()) throw misfit(parameter.name + " holds values that are not finite");
    found.push_back(tensor);
  }
  return found;
}

void load_weights(const Network& network, const io::Value& file, const std::string& path) {
  const auto weights = find_weights(network, file, path);
  at::NoGradGuard no_grad;
  for (size_t i = 0; i < weights.size(); ++i) at::Tensor(network.parameters()[i].tensor).copy_(weights[i]);
}

}  // namespace voxgrad
