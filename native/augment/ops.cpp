// The augmentation as ops, so that tests and benchmarks reach each transform by name. Schemas: kernels/schemas.cpp.
#include <ATen/ATen.h>
#include <torch/library.h>

#include "augment/chain.h"
#include "failure.h"

namespace voxgrad::augment {

namespace {
using Pair = std::tuple<at::Tensor, at::Tensor>;

Pair pair_of(const Sample& sample) { return {sample.image, sample.segmentation}; }

Address address_of(int64_t seed, int64_t step, int64_t sample) {
  return {static_cast<uint64_t>(seed), static_cast<uint64_t>(step), static_cast<uint32_t>(sample)};
}

/// Fills a configuration from its flattened fields.
struct FlatReader {
  at::ArrayRef<double> values;
  int64_t channels;
  AugmentationConfig& config;
  size_t position = 0;

  double next() {
    if (position >= values.size())
      throw Failure("ERR_CONFIG", "augmentation op: the flattened configuration is too short");
    return values[position++];
  }
  void operator()(const char*, bool AugmentationConfig::* field) { config.*field = next() != 0; }
  void operator()(const char*, double AugmentationConfig::* field) { config.*field = next(); }
  void operator()(const char*, Range AugmentationConfig::* field) {
    for (double& bound : config.*field) bound = next();
  }
  void operator()(const char*, std::vector<int64_t> AugmentationConfig::* field) {
    const auto end = static_cast<int64_t>(values.size()) - channels;
    while (static_cast<int64_t>(position) < end) (config.*field).push_back(static_cast<int64_t>(next()));
  }
  void operator()(const char*, std::vector<bool> AugmentationConfig::* field) {
    for (int64_t channel = 0; channel < channels; ++channel) (config.*field).push_back(next() != 0);
  }
};

AugmentationConfig config_of(at::ArrayRef<double> values, int64_t channels) {
  AugmentationConfig config;
  AugmentationConfig::fields(FlatReader{values, channels, config});
  return config;
}

/// Entry of a per-channel list, or what stands for a channel that is left alone.
template <class Value>
Value at_channel(const std::vector<Value>& values, int64_t channel) {
  return values.empty() ? Value{} : values[channel];
}

/// Columns: rotated or scaled, 3 angles, 3 scales, quarter turns and their plane (2), whether transposed, the axes'
/// order, noise deviation, whether contrast is clamped, then per channel: 3 blur sigmas, median size, brightness,
/// additive brightness, contrast, low resolution scale, gamma inverted, second gamma inverted, gamma, number of
/// rectangles, start and extent of the first one, strength of the gradient, its center and width, exponent of the local
/// gamma, its center and width, sharpening; then one 0 or 1 per mirror axis. Order, start, extent, center and width
/// have one column per axis of the patch. 0 where a transform does not act.
at::Tensor draw_augmentation(at::ArrayRef<double> flat, at::IntArrayRef patch_size, int64_t channels, int64_t seed,
                             int64_t first_step, int64_t last_step, int64_t sample) {
  const AugmentationConfig config = config_of(flat, channels);
  const auto dimensions = static_cast<int64_t>(patch_size.size());
  std::vector<double> rows;
  for (int64_t step = first_step; step < last_step; ++step) {
    const Address address = address_of(seed, step, sample);
    const SpatialParameters spatial = draw_spatial(config, dimensions, address);
    rows.push_back(spatial.identity ? 0 : 1);
    rows.insert(rows.end(), spatial.angles.begin(), spatial.angles.end());
    rows.insert(rows.end(), spatial.scales.begin(), spatial.scales.end());
    const AxisExchange exchange = draw_axis_exchange(config, patch_size, address);
    for (const int64_t value : {exchange.turns, exchange.plane[0], exchange.plane[1]}) rows.push_back(value);
    rows.push_back(exchange.order.empty() ? 0 : 1);
    for (int64_t axis = 0; axis < dimensions; ++axis) {
      rows.push_back(exchange.order.empty() ? axis : exchange.order[axis]);
    }
    const IntensityParameters intensity = draw_intensity(config, channels, address);
    const LocalParameters local = draw_local(config, channels, patch_size, address);
    rows.push_back(intensity.noise_deviation);
    rows.push_back(intensity.contrast_clamped ? 1 : 0);
    for (int64_t channel = 0; channel < channels; ++channel) {
      const auto sigma = at_channel(intensity.blur_sigma, channel);
      rows.insert(rows.end(), sigma.begin(), sigma.end());
      rows.push_back(static_cast<double>(at_channel(intensity.median_size, channel)));
      for (const auto* values :
           {&intensity.brightness, &intensity.additive_brightness, &intensity.contrast, &intensity.low_resolution,
            &intensity.gamma_inverted, &intensity.second_gamma_inverted, &intensity.gamma}) {
        rows.push_back(at_channel(*values, channel));
      }
      // One column per axis, also of a channel that is left alone.
      const auto push_axes = [&](const auto& values) {
        for (size_t axis = 0; axis < patch_size.size(); ++axis) rows.push_back(values.empty() ? 0.0 : values[axis]);
      };
      const auto push_bump = [&](const WeightedBump& weighted) {
        rows.push_back(weighted.value);
        push_axes(weighted.bump.center);
        push_axes(weighted.bump.width);
      };
      const auto rectangles = at_channel(local.rectangles, channel);
      const Rectangle first = rectangles.empty() ? Rectangle{} : rectangles[0];
      rows.push_back(static_cast<double>(rectangles.size()));
      push_axes(first.start);
      push_axes(first.extent);
      push_bump(at_channel(local.gradient, channel));
      push_bump(at_channel(local.local_gamma, channel));
      rows.push_back(at_channel(local.sharpening, channel));
    }
    const std::vector<int64_t> flipped = draw_mirror_axes(config, address);
    for (const int64_t axis : config.mirrorAxes) {
      rows.push_back(std::find(flipped.begin(), flipped.end(), axis) == flipped.end() ? 0 : 1);
    }
  }
  return at::tensor(rows, at::kDouble).view({last_step - first_step, -1});
}

Pair whole_chain(const at::Tensor& image, const at::Tensor& segmentation, at::ArrayRef<double> flat,
                 at::IntArrayRef patch_size, int64_t seed, int64_t step, int64_t sample) {
  const AugmentationConfig config = config_of(flat, image.size(0));
  const Address address = address_of(seed, step, sample);
  const SpatialParameters spatial = draw_spatial(config, segmentation.dim(), address);
  return pair_of(augment(apply_spatial(image, segmentation, spatial, patch_size), config, address));
}

Pair spatial_op(const at::Tensor& image, const at::Tensor& segmentation, bool identity, bool dummy2d,
                at::ArrayRef<double> angles, at::ArrayRef<double> scales, at::IntArrayRef patch_size,
                bool nearest_image, bool nearest_labels) {
  SpatialParameters parameters;
  parameters.identity = identity;
  parameters.dummy2d = dummy2d;
  parameters.nearest_image = nearest_image;
  parameters.nearest_labels = nearest_labels;
  std::copy_n(angles.begin(), std::min<size_t>(3, angles.size()), parameters.angles.begin());
  std::copy_n(scales.begin(), std::min<size_t>(3, scales.size()), parameters.scales.begin());
  parameters.matrix = spatial_matrix(parameters.angles, parameters.scales, dummy2d || segmentation.dim() == 2);
  return pair_of(apply_spatial(image, segmentation, parameters, patch_size));
}
at::Tensor previous_operator(const at::Tensor& segmentation, int64_t label, int64_t what, double radius) {
  at::Tensor result = segmentation.clone();
  apply_binary_operator(result, {label, static_cast<BinaryOperator>(what), radius});
  return result;
}

at::Tensor previous_removal(const at::Tensor& segmentation, int64_t label, double choice, double largest_share) {
  at::Tensor result = segmentation.clone();
  remove_component(result, {label, choice}, largest_share);
  return result;
}

/// Columns: for every operation label, operator and radius, for every removal label and choice; 0 behind the last.
at::Tensor draw_previous_stage_op(at::ArrayRef<double> flat, int64_t labels, int64_t seed, int64_t steps) {
  const AugmentationConfig config = config_of(flat, 1);
  at::Tensor rows = at::zeros({steps, 5 * labels}, at::kDouble);
  for (int64_t step = 0; step < steps; ++step) {
    const PreviousStageParameters drawn = draw_previous_stage(config, labels, address_of(seed, step, 0));
    double* row = rows.data_ptr<double>() + step * 5 * labels;
    for (size_t i = 0; i < drawn.operations.size(); ++i) {
      const auto& [label, what, radius] = drawn.operations[i];
      row[3 * i] = static_cast<double>(label);
      row[3 * i + 1] = static_cast<double>(what);
      row[3 * i + 2] = radius;
    }
    for (size_t i = 0; i < drawn.removals.size(); ++i) {
      row[3 * labels + 2 * i] = static_cast<double>(drawn.removals[i].label);
      row[3 * labels + 2 * i + 1] = drawn.removals[i].choice;
    }
  }
  return rows;
}
}  // namespace

TORCH_LIBRARY_IMPL(voxgrad, CompositeImplicitAutograd, m) {
  m.impl("previous_operator", previous_operator);
  m.impl("previous_removal", previous_removal);
  m.impl("draw_previous_stage", draw_previous_stage_op);
  m.impl("spatial", spatial_op);
  m.impl("gaussian_noise_", [](at::Tensor image, double deviation, int64_t seed, int64_t step, int64_t sample) {
    gaussian_noise(image, deviation, address_of(seed, step, sample));
    return image;
  });
  m.impl("gaussian_blur_", [](at::Tensor image, int64_t channel, at::ArrayRef<double> sigmas) {
    gaussian_blur(image, channel, sigmas);
    return image;
  });
  m.impl("median_filter_", [](at::Tensor image, int64_t channel, int64_t size) {
    median_filter(image, channel, size);
    return image;
  });
  m.impl("additive_brightness_", [](at::Tensor image, int64_t channel, double shift) {
    additive_brightness(image, channel, shift);
    return image;
  });
  m.impl("quarter_turn",
         [](const at::Tensor& image, const at::Tensor& segmentation, int64_t turns, at::IntArrayRef plane) {
           return pair_of(quarter_turn({image, segmentation}, turns, {plane.at(0), plane.at(1)}));
         });
  m.impl("transpose", [](const at::Tensor& image, const at::Tensor& segmentation, at::IntArrayRef order) {
    return pair_of(transpose({image, segmentation}, order));
  });
  m.impl("blank_rectangle_", [](at::Tensor image, int64_t channel, at::IntArrayRef start, at::IntArrayRef extent) {
    blank_rectangle(image, channel, {start.vec(), extent.vec()});
    return image;
  });
  m.impl("brightness_gradient_", [](at::Tensor image, int64_t channel, double strength, at::ArrayRef<double> center,
                                    at::ArrayRef<double> width) {
    brightness_gradient(image, channel, strength, {center.vec(), width.vec()});
    return image;
  });
  m.impl("local_gamma_", [](at::Tensor image, int64_t channel, double exponent, at::ArrayRef<double> center,
                            at::ArrayRef<double> width) {
    local_gamma(image, channel, exponent, {center.vec(), width.vec()});
    return image;
  });
  m.impl("sharpening_", [](at::Tensor image, int64_t channel, double strength) {
    sharpening(image, channel, strength);
    return image;
  });
  m.impl("brightness_", [](at::Tensor image, int64_t channel, double factor) {
    brightness(image, channel, factor);
    return image;
  });
  m.impl("contrast_", [](at::Tensor image, int64_t channel, double factor, bool clamp) {
    contrast(image, channel, factor, clamp);
    return image;
  });
  m.impl("low_resolution_", [](at::Tensor image, int64_t channel, double scale, bool keep_axis_0) {
    low_resolution(image, channel, scale, keep_axis_0);
    return image;
  });
  m.impl("gamma_", [](at::Tensor image, int64_t channel, double exponent, bool invert) {
    gamma(image, channel, exponent, invert);
    return image;
  });
  m.impl("mirror", [](const at::Tensor& image, const at::Tensor& segmentation, at::IntArrayRef axes) {
    return pair_of(mirror({image, segmentation}, axes));
  });
  m.impl("mask_image_", [](at::Tensor image, const at::Tensor& segmentation, at::IntArrayRef mask_image) {
    apply_mask_image(image, segmentation, std::vector<bool>(mask_image.begin(), mask_image.end()));
    return image;
  });
  m.impl("remove_label_", [](at::Tensor segmentation) {
    remove_label(segmentation);
    return segmentation;
  });
  m.impl("draw_augmentation", draw_augmentation);
  m.impl("augment", whole_chain);
}

}  // namespace voxgrad::augment
