// The order of the augmentation chain.
#include "augment/chain.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace voxgrad::augment {

namespace {
template <class Values, class Apply>
void for_each_channel(const Values& values, Apply&& apply) {
  for (size_t channel = 0; channel < values.size(); ++channel) apply(static_cast<int64_t>(channel), values[channel]);
}
}  // namespace

Sample quarter_turn(const Sample& sample, int64_t turns, const std::array<int64_t, 2>& plane) {
  return {sample.image.rot90(turns, {plane[0] + 1, plane[1] + 1}), sample.segmentation.rot90(turns, plane)};
}

Sample transpose(const Sample& sample, at::IntArrayRef order) {
  std::vector<int64_t> image_order{0};
  for (const int64_t axis : order) image_order.push_back(axis + 1);
  return {sample.image.permute(image_order), sample.segmentation.permute(order)};
}

void apply_intensity(at::Tensor& image, const IntensityParameters& parameters, bool dummy2d, const Address& address,
                     const Flip& flip) {
  const size_t axes = image.dim() - 1;
  const auto noise = [&] {
    if (parameters.noise_deviation > 0) gaussian_noise(image, parameters.noise_deviation, address, flip);
  };
  if (!parameters.noise_after_blur) noise();
  for_each_channel(parameters.median_size, [&](int64_t channel, int64_t size) {
    if (size > 0) median_filter(image, channel, size);
  });
  for_each_channel(parameters.blur_sigma, [&](int64_t channel, const std::array<double, 3>& sigma) {
    if (sigma[0] > 0) gaussian_blur(image, channel, at::ArrayRef<double>(sigma).slice(0, axes));
  });
  if (parameters.noise_after_blur) noise();
  for_each_channel(parameters.brightness, [&](int64_t channel, double factor) { brightness(image, channel, factor); });
  for_each_channel(parameters.additive_brightness, [&](int64_t channel, double shift) {
    if (shift != 0) additive_brightness(image, channel, shift);
  });
  for_each_channel(parameters.contrast, [&](int64_t channel, double factor) {
    if (factor != 0) contrast(image, channel, factor, parameters.contrast_clamped);
  });
  for_each_channel(parameters.low_resolution, [&](int64_t channel, double scale) {
    if (scale > 0) low_resolution(image, channel, scale, dummy2d, flip);
  });
  for_each_channel(parameters.gamma_inverted,
                   [&](int64_t channel, double exponent) { gamma(image, channel, exponent, true); });
  for_each_channel(parameters.second_gamma_inverted,
                   [&](int64_t channel, double exponent) { gamma(image, channel, exponent, true); });
  for_each_channel(parameters.gamma, [&](int64_t channel, double exponent) { gamma(image, channel, exponent, false); });
}

Sample mirror(const Sample& sample, at::IntArrayRef axes) {
  if (axes.empty()) return sample;
  std::vector<int64_t> image_axes;
  for (const int64_t axis : axes) image_axes.push_back(axis + 1);
  return {sample.image.flip(image_axes), sample.segmentation.flip(axes)};
}

void apply_local(at::Tensor& image, const LocalParameters& parameters) {
  for_each_channel(parameters.rectangles, [&](int64_t channel, const std::vector<Rectangle>& rectangles) {
    for (const Rectangle& rectangle : rectangles) blank_rectangle(image, channel, rectangle);
  });
  for_each_channel(parameters.gradient, [&](int64_t channel, const WeightedBump& gradient) {
    if (gradient.value != 0) brightness_gradient(image, channel, gradient.value, gradient.bump);
  });
  for_each_channel(parameters.local_gamma, [&](int64_t channel, const WeightedBump& gamma) {
    if (gamma.value != 0) local_gamma(image, channel, gamma.value, gamma.bump);
  });
  for_each_channel(parameters.sharpening, [&](int64_t channel, double strength) {
    if (strength != 0) sharpening(image, channel, strength);
  });
}

void apply_mask_image(at::Tensor& image, const at::Tensor& segmentation, const std::vector<bool>& mask_image) {
  at::Tensor outside;
  for (size_t channel = 0; channel < mask_image.size(); ++channel) {
    if (!mask_image[channel]) continue;
    if (!outside.defined()) outside = segmentation.lt(0);
    image[static_cast<int64_t>(channel)].masked_fill_(outside, 0);
  }
}

void remove_label(at::Tensor& segmentation) { segmentation.clamp_min_(0); }

bool can_mirror_first(const AugmentationConfig& config) {
  return config.quarterTurnProbability <= 0 && config.transposeProbability <= 0 && config.medianFilterProbability <= 0;
}

bool masks_any(const AugmentationConfig& config) {
  return std::find(config.maskImage.begin(), config.maskImage.end(), true) != config.maskImage.end();
}

at::Tensor exchange_axes(const at::Tensor& labels, const AugmentationConfig& config, const Address& address) {
  const AxisExchange exchange = draw_axis_exchange(config, labels.sizes(), address);
  at::Tensor result = labels;
  if (exchange.turns != 0) result = result.rot90(exchange.turns, exchange.plane);
  return exchange.order.empty() ? result : result.permute(exchange.order);
}

Flip draw_flip(const AugmentationConfig& config, int64_t dimensions, const Address& address) {
  Flip flip{};
  if (!config.enabled) return flip;
  for (const int64_t axis : draw_mirror_axes(config, address)) flip[static_cast<size_t>(3 - dimensions + axis)] = true;
  return flip;
}

Sample augment(Sample sample, const AugmentationConfig& config, const Address& address, const Mirrored& mirrored) {
  if (config.enabled) {
    const std::vector<int64_t> patch_size = sample.segmentation.sizes().vec();
    if (!mirrored.done) {
      const AxisExchange exchange = draw_axis_exchange(config, patch_size, address);
      if (exchange.turns != 0) sample = quarter_turn(sample, exchange.turns, exchange.plane);
      if (!exchange.order.empty()) sample = transpose(sample, exchange.order);
    }
    const IntensityParameters intensity = draw_intensity(config, sample.image.size(0), address);
    if (intensity.acts()) {
      at::Tensor image = sample.image.contiguous();
      apply_intensity(image, intensity, config.dummy2d, address, mirrored.flip);
      if (mirrored.done && !image.is_same(sample.image)) {
        sample.image.copy_(image);
      } else {
        sample.image = image;
      }
    }
    if (!mirrored.done) sample = mirror(sample, draw_mirror_axes(config, address));
    apply_local(sample.image, draw_local(config, sample.image.size(0), patch_size, address));
    apply_mask_image(sample.image, sample.segmentation, config.maskImage);
  }
  if (!mirrored.done || masks_any(config)) remove_label(sample.segmentation);
  return sample;
}

void augment_previous(at::Tensor& previous, const AugmentationConfig& config, const Address& address, int64_t labels) {
  remove_label(previous);
  if (!config.enabled) return;
  apply_previous_stage(previous, draw_previous_stage(config, labels, address), config.previousRemovalShare);
}

}  // namespace voxgrad::augment
