// Intensity transforms: parameters for the kernels, and the rarer ones composed of ATen's ops. A channel is a view of
// the image, changed in place.
#include "augment/intensity.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "failure.h"
#include "kernels/ops.h"

namespace voxgrad::augment {

namespace {
constexpr int64_t kWindowBytes = int64_t{1} << 26;  // memory for the median filter's windows

/// Calls work(channel) on one channel as a contiguous volume (z, y, x).
template <class Work>
void on_volume(at::Tensor& image, int64_t channel, const Work& work) {
  const at::Tensor part = image[channel], values = part.dim() == 2 ? part.unsqueeze(0) : part;
  if (values.is_contiguous()) return work(values);
  const at::Tensor copy = values.contiguous();
  work(copy);
  values.copy_(copy);
}

/// The middle weight and those to one side.
std::vector<float> gaussian_weights(double sigma) {
  std::vector<double> weights(blur_kernel_size(sigma));
  const double half = 0.5 * (weights.size() - 1);
  double sum = 0;
  for (size_t i = 0; i < weights.size(); ++i) sum += weights[i] = std::exp(-0.5 * std::pow((i - half) / sigma, 2));
  std::vector<float> side;
  for (size_t i = weights.size() / 2; i < weights.size(); ++i) side.push_back(static_cast<float>(weights[i] / sum));
  return side;
}

/// Refuses to mirror an axis at an edge that has fewer voxels than are needed.
void check_reflection(int64_t axis, int64_t size, int64_t needed, const std::string& transform) {
  if (size >= needed) return;
  throw Failure("ERR_CONFIG", transform + ": axis " + std::to_string(axis) + " of the patch has " +
                                  std::to_string(size) + " voxels; it needs at least " + std::to_string(needed));
}

/// Extends an axis by mirroring it at its first and last voxel.
at::Tensor reflect(const at::Tensor& tensor, int64_t axis, int64_t before, int64_t after) {
  const int64_t size = tensor.size(axis);
  check_reflection(axis, size, std::max(before, after), "median filter");
  return at::cat(
      {tensor.narrow(axis, 0, before).flip(axis), tensor, tensor.narrow(axis, size - after, after).flip(axis)}, axis);
}
}  // namespace

void gaussian_noise(at::Tensor& image, double standard_deviation, const Address& address, const Flip& flip) {
  add_normal_field(image, standard_deviation, Draw(address, Purpose::kGaussianNoiseField), flip);
}

int64_t blur_kernel_size(double sigma) {
  const double exact = 6 * sigma + 0.5;
  const auto rounded = static_cast<int64_t>(std::nearbyint(exact));
  if (rounded % 2 == 1) return rounded;
  return exact >= static_cast<double>(rounded) ? rounded + 1 : rounded - 1;
}

void gaussian_blur(at::Tensor& image, int64_t channel, at::ArrayRef<double> sigmas) {
  const auto axes = static_cast<int64_t>(sigmas.size());
  std::array<std::vector<float>, 3> weights;
  for (int64_t axis = 0; axis < axes; ++axis) {
    const int64_t size = image.size(axis + 1);
    if (size == 1) continue;  // reflecting a single voxel gives a constant, which blur does not change
    auto& here = weights[static_cast<size_t>(3 - axes + axis)];
    here = gaussian_weights(sigmas[axis]);
    check_reflection(axis, size, static_cast<int64_t>(here.size()), "Gaussian blur");
  }
  on_volume(image, channel, [&](const at::Tensor& values) { blur_channel(values, weights); });
}

void median_filter(at::Tensor& image, int64_t channel, int64_t size) {
  at::Tensor target = image[channel];
  at::Tensor windows = target;
  int64_t count = 1;
  for (int64_t axis = 0; axis < target.dim(); ++axis) {
    windows = reflect(windows, axis, size / 2, size - size / 2 - 1);
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
  on_volume(image, channel,
            [&](const at::Tensor& values) { contrast_channel(values, static_cast<float>(factor), clamp); });
}

void low_resolution(at::Tensor& image, int64_t channel, double scale, bool keep_axis_0, const Flip& flip) {
  const auto scale32 = static_cast<double>(static_cast<float>(scale));  // nnU-Net rounds extents of a float32 scale
  const int64_t axes = image.dim() - 1;
  std::array<int64_t, 3> coarse{1, 1, 1};
  for (int64_t axis = 0; axis < axes; ++axis) {
    const auto extent = static_cast<double>(image.size(axis + 1));
    coarse[static_cast<size_t>(3 - axes + axis)] = std::max<int64_t>(
        1, static_cast<int64_t>(keep_axis_0 && axis == 0 ? extent : std::nearbyint(extent * scale32)));
  }
  on_volume(image, channel, [&](const at::Tensor& values) { low_resolution_channel(values, coarse, flip); });
}

void gamma(at::Tensor& image, int64_t channel, double exponent, bool invert) {
  on_volume(image, channel,
            [&](const at::Tensor& values) { gamma_channel(values, static_cast<float>(exponent), invert); });
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
