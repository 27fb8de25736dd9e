// Intensity transforms, composed of ATen's ops. A channel is a view of the image, changed in place.
#include "augment/intensity.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "failure.h"
#include "kernels/ops.h"

namespace voxgrad::augment {

namespace {
constexpr double kSmallest = 1e-7;                  // what batchgeneratorsv2 divides by at least
constexpr int64_t kWindowBytes = int64_t{1} << 26;  // memory for the median filter's windows

/// The unbiased standard deviation of values whose mean is zero.
at::Tensor deviation_of_centered(const at::Tensor& centered) {
  return at::linalg_vector_norm(centered).div_(std::sqrt(static_cast<double>(centered.numel() - 1)));
}

std::vector<double> gaussian_weights(double sigma) {
  std::vector<double> weights(blur_kernel_size(sigma));
  const double half = 0.5 * (weights.size() - 1);
  double sum = 0;
  for (size_t i = 0; i < weights.size(); ++i) sum += weights[i] = std::exp(-0.5 * std::pow((i - half) / sigma, 2));
  for (double& weight : weights) weight /= sum;
  return weights;
}

/// Extends an axis by mirroring it at its first and last voxel, which are left out of the images (skip 1) or not (0).
at::Tensor reflect(const at::Tensor& tensor, int64_t axis, int64_t before, int64_t after, int64_t skip,
                   const std::string& transform) {
  const int64_t size = tensor.size(axis), needed = std::max(before, after) + skip;
  if (size < needed) {
    throw Failure("ERR_CONFIG", transform + ": axis " + std::to_string(axis) + " of the patch has " +
                                    std::to_string(size) + " voxels; it needs at least " + std::to_string(needed));
  }
  return at::cat({tensor.narrow(axis, skip, before).flip(axis), tensor,
                  tensor.narrow(axis, size - skip - after, after).flip(axis)},
                 axis);
}
}  // namespace

void gaussian_noise(at::Tensor& image, double standard_deviation, const Address& address) {
  add_normal_field(image, standard_deviation, Draw(address, Purpose::kGaussianNoiseField));
}

int64_t blur_kernel_size(double sigma) {
  const double exact = 6 * sigma + 0.5;
  const auto rounded = static_cast<int64_t>(std::nearbyint(exact));
  if (rounded % 2 == 1) return rounded;
  return exact >= static_cast<double>(rounded) ? rounded + 1 : rounded - 1;
}

void gaussian_blur(at::Tensor& image, int64_t channel, at::ArrayRef<double> sigmas) {
  at::Tensor target = image[channel];
  at::Tensor blurred = target;
  for (int64_t axis = 0; axis < target.dim(); ++axis) {
    const int64_t size = target.size(axis);
    if (size == 1) continue;  // reflecting a single voxel gives a constant, which blur does not change
    const std::vector<double> weights = gaussian_weights(sigmas[axis]);
    const auto half = static_cast<int64_t>(weights.size() / 2);
    const at::Tensor extended = reflect(blurred, axis, half, half, 1, "Gaussian blur");
    // Sums of shifted views need no weight tensor, hence no copy from the host.
    at::Tensor sum = extended.narrow(axis, half, size) * weights[half];
    for (int64_t shift = 1; shift <= half; ++shift) {
      sum.add_(extended.narrow(axis, half - shift, size), weights[half - shift]);
      sum.add_(extended.narrow(axis, half + shift, size), weights[half + shift]);
    }
    blurred = sum;
  }
  target.copy_(blurred);
}

void median_filter(at::Tensor& image, int64_t channel, int64_t size) {
  at::Tensor target = image[channel];
  at::Tensor windows = target;
  int64_t count = 1;
  for (int64_t axis = 0; axis < target.dim(); ++axis) {
    windows = reflect(windows, axis, size / 2, size - size / 2 - 1, 0, "median filter");
    count *= size;
  }
  for (int64_t axis = 0; axis < target.dim(); ++axis) windows = windows.unfold(axis, size, 1);
  // The windows are views until they are sorted, which is done a few slices at a time for the memory's sake.
  const int64_t slice = target.numel() / target.size(0) * count;
  const int64_t step = std::max<int64_t>(1, kWindowBytes / static_cast<int64_t>(sizeof(float)) / slice);
  for (int64_t start = 0; start < target.size(0); start += step) {
    const int64_t length = std::min(step, target.size(0) - start);
    const at::Tensor rows = windows.narrow(0, start, length).reshape({-1, count});
    // kthvalue would do, but libtorch refuses it on CUDA where determinism is asked for.
    const at::Tensor lower_half = std::get<0>(rows.topk(count / 2 + 1, -1, /*largest=*/false, /*sorted=*/false));
    at::Tensor part = target.narrow(0, start, length);
    part.copy_(lower_half.amax(-1).view(part.sizes()));
  }
}

void brightness(at::Tensor& image, int64_t channel, double factor) { image[channel].mul_(factor); }

void additive_brightness(at::Tensor& image, int64_t channel, double shift) { image[channel].add_(shift); }

void contrast(at::Tensor& image, int64_t channel, double factor, bool clamp) {
  at::Tensor values = image[channel];
  const at::Tensor mean = values.mean();
  if (clamp) {
    const auto [low, high] = at::aminmax(values);
    values.sub_(mean).mul_(factor).add_(mean).clamp_(low, high);
  } else {
    values.sub_(mean).mul_(factor).add_(mean);
  }
}

void low_resolution(at::Tensor& image, int64_t channel, double scale, bool keep_axis_0) {
  at::Tensor values = image[channel];
  const at::Tensor batch = values.unsqueeze(0).unsqueeze(0);
  const auto scale32 = static_cast<double>(static_cast<float>(scale));  // nnU-Net rounds extents of a float32 scale
  std::vector<int64_t> coarse;
  for (int64_t axis = 0; axis < values.dim(); ++axis) {
    const double extent = keep_axis_0 && axis == 0 ? values.size(0) : std::nearbyint(values.size(axis) * scale32);
    coarse.push_back(std::max<int64_t>(1, static_cast<int64_t>(extent)));
  }
  if (values.dim() == 3) {
    const at::Tensor sampled = at::_upsample_nearest_exact3d(batch, coarse);
    values.copy_(at::upsample_trilinear3d(sampled, values.sizes(), false)[0][0]);
  } else {
    const at::Tensor sampled = at::_upsample_nearest_exact2d(batch, coarse);
    values.copy_(at::upsample_bilinear2d(sampled, values.sizes(), false)[0][0]);
  }
}

void gamma(at::Tensor& image, int64_t channel, double exponent, bool invert) {
  at::Tensor values = image[channel];
  if (invert) values.neg_();
  const at::Tensor mean = values.mean();
  values.sub_(mean);
  const at::Tensor deviation = deviation_of_centered(values);
  const auto [low, high] = at::aminmax(values);
  const at::Tensor range = high - low;
  values.sub_(low).div_(range.clamp_min(kSmallest)).pow_(exponent);
  // Range and offset that the power is scaled back by are undone by standardizing: only the range takes part.
  values.sub_(values.mean());
  const at::Tensor deviation_here = deviation_of_centered(values).mul_(range).clamp_min_(kSmallest);
  values.mul_(deviation.mul_(range).div_(deviation_here)).add_(mean);
  if (invert) values.neg_();
}

void sharpening(at::Tensor& image, int64_t channel, double strength) {
  at::Tensor values = image[channel];
  at::Tensor difference = values * static_cast<double>(2 * values.dim());
  for (int64_t axis = 0; axis < values.dim(); ++axis) {
    const int64_t size = values.size(axis);
    difference.sub_(at::cat({values.narrow(axis, 0, 1), values.narrow(axis, 0, size - 1)}, axis));
    difference.sub_(at::cat({values.narrow(axis, 1, size - 1), values.narrow(axis, size - 1, 1)}, axis));
  }
  values.add_(difference, strength);
}

}  // namespace voxgrad::augment
