// The random decisions of the augmentation, drawn on the host: which transform acts on a sample, and how strongly.
// Rates and distributions as in nnU-Net (reference: get_training_transforms of nnUNetTrainer and nnUNetTrainerDA5, and
// batchgeneratorsv2).
#pragma once
#include <c10/util/ArrayRef.h>

#include <array>
#include <cstdint>
#include <vector>

#include "augment/config.h"
#include "kernels/draw.h"

namespace voxgrad::augment {

/// Rotation and scaling about the patch's center, in axis order (z, y, x).
struct SpatialParameters {
  bool identity = true;  // neither rotated nor scaled: the center crop
  bool dummy2d = false;  // see AugmentationConfig, also for the next two
  bool nearest_image = false;
  bool nearest_labels = false;
  std::array<double, 3> angles{};
  std::array<double, 3> scales{1, 1, 1};
  /// Output offset to input offset, row-major. In the plane (2D and dummy 2D) row and column 0 are those of the
  /// identity.
  std::array<double, 9> matrix{1, 0, 0, 0, 1, 0, 0, 0, 1};
};

/// The matrix of one rotation and one scale per axis: Rz Ry Rx diag(scales), the angle of index i being about axis i.
/// In the plane, only angles[0] is used, which turns axis 1 toward axis 2, and axis 0 is not scaled.
std::array<double, 9> spatial_matrix(const std::array<double, 3>& angles, const std::array<double, 3>& scales,
                                     bool in_plane);

/// Rotation and scaling of one sample. `dimensions` is that of the configuration: 2 or 3. Needs no image, so that a
/// sample that is only cropped need not be loaded at the initial patch size.
SpatialParameters draw_spatial(const AugmentationConfig& config, int64_t dimensions, const Address& address);

/// How axes of equal extent change places.
struct AxisExchange {
  int64_t turns = 0;  // by 90 degrees
  std::array<int64_t, 2> plane{};
  std::vector<int64_t> order;  // axis i becomes axis order[i]; empty: no transposition
};

/// Among the axes whose extent occurs most often in the patch, if there are at least two of them.
AxisExchange draw_axis_exchange(const AugmentationConfig& config, at::IntArrayRef patch_size, const Address& address);

/// What acts on the image's intensities before mirroring. Per-channel lists are empty where the sample was not chosen.
struct IntensityParameters {
  double noise_deviation = 0;  // 0: no noise
  bool noise_after_blur = false;
  std::vector<int64_t> median_size;               // 0: channel left alone
  std::vector<std::array<double, 3>> blur_sigma;  // one sigma per spatial axis; first 0: channel left alone
  std::vector<double> brightness;
  std::vector<double> additive_brightness;  // 0: channel left alone, here and in the next
  std::vector<double> contrast;
  bool contrast_clamped = true;
  std::vector<double> low_resolution;  // scale; 0: channel left alone
  std::vector<double> gamma_inverted;
  std::vector<double> second_gamma_inverted;
  std::vector<double> gamma;

  /// Whether any of it changes the image.
  bool acts() const {
    const bool any_factor = !brightness.empty() || !additive_brightness.empty() || !contrast.empty() ||
                            !low_resolution.empty() || !gamma_inverted.empty() || !second_gamma_inverted.empty() ||
                            !gamma.empty();
    return noise_deviation > 0 || !median_size.empty() || !blur_sigma.empty() || any_factor;
  }
};

IntensityParameters draw_intensity(const AugmentationConfig& config, int64_t channels, const Address& address);

/// A box of voxels: one entry per spatial axis.
struct Rectangle {
  std::vector<int64_t> start, extent;
};

/// A Gaussian over the patch: center in voxel coordinates (0 is the middle of the first voxel) and standard deviation
/// in voxels, one per spatial axis.
struct Bump {
  std::vector<double> center, width;
};

/// Strength of a brightness gradient or exponent of a local gamma, and where it acts. Value 0: channel left alone.
struct WeightedBump {
  double value = 0;
  Bump bump;
};

/// What acts on the image after mirroring. Per-channel lists are empty where the sample was not chosen.
struct LocalParameters {
  std::vector<std::vector<Rectangle>> rectangles;
  std::vector<WeightedBump> gradient;
  std::vector<WeightedBump> local_gamma;
  std::vector<double> sharpening;  // 0: channel left alone
};

LocalParameters draw_local(const AugmentationConfig& config, int64_t channels, at::IntArrayRef patch_size,
                           const Address& address);

enum class BinaryOperator { kDilation, kErosion, kClosing, kOpening };

/// What is done to a previous stage's segmentation, in this order.
struct PreviousStageParameters {
  struct Operation {
    int64_t label;
    BinaryOperator what;
    double radius;
  };
  struct Removal {
    int64_t label;
    double choice;  // in [0, 1): which of its components
  };
  std::vector<Operation> operations;
  std::vector<Removal> removals;
};

/// For foreground labels 1 to `labels`, each kind of change in a random order of the labels.
PreviousStageParameters draw_previous_stage(const AugmentationConfig& config, int64_t labels, const Address& address);

/// The spatial axes to flip, each of config.mirrorAxes with probability 0.5.
std::vector<int64_t> draw_mirror_axes(const AugmentationConfig& config, const Address& address);

}  // namespace voxgrad::augment
