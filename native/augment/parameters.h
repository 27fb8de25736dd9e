// The random decisions of the augmentation, drawn on the host: which transform acts on a sample, and how strongly.
// Rates and distributions as in nnU-Net (reference: nnUNetTrainer.get_training_transforms and batchgeneratorsv2).
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "augment/config.h"
#include "kernels/draw.h"

namespace voxgrad::augment {

/// Rotation and scaling about the patch's center, in axis order (z, y, x).
struct SpatialParameters {
  bool identity = true;  // neither rotated nor scaled: the center crop
  bool dummy2d = false;  // see AugmentationConfig
  std::array<double, 3> angles{};
  double scale = 1;
  /// Output offset to input offset, row-major. In the plane (2D and dummy 2D) row and column 0 are those of the
  /// identity.
  std::array<double, 9> matrix{1, 0, 0, 0, 1, 0, 0, 0, 1};
};

/// The matrix of one rotation per axis and a common scale: Rz Ry Rx scale, the angle of index i being about axis i.
/// In the plane, only angles[0] is used, and it turns axis 1 toward axis 2.
std::array<double, 9> spatial_matrix(const std::array<double, 3>& angles, double scale, bool in_plane);

/// Rotation and scaling of one sample. `dimensions` is that of the configuration: 2 or 3. Needs no image, so that a
/// sample that is only cropped need not be loaded at the initial patch size.
SpatialParameters draw_spatial(const AugmentationConfig& config, int64_t dimensions, const Address& address);

/// Everything but the spatial transform. Per-channel lists are empty where the sample was not chosen.
struct IntensityParameters {
  double noise_deviation = 0;                     // 0: no noise
  std::vector<std::array<double, 3>> blur_sigma;  // one sigma per spatial axis; first 0: channel left alone
  std::vector<double> brightness;
  std::vector<double> contrast;
  std::vector<double> low_resolution;  // scale; 0: channel left alone
  std::vector<double> gamma_inverted;
  std::vector<double> gamma;
};

IntensityParameters draw_intensity(const AugmentationConfig& config, int64_t channels, const Address& address);

/// The spatial axes to flip, each of config.mirrorAxes with probability 0.5.
std::vector<int64_t> draw_mirror_axes(const AugmentationConfig& config, const Address& address);

}  // namespace voxgrad::augment
