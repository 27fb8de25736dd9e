// The order of the augmentation chain.
#include "augment/chain.h"

#include <ATen/ATen.h>

namespace voxgrad::augment {

namespace {
template <class Values, class Apply>
void for_each_channel(const Values& values, Apply&& apply) {
  for (size_t channel = 0; channel < values.size(); ++channel) apply(static_cast<int64_t>(channel), values[channel]);
}
}  // namespace

void apply_intensity(at::Tensor& image, const IntensityParameters& parameters, bool dummy2d, const Address& address) {
  const size_t axes = image.dim() - 1;
  if (parameters.noise_deviation > 0) gaussian_noise(image, parameters.noise_deviation, address);
  for_each_channel(parameters.blur_sigma, [&](int64_t channel, const std::array<double, 3>& sigma) {
    if (sigma[0] > 0) gaussian_blur(image, channel, at::ArrayRef<double>(sigma).slice(0, axes));
  });
  for_each_channel(parameters.brightness, [&](int64_t channel, double factor) { brightness(image, channel, factor); });
  for_each_channel(parameters.contrast, [&](int64_t channel, double factor) { contrast(image, channel, factor); });
  for_each_channel(parameters.low_resolution, [&](int64_t channel, double scale) {
    if (scale > 0) low_resolution(image, channel, scale, dummy2d);
  });
  for_each_channel(parameters.gamma_inverted,
                   [&](int64_t channel, double exponent) { gamma(image, channel, exponent, true); });
  for_each_channel(parameters.gamma, [&](int64_t channel, double exponent) { gamma(image, channel, exponent, false); });
}

Sample mirror(const Sample& sample, at::IntArrayRef axes) {
  if (axes.empty()) return sample;
  std::vector<int64_t> image_axes;
  for (const int64_t axis : axes) image_axes.push_back(axis + 1);
  return {sample.image.flip(image_axes), sample.segmentation.flip(axes)};
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

Sample augment(Sample sample, const AugmentationConfig& config, const Address& address) {
  if (config.enabled) {
    sample.image = sample.image.contiguous();
    apply_intensity(sample.image, draw_intensity(config, sample.image.size(0), address), config.dummy2d, address);
    sample = mirror(sample, draw_mirror_axes(config, address));
    apply_mask_image(sample.image, sample.segmentation, config.maskImage);
  }
  remove_label(sample.segmentation);
  return sample;
}

}  // namespace voxgrad::augment
