// A network's weights in nnU-Net's state dict, out and in.
#pragma once
#include "engine/network.h"
#include "io/torch_file.h"

namespace voxgrad {

/// The state dict under all of nnU-Net's names; those of one parameter share one tensor on the host.
io::OrderedDict state_dict(const Network& network);

/// The tensors of `file`'s network_weights in the order of network.tensors(), checked: names, shapes, finite values.
/// Throws Failure(ERR_CHECKPOINT) that names `path` and the tensor.
std::vector<at::Tensor> find_weights(const Network& network, const io::Value& file, const std::string& path);

/// The name of a running statistic among `weights` if the network has instance norm; else nothing.
std::string unexpected_statistics(const Network& network, const io::Value& weights);

/// Copies them into the network.
void load_weights(const Network& network, const io::Value& file, const std::string& path);

/// A contiguous copy on the host.
at::Tensor to_host(const at::Tensor& tensor);

}  // namespace voxgrad
