// Drawing the augmentation's parameters. Each transform reads a stream of its own, so none depends on what another
// drew.
#include "augment/parameters.h"

#include <algorithm>
#include <cmath>

namespace voxgrad::augment {

namespace {
using Matrix = std::array<double, 9>;

Matrix product(const Matrix& a, const Matrix& b) {
  Matrix result{};
  for (int row = 0; row < 3; ++row) {
    for (int column = 0; column < 3; ++column) {
      for (int k = 0; k < 3; ++k) result[row * 3 + column] += a[row * 3 + k] * b[k * 3 + column];
    }
  }
  return result;
}

/// Right-handed rotation about one axis.
Matrix rotation(int axis, double angle) {
  const int first = (axis + 1) % 3, second = (axis + 2) % 3;
  Matrix result{1, 0, 0, 0, 1, 0, 0, 0, 1};
  result[first * 3 + first] = result[second * 3 + second] = std::cos(angle);
  result[first * 3 + second] = -std::sin(angle);
  result[second * 3 + first] = std::sin(angle);
  return result;
}

double uniform(Draw& draw, const Range& range) { return draw.uniform(range[0], range[1]); }

/// With probability 0.5 below 1, else above it (batchgeneratorsv2's BGContrast).
double factor_around_one(Draw& draw, const Range& range) {
  const bool below = draw.chance(0.5) && range[0] < 1;
  return below ? draw.uniform(range[0], 1) : draw.uniform(std::max(range[0], 1.0), range[1]);
}

/// A whole number between two others, both included.
int64_t whole_number(Draw& draw, int64_t low, int64_t high) { return low + draw.below(high - low + 1); }

int64_t whole_number(Draw& draw, const Range& range) {
  return whole_number(draw, static_cast<int64_t>(range[0]), static_cast<int64_t>(range[1]));
}

/// What is certain takes no number from the stream.
bool happens(Draw& draw, double probability) { return probability >= 1 || draw.chance(probability); }

/// One value per channel, and Value{} for the channels that are left alone.
template <class Value, class One>
std::vector<Value> per_channel(Draw& draw, int64_t channels, double channel_probability, One&& one) {
  std::vector<Value> values(channels);
  for (Value& value : values) {
    if (happens(draw, channel_probability)) value = one(draw);
  }
  return values;
}

std::vector<double> draw_factors(const Address& address, Purpose purpose, double probability, const Range& range,
                                 int64_t channels) {
  Draw draw(address, purpose);
  if (!draw.chance(probability)) return {};
  return per_channel<double>(draw, channels, 1, [&](Draw& draw) { return factor_around_one(draw, range); });
}

/// The axes whose extent occurs most often; none where all extents differ.
std::vector<int64_t> axes_of_equal_extent(at::IntArrayRef patch_size) {
  std::vector<int64_t> most;
  for (const int64_t extent : patch_size) {
    std::vector<int64_t> axes;
    for (size_t axis = 0; axis < patch_size.size(); ++axis) {
      if (patch_size[axis] == extent) axes.push_back(static_cast<int64_t>(axis));
    }
    if (axes.size() > std::max<size_t>(most.size(), 1)) most = axes;
  }
  return most;
}

/// A random order (Fisher-Yates).
void shuffle(Draw& draw, std::vector<int64_t>& values) {
  for (size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[draw.below(static_cast<int64_t>(i))]);
}

/// Extents from a tenth of the patch's to just below a third.
Rectangle draw_rectangle(Draw& draw, at::IntArrayRef patch_size) {
  Rectangle rectangle;
  for (const int64_t size : patch_size) {
    const int64_t smallest = std::max<int64_t>(1, size / 10);
    rectangle.extent.push_back(whole_number(draw, smallest, std::max(smallest, size / 3 - 1)));
  }
  for (size_t axis = 0; axis < patch_size.size(); ++axis) {
    rectangle.start.push_back(whole_number(draw, 0, patch_size[axis] - rectangle.extent[axis]));
  }
  return rectangle;
}

/// Centers reach half the patch beyond it; widths are log-uniform from a sixth of the extent to all of it.
Bump draw_bump(Draw& draw, at::IntArrayRef patch_size) {
  Bump bump;
  for (const int64_t size : patch_size) {
    const auto extent = static_cast<double>(size);
    bump.center.push_back(draw.uniform(-0.5, 1.5) * extent);
    const auto narrowest = static_cast<double>(std::max<int64_t>(1, size / 6));
    bump.width.push_back(std::exp(draw.uniform(std::log(narrowest), std::log(extent))));
  }
  return bump;
}
}  // namespace

std::array<double, 9> spatial_matrix(const std::array<double, 3>& angles, const std::array<double, 3>& scales,
                                     bool in_plane) {
  Matrix matrix = rotation(0, angles[0]);
  if (!in_plane) matrix = product(rotation(2, angles[2]), product(rotation(1, angles[1]), matrix));
  for (int i = 0; i < 9; ++i) {
    if (!in_plane || i % 3 > 0) matrix[i] *= scales[i % 3];
  }
  return matrix;
}

SpatialParameters draw_spatial(const AugmentationConfig& config, int64_t dimensions, const Address& address) {
  SpatialParameters parameters;
  parameters.dummy2d = config.dummy2d;
  parameters.nearest_image = config.nearestImage;
  parameters.nearest_labels = config.nearestLabels;
  if (!config.enabled) return parameters;
  const bool in_plane = dimensions == 2 || config.dummy2d;
  Draw draw(address, Purpose::kSpatial);
  const bool rotate = draw.chance(config.rotationProbability);
  const bool scale = draw.chance(config.scalingProbability);
  if (rotate) {
    const int axes = in_plane ? 1 : 3;
    for (int axis = 0; axis < axes; ++axis) parameters.angles[axis] = uniform(draw, config.rotationRange);
    for (int axis = 0; axis < axes; ++axis) {
      if (!happens(draw, config.rotationAxisProbability)) parameters.angles[axis] = 0;
    }
  }
  if (scale) {
    for (int axis = 0; axis < 3; ++axis) {
      parameters.scales[axis] =
          axis == 0 || config.scalingPerAxis ? uniform(draw, config.scalingRange) : parameters.scales[0];
    }
  }
  parameters.identity = !rotate && !scale;
  parameters.matrix = spatial_matrix(parameters.angles, parameters.scales, in_plane);
  return parameters;
}

AxisExchange draw_axis_exchange(const AugmentationConfig& config, at::IntArrayRef patch_size, const Address& address) {
  AxisExchange exchange;
  const std::vector<int64_t> axes = axes_of_equal_extent(patch_size);
  if (axes.empty()) return exchange;
  Draw turn(address, Purpose::kQuarterTurn);
  if (turn.chance(config.quarterTurnProbability)) {
    exchange.turns = turn.below(4);
    std::vector<int64_t> plane = axes;
    shuffle(turn, plane);
    exchange.plane = {std::min(plane[0], plane[1]), std::max(plane[0], plane[1])};
  }
  Draw transpose(address, Purpose::kTranspose);
  if (transpose.chance(config.transposeProbability)) {
    std::vector<int64_t> shuffled = axes;
    shuffle(transpose, shuffled);
    for (size_t axis = 0; axis < patch_size.size(); ++axis) exchange.order.push_back(static_cast<int64_t>(axis));
    for (size_t i = 0; i < axes.size(); ++i) exchange.order[axes[i]] = shuffled[i];
  }
  return exchange;
}

IntensityParameters draw_intensity(const AugmentationConfig& config, int64_t channels, const Address& address) {
  IntensityParameters parameters;
  Draw noise(address, Purpose::kGaussianNoise);
  if (noise.chance(config.noiseProbability)) parameters.noise_deviation = uniform(noise, config.noiseStandardDeviation);
  parameters.noise_after_blur = config.noiseAfterBlur;

  // One number decides between transforms that exclude each other.
  Draw blur(address, Purpose::kGaussianBlur);
  const double smoothing = blur.uniform();
  if (smoothing < config.blurProbability) {
    using Sigma = std::array<double, 3>;
    parameters.blur_sigma = per_channel<Sigma>(blur, channels, config.blurChannelProbability, [&](Draw& draw) {
      Sigma sigma;
      for (double& value : sigma) {
        value = &value == &sigma[0] || config.blurSigmaPerAxis ? uniform(draw, config.blurSigma) : sigma[0];
      }
      return sigma;
    });
  } else if (smoothing < config.blurProbability + config.medianFilterProbability) {
    parameters.median_size =
        per_channel<int64_t>(blur, channels, config.medianFilterChannelProbability,
                             [&](Draw& draw) { return whole_number(draw, config.medianFilterSize); });
  }

  Draw additive(address, Purpose::kAdditiveBrightness);
  if (additive.chance(config.additiveBrightnessProbability)) {
    parameters.additive_brightness =
        per_channel<double>(additive, channels, config.additiveBrightnessChannelProbability,
                            [&](Draw& draw) { return config.additiveBrightnessDeviation * draw.normal(); });
  }

  Draw contrast(address, Purpose::kContrast);
  const double contrasting = contrast.uniform();
  if (contrasting < config.contrastProbability + config.unclampedContrastProbability) {
    parameters.contrast_clamped = contrasting < config.contrastProbability;
    parameters.contrast = per_channel<double>(contrast, channels, config.contrastChannelProbability, [&](Draw& draw) {
      return factor_around_one(draw, config.contrastRange);
    });
  }

  Draw low_resolution(address, Purpose::kLowResolution);
  if (low_resolution.chance(config.lowResolutionProbability)) {
    parameters.low_resolution =
        per_channel<double>(low_resolution, channels, config.lowResolutionChannelProbability,
                            [&](Draw& draw) { return uniform(draw, config.lowResolutionScale); });
  }

  const auto factors = [&](Purpose purpose, double probability, const Range& range) {
    return draw_factors(address, purpose, probability, range, channels);
  };
  parameters.brightness = factors(Purpose::kBrightness, config.brightnessProbability, config.brightnessRange);
  parameters.gamma_inverted = factors(Purpose::kGammaInverted, config.gammaInvertedProbability, config.gammaRange);
  parameters.second_gamma_inverted =
      factors(Purpose::kSecondGammaInverted, config.secondGammaInvertedProbability, config.gammaRange);
  parameters.gamma = factors(Purpose::kGamma, config.gammaProbability, config.gammaRange);
  return parameters;
}

LocalParameters draw_local(const AugmentationConfig& config, int64_t channels, at::IntArrayRef patch_size,
                           const Address& address) {
  LocalParameters parameters;
  Draw rectangle(address, Purpose::kBlankRectangle);
  if (rectangle.chance(config.blankRectangleProbability)) {
    parameters.rectangles = per_channel<std::vector<Rectangle>>(
        rectangle, channels, config.blankRectangleChannelProbability, [&](Draw& draw) {
          std::vector<Rectangle> rectangles(whole_number(draw, config.blankRectangleCount));
          for (Rectangle& one : rectangles) one = draw_rectangle(draw, patch_size);
          return rectangles;
        });
  }

  Draw gradient(address, Purpose::kBrightnessGradient);
  if (gradient.chance(config.brightnessGradientProbability)) {
    parameters.gradient =
        per_channel<WeightedBump>(gradient, channels, config.brightnessGradientChannelProbability, [&](Draw& draw) {
          const double sign = draw.chance(0.5) ? -1 : 1;
          return WeightedBump{sign * uniform(draw, config.brightnessGradientStrength), draw_bump(draw, patch_size)};
        });
  }

  Draw gamma(address, Purpose::kLocalGamma);
  if (gamma.chance(config.localGammaProbability)) {
    parameters.local_gamma =
        per_channel<WeightedBump>(gamma, channels, config.localGammaChannelProbability, [&](Draw& draw) {
          const Range& range = draw.chance(0.5) ? config.localGammaBelow : config.localGammaAbove;
          return WeightedBump{uniform(draw, range), draw_bump(draw, patch_size)};
        });
  }

  Draw sharpening(address, Purpose::kSharpening);
  if (sharpening.chance(config.sharpeningProbability)) {
    parameters.sharpening = per_channel<double>(sharpening, channels, config.sharpeningChannelProbability,
                                                [&](Draw& draw) { return uniform(draw, config.sharpeningStrength); });
  }
  return parameters;
}

namespace {
/// Labels 1 to `labels` in random order, each kept with a probability.
std::vector<int64_t> draw_labels(int64_t labels, double probability, Draw& draw) {
  std::vector<int64_t> order, kept;
  for (int64_t label = 1; label <= labels; ++label) {
    order.push_back(label);
    std::swap(order.back(), order[static_cast<size_t>(draw.below(label))]);
  }
  for (const int64_t label : order) {
    if (draw.chance(probability)) kept.push_back(label);
  }
  return kept;
}
}  // namespace

PreviousStageParameters draw_previous_stage(const AugmentationConfig& config, int64_t labels, const Address& address) {
  PreviousStageParameters result;
  Draw operators(address, Purpose::kPreviousOperator), removals(address, Purpose::kPreviousRemoval);
  if (operators.chance(config.previousOperatorProbability)) {
    for (const int64_t label : draw_labels(labels, config.previousOperatorLabelProbability, operators)) {
      const auto what = static_cast<BinaryOperator>(operators.below(4));
      const auto& [smallest, largest] = config.previousOperatorRadius;
      result.operations.push_back({label, what, operators.uniform(smallest, largest)});
    }
  }
  if (removals.chance(config.previousRemovalProbability)) {
    for (const int64_t label : draw_labels(labels, config.previousRemovalLabelProbability, removals))
      result.removals.push_back({label, removals.uniform()});
  }
  return result;
}

std::vector<int64_t> draw_mirror_axes(const AugmentationConfig& config, const Address& address) {
  Draw draw(address, Purpose::kMirror);
  std::vector<int64_t> axes;
  for (const int64_t axis : config.mirrorAxes) {
    if (draw.chance(0.5)) axes.push_back(axis);
  }
  return axes;
}

}  // namespace voxgrad::augment
