// PlainConvUNet: construction in nnU-Net's parameter order, and the forward pass.
#include "engine/network.h"

#include "failure.h"
#include "kernels/draw.h"
#include "kernels/instance_norm.h"

namespace voxgrad {

namespace {

void check(const NetworkConfig& config) {
  const size_t stages = config.featuresPerStage.size();
  auto require = [](bool good, const std::string& message) {
    if (!good) throw Failure("ERR_CONFIG", "network: " + message);
  };
  require(config.architecture == "PlainConvUNet", "expected PlainConvUNet, found " + config.architecture);
  require(config.dimensions == 2 || config.dimensions == 3, "expected 2 or 3 dimensions");
  require(stages >= 2, "expected at least 2 stages, found " + std::to_string(stages));
  require(
      config.kernelSizes.size() == stages && config.strides.size() == stages && config.convsPerStage.size() == stages,
      "kernelSizes, strides and convsPerStage need one entry a stage");
  require(config.convsPerStageDecoder.size() == stages - 1, "convsPerStageDecoder needs one entry a decoder stage");
  for (size_t stage = 0; stage < stages; ++stage) {
    const auto extents = static_cast<size_t>(config.dimensions);
    require(config.kernelSizes[stage].size() == extents && config.strides[stage].size() == extents,
            "kernel size and stride of stage " + std::to_string(stage) + " need one extent a dimension");
  }
}

std::vector<int64_t> weight_shape(int64_t first, int64_t second, const std::vector<int64_t>& kernel) {
  std::vector<int64_t> shape = {first, second};
  shape.insert(shape.end(), kernel.begin(), kernel.end());
  return shape;
}

}  // namespace

Network::Network(const NetworkConfig& config, uint64_t seed, at::Device device) : config_(config), device_(device) {
  check(config);
  const auto& features = config.featuresPerStage;
  const size_t stages = features.size();
  const std::vector<int64_t> ones(static_cast<size_t>(config.dimensions), 1);

  int64_t channels = config.inputChannels;
  for (size_t stage = 0; stage < stages; ++stage) {
    auto& blocks = encoder_.emplace_back();
    for (int64_t conv = 0; conv < config.convsPerStage[stage]; ++conv) {
      const std::string prefix = "encoder.stages." + std::to_string(stage) + ".0.convs." + std::to_string(conv);
      const auto& stride = conv == 0 ? config.strides[stage] : ones;
      blocks.push_back(make_block(prefix, channels, features[stage], config.kernelSizes[stage], stride, seed));
      channels = features[stage];
    }
  }
  // Decoder level 0 has the lowest resolution; level l works at the resolution of encoder stage stages - 2 - l.
  for (size_t level = 0; level + 1 < stages; ++level) {
    const size_t stage = stages - 2 - level;
    auto& blocks = decoder_.emplace_back();
    for (int64_t conv = 0; conv < config.convsPerStageDecoder[level]; ++conv) {
      const std::string prefix = "decoder.stages." + std::to_string(level) + ".convs." + std::to_string(conv);
      const int64_t in = conv == 0 ? 2 * features[stage] : features[stage];
      blocks.push_back(make_block(prefix, in, features[stage], config.kernelSizes[stage], ones, seed));
    }
  }
  for (size_t level = 0; level + 1 < stages; ++level) {
    const size_t stage = stages - 2 - level;
    const std::string prefix = "decoder.transpconvs." + std::to_string(level);
    const auto& stride = config.strides[stage + 1];
    Convolution up;
    up.stride = stride;
    up.weight = add_parameter(prefix + ".weight",
                              draw_weight(weight_shape(features[stage + 1], features[stage], stride), seed));
    if (config.convBias) up.bias = add_parameter(prefix + ".bias", at::zeros({features[stage]}));
    upsamplings_.push_back(up);
  }
  for (size_t level = 0; level + 1 < stages; ++level) {
    const size_t stage = stages - 2 - level;
    const std::string prefix = "decoder.seg_layers." + std::to_string(level);
    Convolution head;
    head.stride = ones;
    head.weight = add_parameter(prefix + ".weight",
                                draw_weight(weight_shape(config.outputChannels, features[stage], ones), seed));
    head.bias = add_parameter(prefix + ".bias", at::zeros({config.outputChannels}));
    heads_.push_back(head);
  }
}

size_t Network::add_parameter(const std::string& name, const at::Tensor& tensor) {
  at::Tensor placed = tensor.to(device_);
  if (placed.dim() == config_.dimensions + 2) placed = placed.contiguous(memory_format());
  parameters_.push_back({name, placed.set_requires_grad(true)});
  return parameters_.size() - 1;
}

at::Tensor Network::draw_weight(const std::vector<int64_t>& shape, uint64_t seed) const {
  at::Tensor weight = at::empty(shape);
  // Dimension 1 is the fan-in also of a transposed convolution, where it holds the output channels: nnU-Net's rule.
  const auto fan_in = static_cast<double>(weight.numel() / shape[0]);
  const double slope = config_.negativeSlope;
  const double deviation = std::sqrt(2.0 / (1.0 + slope * slope) / fan_in);
  Draw draw({seed, parameters_.size(), 0}, Purpose::kInitialization);
  float* values = weight.data_ptr<float>();
  for (int64_t i = 0; i < weight.numel(); ++i) values[i] = static_cast<float>(deviation * draw.normal());
  return weight;
}

Network::ConvBlock Network::make_block(const std::string& prefix, int64_t in, int64_t out,
                                       const std::vector<int64_t>& kernel, const std::vector<int64_t>& stride,
                                       uint64_t seed) {
  ConvBlock block;
  block.prefix = prefix;
  block.stride = stride;
  for (int64_t extent : kernel) block.padding.push_back((extent - 1) / 2);
  block.weight = add_parameter(prefix + ".conv.weight", draw_weight(weight_shape(out, in, kernel), seed));
  if (config_.convBias) block.bias = add_parameter(prefix + ".conv.bias", at::zeros({out}));
  block.norm_weight = add_parameter(prefix + ".norm.weight", at::ones({out}));
  block.norm_bias = add_parameter(prefix + ".norm.bias", at::zeros({out}));
  return block;
}

at::MemoryFormat Network::memory_format() const {
  if (!device_.is_cpu()) return at::MemoryFormat::Contiguous;
  return config_.dimensions == 3 ? at::MemoryFormat::ChannelsLast3d : at::MemoryFormat::ChannelsLast;
}

at::Tensor Network::apply(const ConvBlock& block, const at::Tensor& x) const {
  const std::vector<int64_t> ones(block.stride.size(), 1), zeros(block.stride.size(), 0);
  // The convolution's bias is left out: the norm subtracts each channel's mean and so cancels it exactly. The parameter
  // exists, decays and is saved as in nnU-Net.
  at::Tensor y =
      at::convolution(x, parameters_[block.weight].tensor, {}, block.stride, block.padding, ones, false, zeros, 1);
  const at::Tensor &weight = parameters_[block.norm_weight].tensor, &bias = parameters_[block.norm_bias].tensor;
  if (device_.is_cpu()) {
    return instance_norm_leaky_relu(y.contiguous(memory_format()), weight, bias, config_.normEps,
                                    config_.negativeSlope);
  }
  y = at::instance_norm(y, weight, bias, {}, {}, true, 0.1, config_.normEps, true);
  return at::leaky_relu_(y, config_.negativeSlope);
}

std::vector<at::Tensor> Network::forward(const at::Tensor& image, const std::vector<bool>& wanted) const {
  const std::vector<int64_t> ones(static_cast<size_t>(config_.dimensions), 1), zeros(ones.size(), 0);
  auto bias_of = [this](const Convolution& convolution) -> std::optional<at::Tensor> {
    if (!convolution.bias) return std::nullopt;
    return parameters_[*convolution.bias].tensor;
  };
  std::vector<at::Tensor> skips;
  at::Tensor x = image.contiguous(memory_format());
  for (const auto& stage : encoder_) {
    for (const auto& block : stage) x = apply(block, x);
    skips.push_back(x);
  }
  const size_t levels = decoder_.size();
  std::vector<at::Tensor> logits(levels);
  for (size_t level = 0; level < levels; ++level) {
    const size_t output = levels - 1 - level;
    const Convolution &up = upsamplings_[level], &head = heads_[level];
    x = at::convolution(x, parameters_[up.weight].tensor, bias_of(up), up.stride, zeros, ones, true, zeros, 1);
    x = at::cat({x, skips[output]}, 1);
    for (const auto& block : decoder_[level]) x = apply(block, x);
    if (!wanted[output]) continue;
    logits[output] =
        at::convolution(x, parameters_[head.weight].tensor, bias_of(head), ones, zeros, ones, false, zeros, 1);
  }
  return logits;
}

at::Tensor Network::forward(const at::Tensor& image) const {
  std::vector<bool> wanted(head_count(), false);
  wanted[0] = true;
  return forward(image, wanted)[0];
}

std::vector<std::pair<std::string, size_t>> Network::state_dict_keys() const {
  std::vector<std::pair<std::string, size_t>> keys;
  auto add_block = [&](const std::string& owner, const ConvBlock& block) {
    const std::string prefix = owner + block.prefix;
    for (const auto& [conv, norm] : {std::pair{".conv", ".norm"}, std::pair{".all_modules.0", ".all_modules.1"}}) {
      keys.emplace_back(prefix + conv + ".weight", block.weight);
      if (block.bias) keys.emplace_back(prefix + conv + ".bias", *block.bias);
      keys.emplace_back(prefix + norm + ".weight", block.norm_weight);
      keys.emplace_back(prefix + norm + ".bias", block.norm_bias);
    }
  };
  for (const std::string owner : {"", "decoder."}) {
    for (const auto& stage : encoder_) {
      for (const auto& block : stage) add_block(owner, block);
    }
  }
  for (const auto& stage : decoder_) {
    for (const auto& block : stage) add_block("", block);
  }
  for (const auto* list : {&upsamplings_, &heads_}) {
    for (const auto& convolution : *list) {
      keys.emplace_back(parameters_[convolution.weight].name, convolution.weight);
      if (convolution.bias) keys.emplace_back(parameters_[*convolution.bias].name, *convolution.bias);
    }
  }
  return keys;
}

}  // namespace voxgrad
