// The spatial transform: center crop or resampling.
#include "augment/spatial.h"

#include <algorithm>
#include <string>

#include "failure.h"
#include "kernels/ops.h"

namespace voxgrad::augment {

namespace {
std::string text(at::IntArrayRef shape) {
  std::string result = "(";
  for (size_t i = 0; i < shape.size(); ++i) result += (i ? ", " : "") + std::to_string(shape[i]);
  return result + ")";
}

/// Cuts the last axes to `size` about the center, filling where the tensor is smaller. May return a view.
at::Tensor center_crop(at::Tensor tensor, at::IntArrayRef size, double fill) {
  const int64_t first = tensor.dim() - static_cast<int64_t>(size.size());
  std::vector<int64_t> padding;  // last axis first, before and after
  bool pad = false;
  for (int64_t i = static_cast<int64_t>(size.size()) - 1; i >= 0; --i) {
    const int64_t start = tensor.size(first + i) / 2 - size[i] / 2;
    const int64_t begin = std::max<int64_t>(0, start);
    const int64_t end = std::min(tensor.size(first + i), start + size[i]);
    padding.push_back(begin - start);
    padding.push_back(start + size[i] - end);
    pad = pad || end - begin < size[i];
    tensor = tensor.narrow(first + i, begin, end - begin);
  }
  return pad ? at::constant_pad_nd(tensor, padding, fill) : tensor;
}
}  // namespace

Sample apply_spatial(const at::Tensor& image, const at::Tensor& segmentation, const SpatialParameters& parameters,
                     at::IntArrayRef patch_size) {
  const auto axes = static_cast<size_t>(segmentation.dim());
  if (image.dim() != segmentation.dim() + 1 || image.sizes().slice(1) != segmentation.sizes() ||
      patch_size.size() != axes || axes < 2 || axes > 3) {
    throw Failure("ERR_CONFIG",
                  "spatial transform: expected an image (c, z, y, x) or (c, y, x), a segmentation of the " +
                      std::string("same extents and a patch size; found ") + text(image.sizes()) + ", " +
                      text(segmentation.sizes()) + " and " + text(patch_size));
  }
  if (parameters.identity) return {center_crop(image, patch_size, 0), center_crop(segmentation, patch_size, -1)};

  // In the plane, slices are channels of volumes with one slice.
  const bool folded = parameters.dummy2d && axes == 3;
  if (folded && patch_size[0] != segmentation.size(0)) {
    throw Failure("ERR_CONFIG",
                  "spatial transform: dummy 2D keeps axis 0, so the initial patch must have the patch's " +
                      std::to_string(patch_size[0]) + " slices; found " + std::to_string(segmentation.size(0)));
  }
  const int64_t height = patch_size[axes - 2], width = patch_size[axes - 1];
  const auto volumes = [&](const at::Tensor& tensor) {
    return folded ? tensor.reshape({-1, 1, tensor.size(-2), tensor.size(-1)}) : tensor;
  };
  at::Tensor images = image, labels = segmentation.unsqueeze(0);
  if (axes == 2) {
    images = images.unsqueeze(1);
    labels = labels.unsqueeze(1);
  }
  const int64_t depth = folded || axes == 2 ? 1 : patch_size[0];
  auto [warped_image, warped_labels] = warp(volumes(images), volumes(labels), parameters.matrix, {depth, height, width},
                                            parameters.nearest_image, parameters.nearest_labels);

  std::vector<int64_t> shape = segmentation.sizes().vec();
  std::copy(patch_size.begin() + (folded ? 1 : 0), patch_size.end(), shape.begin() + (folded ? 1 : 0));
  std::vector<int64_t> image_shape{image.size(0)};
  image_shape.insert(image_shape.end(), shape.begin(), shape.end());
  return {warped_image.view(image_shape), warped_labels.view(shape)};
}

at::Tensor apply_spatial(const at::Tensor& segmentation, const SpatialParameters& parameters,
                         at::IntArrayRef patch_size) {
  std::vector<int64_t> no_channels = segmentation.sizes().vec();
  no_channels.insert(no_channels.begin(), 0);
  return apply_spatial(at::empty(no_channels, segmentation.options().dtype(at::kFloat)), segmentation, parameters,
                       patch_size)
      .segmentation;
}

}  // namespace voxgrad::augment
