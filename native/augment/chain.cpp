// The order of the augmentation chain.
#include "augment/chain.h"

#include <ATen/ATen.h>

namespace voxgrad::augment {

namespace {
template <class Values, class Apply>
void for_each_channel(const Values& values, Apply&& apply) {
  for (size_t channel = 0; channel < values.size(); ++channel) apply(static_cast<int64_t>(channel), values[channel]);
}
template <class Apply>
at::Tensor if_defined(const at::Tensor& tensor, Apply&& apply) {
  return tensor.defined() ? apply(tensor) : tensor;
}
}  // namespace

Sample quarter_turn(const Sample& sample, int64_t turns, const std::array<int64_t, 2>& plane) {
  const auto turn = [&](const at::Tensor& labels) { return labels.rot90(turns, plane); };
  return {sample.image.rot90(turns, {plane[0] + 1, plane[1] + 1}), turn(sample.segmentation),
          if_defined(sample.previous, turn)};
}

Sample transpose(const Sample& sample, at::IntArrayRef order) {
  std::vector<int64_t> image_order{0};
  for (const int64_t axis : order) image_order.push_back(axis + 1);
  const auto permute = [&](const at::Tensor& labels) { return labels.permute(order); };
  return {sample.image.permute(image_order), permute(sample.segmentation), if_defined(sample.previous, permute)};
}

void apply_intensity(at::Tensor& image, const IntensityParameters& parameters, bool dummy2d, const Address& address) {
  const size_t axes = image.dim() - 1;
  const auto noise = [&] {
    if (parameters.noise_deviation > 0) gaussian_noise(image, parameters.noise_deviation, address);
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
    if (scale > 0) low_resolution(image, channel, scale, dummy2d);
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
  const auto flip = [&](const at::Tensor& labels) { return labels.flip(axes); };
  return {sample.image.flip(image_axes), flip(sample.segmentation), if_defined(sample.previous, flip)};
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

Sample augment(Sample sample, const AugmentationConfig& config, const Address& address, int64_t previous_labels) {
  if (config.enabled) {
    const std::vector<int64_t> patch_size = sample.segmentation.sizes().vec();
    const AxisExchange exchange = draw_axis_exchange(config, patch_size, address);
    if (exchange.turns != 0) sample = quarter_turn(sample, exchange.turns, exchange.plane);
    if (!exchange.order.empty()) sample = transpose(sample, exchange.order);
    sample.image = sample.image.contiguous();
    apply_intensity(sample.image, draw_intensity(config, sample.image.size(0), address), config.dummy2d, address);
    sample = mirror(sample, draw_mirror_axes(config, address));
    apply_local(sample.image, draw_local(config, sample.image.size(0), patch_size, address));
    apply_mask_image(sample.image, sample.segmentation, config.maskImage);
  }
  remove_label(sample.segmentation);
  if (sample.previous.defined()) {
    sample.previous = sample.previous.contiguous();
    remove_label(sample.previous);
    if (config.enabled) {
      apply_previous_stage(sample.previous, draw_previous_stage(config, previous_labels, address),
                           config.previousRemovalShare);
    }
  }
  return sample;
}

}  // namespace voxgrad::augment
