// The networks: construction in nnU-Net's parameter order, and the forward pass.
#include "engine/network.h"

#include "engine/convolution.h"
#include "failure.h"
#include "kernels/ops.h"

namespace voxgrad {

namespace {

void check(const NetworkConfig& config) {
  const size_t stages = config.featuresPerStage.size();
  auto require = [](bool good, const std::string& message) {
    if (!good) throw Failure("ERR_CONFIG", "network: " + message);
  };
  require(config.architecture == "PlainConvUNet" || config.architecture == "ResidualEncoderUNet",
          "expected PlainConvUNet or ResidualEncoderUNet, found " + config.architecture);
  require(config.dimensions == 2 || config.dimensions == 3, "expected 2 or 3 dimensions");
  require(config.dropoutProbability >= 0 && config.dropoutProbability < 1,
          "expected a dropoutProbability of at least 0 and below 1");
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

Network::Network(const NetworkConfig& config, uint64_t seed, at::Device device)
    : config_(config),
      seed_(seed),
      device_(device),
      ones_(static_cast<size_t>(config.dimensions), 1),
      zeros_(static_cast<size_t>(config.dimensions), 0) {
  check(config);
  add_encoder();
  add_decoder();
  tensors_ = parameters_;
  if (config_.batchNorm) add_statistics();
}

void Network::add_statistics() {
  const auto count = static_cast<int64_t>(norms_.size());
  const auto options = at::TensorOptions().device(device_);
  statistics_ = at::zeros({2, norm_channels_}, options.dtype(at::kFloat));
  statistics_[1].fill_(1);
  batches_seen_ = at::zeros({count}, options.dtype(at::kLong));
  int64_t column = 0;
  for (int64_t norm = 0; norm < count; ++norm) {
    const auto& [name, channels] = norms_[static_cast<size_t>(norm)];
    tensors_.push_back({name + ".running_mean", statistics_[0].narrow(0, column, channels)});
    tensors_.push_back({name + ".running_var", statistics_[1].narrow(0, column, channels)});
    tensors_.push_back({name + ".num_batches_tracked", batches_seen_[norm]});
    column += channels;
  }
}

void Network::add_encoder() {
  const bool residual = config_.architecture == "ResidualEncoderUNet";
  const auto& features = config_.featuresPerStage;
  int64_t channels = config_.inputChannels;
  for (size_t stage = 0; stage < features.size(); ++stage) {
    auto& blocks = encoder_.emplace_back();
    const auto& kernel = config_.kernelSizes[stage];
    if (residual && stage == 0) {
      blocks.push_back(make_conv("encoder.stem.convs.0", channels, features[0], kernel, ones_));
      channels = features[0];
    }
    const std::string prefix = "encoder.stages." + std::to_string(stage);
    for (int64_t block = 0; block < config_.convsPerStage[stage]; ++block) {
      const auto& stride = block == 0 ? config_.strides[stage] : ones_;
      const std::string index = std::to_string(block);
      if (residual) {
        blocks.push_back(make_residual(prefix + ".blocks." + index, channels, features[stage], kernel, stride));
      } else {
        blocks.push_back(make_conv(prefix + ".0.convs." + index, channels, features[stage], kernel, stride));
      }
      channels = features[stage];
    }
  }
}

void Network::add_decoder() {
  const auto& features = config_.featuresPerStage;
  const size_t stages = features.size();
  // Level 0 has the lowest resolution; level l works at the resolution of encoder stage stages - 2 - l.
  for (size_t level = 0; level + 1 < stages; ++level) {
    const size_t stage = stages - 2 - level;
    auto& blocks = decoder_.emplace_back();
    for (int64_t conv = 0; conv < config_.convsPerStageDecoder[level]; ++conv) {
      const std::string prefix = "decoder.stages." + std::to_string(level) + ".convs." + std::to_string(conv);
      const int64_t in = conv == 0 ? 2 * features[stage] : features[stage];
      blocks.push_back(make_conv(prefix, in, features[stage], config_.kernelSizes[stage], ones_));
    }
  }
  for (size_t level = 0; level + 1 < stages; ++level) {
    const size_t stage = stages - 2 - level;
    const std::string prefix = "decoder.transpconvs." + std::to_string(level);
    Convolution up;
    up.stride = config_.strides[stage + 1];
    up.weight =
        add_parameter(prefix + ".weight", draw_weight(weight_shape(features[stage + 1], features[stage], up.stride)));
    if (config_.convBias) up.bias = add_parameter(prefix + ".bias", at::zeros({features[stage]}));
    upsamplings_.push_back(up);
  }
  for (size_t level = 0; level + 1 < stages; ++level) {
    const size_t stage = stages - 2 - level;
    const std::string prefix = "decoder.seg_layers." + std::to_string(level);
    Convolution head;
    head.stride = ones_;
    head.weight =
        add_parameter(prefix + ".weight", draw_weight(weight_shape(config_.outputChannels, features[stage], ones_)));
    head.bias = add_parameter(prefix + ".bias", at::zeros({config_.outputChannels}));
    heads_.push_back(head);
  }
}

size_t Network::add_parameter(const std::string& name, const at::Tensor& tensor) {
  at::Tensor placed = tensor.to(device_);
  if (placed.dim() == config_.dimensions + 2) placed = placed.contiguous(memory_format());
  parameters_.push_back({name, placed.set_requires_grad(true)});
  return parameters_.size() - 1;
}

at::Tensor Network::draw_weight(const std::vector<int64_t>& shape) const {
  at::Tensor weight = at::empty(shape);
  // Dimension 1 is the fan-in also of a transposed convolution, where it holds the output channels: nnU-Net's rule.
  const auto fan_in = static_cast<double>(weight.numel() / shape[0]);
  constexpr double slope = 0.01;  // whatever the activation is
  const double deviation = std::sqrt(2.0 / (1.0 + slope * slope) / fan_in);
  Draw draw({seed_, parameters_.size(), 0}, Purpose::kInitialization);
  float* values = weight.data_ptr<float>();
  for (int64_t i = 0; i < weight.numel(); ++i) values[i] = static_cast<float>(deviation * draw.normal());
  return weight;
}

Network::ConvBlock Network::make_linear(const std::string& prefix, int64_t in, int64_t out,
                                        const std::vector<int64_t>& kernel, const std::vector<int64_t>& stride,
                                        bool bias) {
  ConvBlock block;
  block.prefix = prefix;
  block.stride = stride;
  block.slope = 1;
  for (int64_t extent : kernel) block.padding.push_back((extent - 1) / 2);
  block.weight = add_parameter(prefix + ".conv.weight", draw_weight(weight_shape(out, in, kernel)));
  if (bias) block.bias = add_parameter(prefix + ".conv.bias", at::zeros({out}));
  block.norm_weight = add_parameter(prefix + ".norm.weight", at::ones({out}));
  block.norm_bias = add_parameter(prefix + ".norm.bias", at::zeros({out}));
  block.norm = norms_.size();
  block.norm_column = norm_channels_;
  norms_.emplace_back(prefix + ".norm", out);
  norm_channels_ += out;
  return block;
}

Network::ConvBlock Network::make_conv(const std::string& prefix, int64_t in, int64_t out,
                                      const std::vector<int64_t>& kernel, const std::vector<int64_t>& stride) {
  ConvBlock block = make_linear(prefix, in, out, kernel, stride, config_.convBias);
  block.slope = config_.negativeSlope;
  if (config_.hasDropout) {
    block.dropout = dropout_channels_;
    dropout_channels_ += out;
  }
  return block;
}

Network::ResidualBlock Network::make_residual(const std::string& prefix, int64_t in, int64_t out,
                                              const std::vector<int64_t>& kernel, const std::vector<int64_t>& stride) {
  ResidualBlock block;
  block.first = make_conv(prefix + ".conv1", in, out, kernel, stride);
  block.second = make_linear(prefix + ".conv2", out, out, kernel, ones_, config_.convBias);
  parameters_[block.second.norm_weight].tensor.detach().zero_();
  block.pooled = stride != ones_;
  if (in != out) {
    const std::string position = block.pooled ? "1" : "0";  // behind the pooling
    block.projection = make_linear(prefix + ".skip." + position, in, out, ones_, ones_, /*bias=*/false);
  }
  return block;
}

at::Tensor Network::draw_dropout(const std::vector<Address>& samples) const {
  const double p = config_.dropoutProbability;
  if (dropout_channels_ == 0 || p == 0) return {};
  const auto kept = static_cast<float>(1 / (1 - p));
  at::Tensor factors = at::empty({static_cast<int64_t>(samples.size()), dropout_channels_});
  float* factor = factors.data_ptr<float>();
  for (const Address& sample : samples) {
    Draw draw(sample, Purpose::kDropout);
    for (int64_t channel = 0; channel < dropout_channels_; ++channel) *factor++ = draw.chance(p) ? 0.0f : kept;
  }
  return factors.to(device_);
}

TrainingPass Network::begin_pass(const at::Tensor& dropout) const {
  return {dropout, config_.batchNorm ? statistics_.clone() : at::Tensor()};
}

void Network::end_pass(const TrainingPass& pass, const at::Tensor& unchanged) const {
  if (!config_.batchNorm) return;
  const at::Tensor moved = unchanged.eq(0);
  at::Tensor(statistics_).copy_(at::where(moved, pass.statistics, statistics_));
  at::Tensor(batches_seen_).add_(moved);
}

at::MemoryFormat Network::memory_format() const {
  return config_.dimensions == 3 ? at::MemoryFormat::ChannelsLast3d : at::MemoryFormat::ChannelsLast;
}

at::Tensor Network::apply(const ConvBlock& block, const at::Tensor& x, const TrainingPass* pass,
                          const at::Tensor& skip) const {
  // In front of an instance norm the convolution's bias is left out: the norm subtracts each channel's mean and so
  // cancels it exactly. The parameter exists and is saved as in nnU-Net. Batch norm's running mean contains it.
  std::optional<at::Tensor> added;
  if (config_.batchNorm && block.bias) added = parameters_[*block.bias].tensor;
  const at::Tensor& kernel = parameters_[block.weight].tensor;
  const ConvolutionRules rules = {block.stride, block.padding};
  at::Tensor y =
      skip.defined() ? convolution_of_two(x, skip, kernel, added, rules) : convolution(x, kernel, added, rules);
  if (block.dropout && pass != nullptr && pass->dropout.defined()) {
    std::vector<int64_t> channels(static_cast<size_t>(y.dim()), 1);
    channels[0] = y.size(0), channels[1] = y.size(1);
    y.mul_(pass->dropout.narrow(1, *block.dropout, y.size(1)).reshape(channels).to(y.scalar_type()));
  }
  if (config_.batchNorm) return batch_norm(block, y, pass);
  const at::Tensor &weight = parameters_[block.norm_weight].tensor, &bias = parameters_[block.norm_bias].tensor;
  return instance_norm_leaky_relu_(y.contiguous(memory_format()), weight, bias, config_.normEps, block.slope,
                                   /*keep_input=*/block.slope == 1);
}

at::Tensor Network::batch_norm(const ConvBlock& block, const at::Tensor& x, const TrainingPass* pass) const {
  const at::Tensor &weight = parameters_[block.norm_weight].tensor, &bias = parameters_[block.norm_bias].tensor;
  // Each a tensor of its own for autograd, which would take another norm's update for a change of what it has saved.
  const at::Tensor& statistics = pass == nullptr ? statistics_ : pass->statistics;
  const auto row = [&](int64_t index) {
    return statistics[index].narrow(0, block.norm_column, weight.size(0)).variable_data();
  };
  at::Tensor y = at::batch_norm(x, weight, bias, row(0), row(1), pass != nullptr, /*momentum=*/0.1, config_.normEps,
                                /*cudnn_enabled=*/true);
  return block.slope == 1 ? y : at::leaky_relu_(y, block.slope);
}

at::Tensor Network::apply(const ResidualBlock& block, const at::Tensor& x, const TrainingPass* pass) const {
  at::Tensor skip = x;
  if (block.pooled) {
    const auto& stride = block.first.stride;
    skip = config_.dimensions == 3 ? at::avg_pool3d(x, stride, stride) : at::avg_pool2d(x, stride, stride);
    skip = skip.contiguous(memory_format());
  }
  if (block.projection) skip = apply(*block.projection, skip, pass);
  at::Tensor y = apply(block.second, apply(block.first, x, pass), pass);
  return at::leaky_relu_(y.add_(skip), config_.negativeSlope);
}

std::vector<at::Tensor> Network::forward(const at::Tensor& image, const std::vector<bool>& wanted,
                                         const TrainingPass* pass) const {
  auto bias_of = [this](const Convolution& convolution) -> std::optional<at::Tensor> {
    if (!convolution.bias) return std::nullopt;
    return parameters_[*convolution.bias].tensor;
  };
  std::vector<at::Tensor> skips;
  at::Tensor x = image.contiguous(memory_format());
  for (const auto& stage : encoder_) {
    for (const Block& block : stage) x = std::visit([&](const auto& b) { return apply(b, x, pass); }, block);
    skips.push_back(x);
  }
  const size_t levels = decoder_.size();
  std::vector<at::Tensor> logits(levels);
  for (size_t level = 0; level < levels; ++level) {
    const size_t output = levels - 1 - level;
    const Convolution &up = upsamplings_[level], &head = heads_[level];
    x = convolution(x, parameters_[up.weight].tensor, bias_of(up), {up.stride, zeros_, /*transposed=*/true});
    for (const auto& block : decoder_[level]) x = apply(block, x, pass, std::exchange(skips[output], at::Tensor()));
    if (!wanted[output]) continue;
    logits[output] = convolution(x, parameters_[head.weight].tensor, bias_of(head), {ones_, zeros_});
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
  auto add_conv = [&](const std::string& owner, const ConvBlock& block) {
    const std::string prefix = owner + block.prefix;
    const std::string behind_conv = block.dropout ? ".all_modules.2" : ".all_modules.1";
    for (const auto& [conv, norm] : {std::pair{".conv", std::string(".norm")}, {".all_modules.0", behind_conv}}) {
      keys.emplace_back(prefix + conv + ".weight", block.weight);
      if (block.bias) keys.emplace_back(prefix + conv + ".bias", *block.bias);
      keys.emplace_back(prefix + norm + ".weight", block.norm_weight);
      keys.emplace_back(prefix + norm + ".bias", block.norm_bias);
      if (!config_.batchNorm) continue;
      const size_t first = parameters_.size() + 3 * block.norm;
      keys.emplace_back(prefix + norm + ".running_mean", first);
      keys.emplace_back(prefix + norm + ".running_var", first + 1);
      keys.emplace_back(prefix + norm + ".num_batches_tracked", first + 2);
    }
  };
  for (const std::string owner : {"", "decoder."}) {
    for (const auto& stage : encoder_) {
      for (const Block& block : stage) {
        if (const auto* conv = std::get_if<ConvBlock>(&block)) {
          add_conv(owner, *conv);
          continue;
        }
        const auto& residual = std::get<ResidualBlock>(block);
        add_conv(owner, residual.first);
        add_conv(owner, residual.second);
        if (residual.projection) add_conv(owner, *residual.projection);
      }
    }
  }
  for (const auto& stage : decoder_) {
    for (const auto& block : stage) add_conv("", block);
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
