// The weights of another run with this network's own segmentation layers.
#include "addon/pretrained.h"

#include <algorithm>
#include <vector>

#include "engine/weights.h"
#include "failure.h"

namespace voxgrad::addon {

namespace {

constexpr size_t longest_list = 10;

std::string list_of(const std::vector<std::string>& faults) {
  std::string text;
  for (size_t i = 0; i < std::min(faults.size(), longest_list); ++i) text += "\n  " + faults[i];
  if (faults.size() > longest_list) text += "\n  and " + std::to_string(faults.size() - longest_list) + " more";
  return text;
}

}  // namespace

void load_pretrained(const Network& network, const std::string& path) {
  const io::Value file = io::read_torch_file(path);
  const io::Value* weights = file.is<io::Dict>() ? file.find("network_weights") : nullptr;
  if (weights == nullptr)
    throw Failure("ERR_CHECKPOINT", path + ": expected nnU-Net's key network_weights, found none");
  io::OrderedDict merged;
  std::vector<std::string> faults;
  for (const auto& [name, tensor] : network.tensors()) {
    const bool is_head = name.find(".seg_layers.") != std::string::npos;
    const io::Value* found = weights->find(name);
    if (is_head) {
      merged.items.emplace_back(name, io::TorchTensor{to_host(tensor)});
    } else if (found == nullptr || !found->is<io::TorchTensor>()) {
      faults.push_back(name + " is missing");
    } else if (const auto sizes = found->as<io::TorchTensor>().tensor.sizes(); sizes != tensor.sizes()) {
      faults.push_back(name + " has shape " + c10::str(sizes) + ", the plans need " + c10::str(tensor.sizes()));
    } else {
      merged.items.emplace_back(name, *found);
    }
  }
  if (const std::string extra = unexpected_statistics(network, *weights); !extra.empty())
    faults.push_back(extra + " is of batch norm, the network has instance norm");
  if (!faults.empty())
    throw Failure("ERR_CHECKPOINT_MISFIT",
                  path + ": its weights do not fit the network of the plans, so that no training can start from them:" +
                      list_of(faults) +
                      "; train both with the same plans, where only the segmentation layers may differ");
  load_weights(network, io::Dict{{{"network_weights", std::move(merged)}}}, path);
}

}  // namespace voxgrad::addon
