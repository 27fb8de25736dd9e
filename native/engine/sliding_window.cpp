// Tiles, Gaussian weights, mirroring.
#include "engine/sliding_window.h"

#include <algorithm>

#include "engine/autocast.h"
#include "kernels/ops.h"

namespace voxgrad {

std::vector<int64_t> tile_starts(int64_t size, int64_t tile, double tile_step) {
  const double target = static_cast<double>(tile) * tile_step;
  const auto count = static_cast<int64_t>(std::ceil(static_cast<double>(size - tile) / target)) + 1;
  const double step = count > 1 ? static_cast<double>(size - tile) / static_cast<double>(count - 1) : 0.0;
  std::vector<int64_t> starts;
  for (int64_t i = 0; i < count; ++i)
    starts.push_back(static_cast<int64_t>(std::nearbyint(step * static_cast<double>(i))));
  return starts;
}

at::Tensor gaussian_weights(const std::vector<int64_t>& tile) {
  at::Tensor weights = at::ones({}, at::kDouble);
  for (int64_t extent : tile) {
    // scipy's gaussian_filter of a delta at extent / 2, cut off at 4 sigma.
    const double sigma = static_cast<double>(extent) / 8.0;
    const auto radius = static_cast<int64_t>(4.0 * sigma + 0.5);
    double sum = 0;
    for (int64_t x = -radius; x <= radius; ++x) sum += std::exp(-0.5 * static_cast<double>(x * x) / (sigma * sigma));
    at::Tensor axis = at::zeros({extent}, at::kDouble);
    for (int64_t i = 0; i < extent; ++i) {
      const int64_t x = i - extent / 2;
      if (std::abs(x) <= radius)
        axis.data_ptr<double>()[i] = std::exp(-0.5 * static_cast<double>(x * x) / (sigma * sigma)) / sum;
    }
    weights = weights.unsqueeze(-1) * axis;
  }
  weights = (weights / (weights.max() / 10.0)).to(at::kHalf).to(at::kFloat);
  const at::Tensor smallest = weights.masked_fill(weights == 0, 10.0).min();
  return at::where(weights == 0, smallest, weights);
}

at::Tensor predict_sliding_window(const Network& network, const at::Tensor& image, const SlidingWindow& window,
                                  at::ScalarType precision, const std::function<bool(int64_t, int64_t)>& progress) {
  at::NoGradGuard no_grad;
  const size_t dimensions = window.patch_size.size();
  const bool slices = dimensions == 2;
  const at::Device device = network.device();

  // Pad symmetrically up to the patch, last axis first; a 2D network leaves axis 0 alone.
  std::vector<int64_t> padding, first(3, 0), tile(3, 1);
  for (int64_t axis = 2; axis >= (slices ? 1 : 0); --axis) {
    const auto a = static_cast<size_t>(axis);
    tile[a] = window.patch_size[a - (slices ? 1 : 0)];
    const int64_t missing = std::max<int64_t>(tile[a] - image.size(axis + 1), 0);
    first[a] = missing / 2;
    padding.insert(padding.end(), {missing / 2, missing - missing / 2});
  }
  const at::Tensor padded = at::constant_pad_nd(image.to(device), padding, 0);

  std::vector<std::vector<int64_t>> starts;
  for (int64_t axis = 0; axis < 3; ++axis) {
    const auto a = static_cast<size_t>(axis);
    starts.push_back(tile_starts(padded.size(axis + 1), tile[a], slices && axis == 0 ? 1.0 : window.tile_step));
  }
  std::vector<std::vector<int64_t>> flips = {{}};  // every subset of the mirror axes
  for (int64_t axis : window.mirror_axes) {
    for (size_t i = 0, count = flips.size(); i < count; ++i) {
      auto flip = flips[i];
      flip.push_back(axis + 2);
      flips.push_back(flip);
    }
  }

  const auto options = at::TensorOptions().device(device).dtype(at::kFloat);
  at::Tensor weights =
      window.gaussian ? gaussian_weights(window.patch_size).to(device) : at::ones(window.patch_size, options);
  if (slices) weights = weights.unsqueeze(0);
  at::Tensor logits =
      at::zeros({network.config().outputChannels, padded.size(1), padded.size(2), padded.size(3)}, options);
  at::Tensor weight_sum = at::zeros({padded.size(1), padded.size(2), padded.size(3)}, options);

  at::Tensor copies_sum;  // of one tile's mirrored copies
  if (flips.size() > 1) copies_sum = at::empty({logits.size(0), tile[0], tile[1], tile[2]}, options);

  auto box = [&tile](const at::Tensor& tensor, int64_t z, int64_t y, int64_t x) {
    const int64_t lead = tensor.dim() - 3;
    return tensor.narrow(lead, z, tile[0]).narrow(lead + 1, y, tile[1]).narrow(lead + 2, x, tile[2]);
  };
  const auto total = static_cast<int64_t>(starts[0].size() * starts[1].size() * starts[2].size());
  int64_t done = 0;
  for (int64_t z : starts[0]) {
    for (int64_t y : starts[1]) {
      for (int64_t x : starts[2]) {
        at::Tensor patch = box(padded, z, y, x).unsqueeze(0);
        if (slices) patch = patch.squeeze(2);
        for (size_t copy = 0; copy < flips.size(); ++copy) {
          const auto& flip = flips[copy];
          const Autocast autocast(device, precision);
          at::Tensor output = network.forward(flip.empty() ? patch : patch.flip(flip)).squeeze(0);
          if (slices) output = output.unsqueeze(1);
          std::array<bool, 3> mirrored{};
          for (const int64_t axis : flip) mirrored[static_cast<size_t>(axis - (slices ? 1 : 2))] = true;
          accumulate(output, mirrored, static_cast<int64_t>(copy), static_cast<int64_t>(flips.size()), copies_sum,
                     weights, box(logits, z, y, x), box(weight_sum, z, y, x));
        }
        if (!progress(++done, total)) return {};
      }
    }
  }
  logits.div_(weight_sum);
  for (int64_t axis = 0; axis < 3; ++axis) {
    logits = logits.narrow(axis + 1, first[static_cast<size_t>(axis)], image.size(axis + 1));
  }
  return logits.to(at::kCPU).contiguous();
}

}  // namespace voxgrad
