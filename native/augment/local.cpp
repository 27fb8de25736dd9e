// Local transforms, composed of ATen's ops. A channel is a view of the image, changed in place.
#include "augment/local.h"

#include <ATen/ATen.h>

#include <limits>

namespace voxgrad::augment {

void blank_rectangle(at::Tensor& image, int64_t channel, const Rectangle& rectangle) {
  at::Tensor part = image[channel];
  for (int64_t axis = 0; axis < part.dim(); ++axis) {
    part = part.narrow(axis, rectangle.start[axis], rectangle.extent[axis]);
  }
  part.copy_(part.mean());
}

at::Tensor bump_weights(const Bump& bump, at::IntArrayRef extents, const at::TensorOptions& options) {
  at::Tensor weights = at::ones({}, options);
  for (size_t axis = 0; axis < extents.size(); ++axis) {
    // In double precision, because neighboring values of the distribution function nearly cancel.
    const at::Tensor borders = at::arange(extents[axis] + 1, options.dtype(at::kDouble)).sub_(0.5);
    const at::Tensor below = at::special_ndtr(borders.sub_(bump.center[axis]).div_(bump.width[axis]));
    weights = weights.unsqueeze(-1) * at::diff(below).to(at::kFloat);
  }
  weights.sub_(weights.min());
  return weights.div_(weights.max().clamp_min_(std::numeric_limits<float>::min()));
}

void brightness_gradient(at::Tensor& image, int64_t channel, double strength, const Bump& bump) {
  at::Tensor values = image[channel];
  values.add_(bump_weights(bump, values.sizes(), values.options()), strength);
}

void local_gamma(at::Tensor& image, int64_t channel, double exponent, const Bump& bump) {
  constexpr double kSmallest = 1e-8;  // what batchgeneratorsv2 divides by at least
  at::Tensor values = image[channel];
  const auto [low, high] = at::aminmax(values);
  const at::Tensor range = (high - low).clamp_min_(kSmallest);
  values.sub_(low).div_(range);
  values.lerp_(values.pow(exponent), bump_weights(bump, values.sizes(), values.options()));
  values.mul_(range).add_(low);
}

}  // namespace voxgrad::augment
