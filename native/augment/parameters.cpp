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

std::vector<double> draw_factors(const Address& address, Purpose purpose, double probability, const Range& range,
                                 int64_t channels) {
  Draw draw(address, purpose);
  if (!draw.chance(probability)) return {};
  std::vector<double> factors(channels);
  for (double& factor : factors) factor = factor_around_one(draw, range);
  return factors;
}
}  // namespace

std::array<double, 9> spatial_matrix(const std::array<double, 3>& angles, double scale, bool in_plane) {
  if (in_plane) {
    Matrix matrix = rotation(0, angles[0]);
    for (int i : {4, 5, 7, 8}) matrix[i] *= scale;
    return matrix;
  }
  Matrix matrix = product(rotation(2, angles[2]), product(rotation(1, angles[1]), rotation(0, angles[0])));
  for (double& entry : matrix) entry *= scale;
  return matrix;
}

SpatialParameters draw_spatial(const AugmentationConfig& config, int64_t dimensions, const Address& address) {
  SpatialParameters parameters;
  parameters.dummy2d = config.dummy2d;
  if (!config.enabled) return parameters;
  const bool in_plane = dimensions == 2 || config.dummy2d;
  Draw draw(address, Purpose::kSpatial);
  const bool rotate = draw.chance(config.rotationProbability);
  const bool scale = draw.chance(config.scalingProbability);
  if (rotate) {
    for (int axis = 0; axis < (in_plane ? 1 : 3); ++axis) parameters.angles[axis] = uniform(draw, config.rotationRange);
  }
  if (scale) parameters.scale = uniform(draw, config.scalingRange);
  parameters.identity = !rotate && !scale;
  parameters.matrix = spatial_matrix(parameters.angles, parameters.scale, in_plane);
  return parameters;
}

IntensityParameters draw_intensity(const AugmentationConfig& config, int64_t channels, const Address& address) {
  IntensityParameters parameters;
  Draw noise(address, Purpose::kGaussianNoise);
  if (noise.chance(config.noiseProbability)) parameters.noise_deviation = uniform(noise, config.noiseStandardDeviation);

  Draw blur(address, Purpose::kGaussianBlur);
  if (blur.chance(config.blurProbability)) {
    parameters.blur_sigma.resize(channels);
    for (auto& sigma : parameters.blur_sigma) {
      if (!blur.chance(config.blurChannelProbability)) continue;
      for (double& value : sigma) value = uniform(blur, config.blurSigma);
    }
  }

  Draw low_resolution(address, Purpose::kLowResolution);
  if (low_resolution.chance(config.lowResolutionProbability)) {
    parameters.low_resolution.resize(channels);
    for (double& scale : parameters.low_resolution) {
      if (low_resolution.chance(config.lowResolutionChannelProbability)) {
        scale = uniform(low_resolution, config.lowResolutionScale);
      }
    }
  }

  const auto factors = [&](Purpose purpose, double probability, const Range& range) {
    return draw_factors(address, purpose, probability, range, channels);
  };
  parameters.brightness = factors(Purpose::kBrightness, config.brightnessProbability, config.brightnessRange);
  parameters.contrast = factors(Purpose::kContrast, config.contrastProbability, config.contrastRange);
  parameters.gamma_inverted = factors(Purpose::kGammaInverted, config.gammaInvertedProbability, config.gammaRange);
  parameters.gamma = factors(Purpose::kGamma, config.gammaProbability, config.gammaRange);
  return parameters;
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
