// PlainConvUNet and ResidualEncoderUNet in 2D and 3D, with nnU-Net's parameter names, order and initialization.
// Source: dynamic_network_architectures (PlainConvUNet, ResidualEncoderUNet, PlainConvEncoder, ResidualEncoder,
// BasicBlockD, UNetDecoder, ConvDropoutNormReLU, InitWeights_He, init_last_bn_before_add_to_0).
#pragma once
#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "engine/config.h"
#include "kernels/draw.h"

namespace voxgrad {

/// A parameter with its name in nnU-Net's state dict, as `network.named_parameters()` lists it.
struct Parameter {
  std::string name;
  at::Tensor tensor;
};

/// What one training step gives its forward pass, apart from the batch. Without one, forward() evaluates.
struct TrainingPass {
  /// What channels are multiplied with, (B, channels of all dropout layers in order): 0 with the dropout's probability
  /// p, else 1 / (1 - p). Undefined where nothing is dropped.
  at::Tensor dropout;
  /// Batch norm's running means and variances, (2, channels of all norms in order), which the forward pass moves on;
  /// undefined with instance norm.
  at::Tensor statistics;
};

class Network {
 public:
  /// Builds the network on a device. Weights are Kaiming normal for a leaky ReLU of slope 0.01 (fan-in), biases 0, norm
  /// weights 1 but 0 in the last norm of a residual block, which so starts as its skip; drawn from `seed` alone.
  /// Throws Failure(ERR_CONFIG) if the lists do not fit together.
  Network(const NetworkConfig& config, uint64_t seed, at::Device device);

  /// `image` is (B, C, D, H, W) or (B, C, H, W). Returns one tensor of logits per wanted head, highest resolution
  /// first; head i is computed only if `wanted[i]`, else its place holds an undefined tensor. There are stages - 1
  /// heads. Without a training pass nothing is dropped, and batch norm takes its running statistics.
  std::vector<at::Tensor> forward(const at::Tensor& image, const std::vector<bool>& wanted,
                                  const TrainingPass* pass = nullptr) const;
  /// The logits at full resolution alone.
  at::Tensor forward(const at::Tensor& image) const;

  /// TrainingPass::dropout for a batch, with one address a sample; on the device.
  at::Tensor draw_dropout(const std::vector<Address>& samples) const;
  /// A training step's pass, and its end: the running statistics become those of the pass,
  /// unless `unchanged` (0-dimensional, on the device) is 1.
  TrainingPass begin_pass(const at::Tensor& dropout) const;
  void end_pass(const TrainingPass& pass, const at::Tensor& unchanged) const;

  /// Every distinct parameter in nnU-Net's order (the optimizer's indices).
  const std::vector<Parameter>& parameters() const { return parameters_; }
  /// All that a checkpoint holds: the parameters, and behind them of every batch norm running_mean, running_var and
  /// num_batches_tracked.
  const std::vector<Parameter>& tensors() const { return tensors_; }

  /// Names in nnU-Net's state dict, in order, with the index in tensors() that each one holds: nnU-Net registers every
  /// conv block's tensors twice and the encoder once more below the decoder.
  std::vector<std::pair<std::string, size_t>> state_dict_keys() const;

  /// Number of deep-supervision outputs.
  size_t head_count() const { return heads_.size(); }
  const NetworkConfig& config() const { return config_; }
  at::Device device() const { return device_; }
  /// Layout of images, weights and activations: channels-last.
  at::MemoryFormat memory_format() const;

 private:
  // One ConvDropoutNormReLU: indices into parameters_.
  struct ConvBlock {
    std::string prefix;
    size_t weight, norm_weight, norm_bias, norm;  // norm: its number
    int64_t norm_column;                          // in the running statistics
    std::optional<size_t> bias;
    std::vector<int64_t> stride, padding;
    std::optional<int64_t> dropout;  // its first column in TrainingPass::dropout
    double slope;                    // of the leaky ReLU; 1: none
  };
  // One BasicBlockD: two convolutions, added to a skip that is pooled and projected where the extents or the number of
  // channels change.
  struct ResidualBlock {
    ConvBlock first, second;
    bool pooled;
    std::optional<ConvBlock> projection;
  };
  using Block = std::variant<ConvBlock, ResidualBlock>;
  struct Convolution {
    size_t weight;
    std::optional<size_t> bias;
    std::vector<int64_t> stride;
  };

  size_t add_parameter(const std::string& name, const at::Tensor& tensor);
  at::Tensor draw_weight(const std::vector<int64_t>& shape) const;
  void add_encoder();
  void add_decoder();
  void add_statistics();
  ConvBlock make_conv(const std::string& prefix, int64_t in, int64_t out, const std::vector<int64_t>& kernel,
                      const std::vector<int64_t>& stride);
  // The same without dropout and activation.
  ConvBlock make_linear(const std::string& prefix, int64_t in, int64_t out, const std::vector<int64_t>& kernel,
                        const std::vector<int64_t>& stride, bool bias);
  ResidualBlock make_residual(const std::string& prefix, int64_t in, int64_t out, const std::vector<int64_t>& kernel,
                              const std::vector<int64_t>& stride);
  // With a skip, of x and the skip's channels behind it.
  at::Tensor apply(const ConvBlock& block, const at::Tensor& x, const TrainingPass* pass,
                   const at::Tensor& skip = {}) const;
  at::Tensor apply(const ResidualBlock& block, const at::Tensor& x, const TrainingPass* pass) const;
  // With the leaky ReLU behind it.
  at::Tensor batch_norm(const ConvBlock& block, const at::Tensor& x, const TrainingPass* pass) const;

  NetworkConfig config_;
  uint64_t seed_;
  at::Device device_;
  std::vector<int64_t> ones_, zeros_;  // one entry a dimension
  int64_t dropout_channels_ = 0;
  std::vector<Parameter> parameters_, tensors_;
  std::vector<std::pair<std::string, int64_t>> norms_;  // name and channels of each
  int64_t norm_channels_ = 0;
  at::Tensor statistics_, batches_seen_;     // of batch norm: see TrainingPass, and one count a norm
  std::vector<std::vector<Block>> encoder_;  // the stem is the first block of the first stage
  std::vector<std::vector<ConvBlock>> decoder_;
  std::vector<Convolution> upsamplings_, heads_;  // lowest resolution first, as nnU-Net numbers them
};

}  // namespace voxgrad
