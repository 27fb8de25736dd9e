// The patch sampler as ops, so that tests reach it by name. Schemas: kernels/schemas.cpp.
#include <torch/library.h>

#include "data/sampler.h"

namespace voxgrad {

namespace {
Extents to_extents(at::IntArrayRef values) { return {values[0], values[1], values[2]}; }

/// Starts of `count` boxes in a case of the given shape; classes: (k, 4) rows of class index (-1: annotated) and voxel.
at::Tensor draw_box_starts(at::IntArrayRef shape, at::IntArrayRef load, at::IntArrayRef patch, bool forced,
                           const at::Tensor& classes, int64_t seed, int64_t count) {
  Case source;
  source.shape = to_extents(shape);
  for (int64_t row = 0; row < classes.size(0); ++row) {
    const int64_t* entry = classes.data_ptr<int64_t>() + 4 * row;
    if (entry[0] >= static_cast<int64_t>(source.foreground.size()))
      source.foreground.resize(static_cast<size_t>(entry[0] + 1));
    (entry[0] < 0 ? source.annotated : source.foreground[static_cast<size_t>(entry[0])])
        .push_back({static_cast<int32_t>(entry[1]), static_cast<int32_t>(entry[2]), static_cast<int32_t>(entry[3])});
  }
  at::Tensor starts = at::empty({count, 3}, at::kLong);
  for (int64_t step = 0; step < count; ++step) {
    Draw draw({static_cast<uint64_t>(seed), static_cast<uint64_t>(step), 0}, Purpose::kTrainingPatch);
    const Extents start = draw_box_start(source, to_extents(load), to_extents(patch), forced, draw);
    std::copy(start.begin(), start.end(), starts.data_ptr<int64_t>() + 3 * step);
  }
  return starts;
}

std::tuple<at::Tensor, at::Tensor> crop_op(const at::Tensor& image, const at::Tensor& segmentation,
                                           at::IntArrayRef start, at::IntArrayRef extent) {
  Case source;
  source.image = image;
  source.segmentation = segmentation;
  source.shape = {image.size(1), image.size(2), image.size(3)};
  return crop(source, to_extents(start), to_extents(extent));
}

at::Tensor forced_samples(int64_t batch_size, double share, bool by_probability, int64_t seed, int64_t step) {
  at::Tensor forced = at::empty({batch_size}, at::kByte);
  for (int64_t sample = 0; sample < batch_size; ++sample) {
    Draw draw({static_cast<uint64_t>(seed), static_cast<uint64_t>(step), static_cast<uint32_t>(sample)},
              Purpose::kTrainingPatch);
    forced.data_ptr<uint8_t>()[sample] = draw_foreground_forced(sample, batch_size, share, by_probability, draw);
  }
  return forced;
}
}  // namespace

TORCH_LIBRARY_IMPL(voxgrad, CompositeImplicitAutograd, m) {
  m.impl("draw_box_starts", draw_box_starts);
  m.impl("crop", crop_op);
  m.impl("forced_samples", forced_samples);
}

}  // namespace voxgrad
