// PlainConvUNet in 2D and 3D, with nnU-Net's parameter names, order and initialization.
// Source: dynamic_network_architectures (PlainConvUNet, PlainConvEncoder, UNetDecoder, ConvDropoutNormReLU).
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "engine/config.h"

namespace voxgrad {

/// A parameter with its name in nnU-Net's state dict, as `network.named_parameters()` lists it.
struct Parameter {
  std::string name;
  at::Tensor tensor;
};

class Network {
 public:
  /// Builds the network on a device. Weights are Kaiming normal with the leaky ReLU's slope (fan-in; nnU-Net's
  /// InitWeights_He), biases 0, norm weights 1, drawn from `seed` alone.
  /// Throws Failure(ERR_CONFIG) if the lists do not fit together.
  Network(const NetworkConfig& config, uint64_t seed, at::Device device);

  /// `image` is (B, C, D, H, W) or (B, C, H, W). Returns one tensor of logits per wanted head, highest resolution
  /// first; head i is computed only if `wanted[i]`, else its place holds an undefined tensor. There are stages - 1
  /// heads.
  std::vector<at::Tensor> forward(const at::Tensor& image, const std::vector<bool>& wanted) const;
  /// The logits at full resolution alone.
  at::Tensor forward(const at::Tensor& image) const;

  /// Every distinct parameter in nnU-Net's order (the optimizer's indices).
  const std::vector<Parameter>& parameters() const { return parameters_; }

  /// Names in nnU-Net's state dict, in order, with the index of the parameter each one holds: nnU-Net registers every
  /// conv block's tensors twice and the encoder once more below the decoder.
  std::vector<std::pair<std::string, size_t>> state_dict_keys() const;

  /// Number of deep-supervision outputs.
  size_t head_count() const { return heads_.size(); }
  const NetworkConfig& config() const { return config_; }
  at::Device device() const { return device_; }
  /// Layout of images and weights: channels-last on the CPU, where its convolutions are fastest; contiguous elsewhere.
  at::MemoryFormat memory_format() const;

 private:
  // Indices into parameters_: the tensors of one ConvDropoutNormReLU.
  struct ConvBlock {
    std::string prefix;
    size_t weight, norm_weight, norm_bias;
    std::optional<size_t> bias;
    std::vector<int64_t> stride, padding;
  };
  struct Convolution {
    size_t weight;
    std::optional<size_t> bias;
    std::vector<int64_t> stride;
  };

  size_t add_parameter(const std::string& name, const at::Tensor& tensor);
  at::Tensor draw_weight(const std::vector<int64_t>& shape, uint64_t seed) const;
  ConvBlock make_block(const std::string& prefix, int64_t in, int64_t out, const std::vector<int64_t>& kernel,
                       const std::vector<int64_t>& stride, uint64_t seed);
  at::Tensor apply(const ConvBlock& block, const at::Tensor& x) const;

  NetworkConfig config_;
  at::Device device_;
  std::vector<Parameter> parameters_;
  std::vector<std::vector<ConvBlock>> encoder_, decoder_;
  std::vector<Convolution> upsamplings_, heads_;  // lowest resolution first, as nnU-Net numbers them
};

}  // namespace voxgrad
