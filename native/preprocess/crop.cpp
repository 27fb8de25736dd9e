// Bounding box, hole filling by a flood from the border, and the copies of the cropped region.
#include "preprocess/crop.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "failure.h"

namespace voxgrad::preprocess {

namespace {

int64_t row_offset(const Shape3& shape, int64_t a0, int64_t a1) { return (a0 * shape[1] + a1) * shape[2]; }

/// Marks every zero voxel that faces connect to the border of the grid with 2.
void flood_outside(std::vector<uint8_t>& mask, const Shape3& shape) {
  std::vector<int64_t> open;
  const auto visit = [&](int64_t index) {
    if (mask[index] != 0) return;
    mask[index] = 2;
    open.push_back(index);
  };
  for (int64_t i = 0; i < shape[0]; ++i) {
    for (int64_t j = 0; j < shape[1]; ++j) {
      const bool border_row = i == 0 || i == shape[0] - 1 || j == 0 || j == shape[1] - 1;
      const int64_t row = row_offset(shape, i, j);
      const int64_t step = border_row || shape[2] == 1 ? 1 : shape[2] - 1;
      for (int64_t k = 0; k < shape[2]; k += step) visit(row + k);
    }
  }
  const int64_t row_step = shape[2], plane_step = shape[1] * shape[2];
  while (!open.empty()) {
    const int64_t index = open.back();
    open.pop_back();
    const int64_t k = index % row_step, j = index / row_step % shape[1], i = index / plane_step;
    if (k > 0) visit(index - 1);
    if (k + 1 < shape[2]) visit(index + 1);
    if (j > 0) visit(index - row_step);
    if (j + 1 < shape[1]) visit(index + row_step);
    if (i > 0) visit(index - plane_step);
    if (i + 1 < shape[0]) visit(index + plane_step);
  }
}

}  // namespace

Box nonzero_box(std::span<const float> image, int64_t channels, const Shape3& shape) {
  Box box{shape, {0, 0, 0}};
  const float* row = image.data();
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t i = 0; i < shape[0]; ++i) {
      for (int64_t j = 0; j < shape[1]; ++j, row += shape[2]) {
        // A product with zero is zero for finite numbers alone, so the sum tests the whole row at once.
        float not_finite = 0;
        for (int64_t k = 0; k < shape[2]; ++k) not_finite += row[k] * 0.0f;
        if (std::isnan(not_finite)) {
          const int64_t k = std::find_if(row, row + shape[2], [](float v) { return !std::isfinite(v); }) - row;
          throw Failure("ERR_IMAGE", "expected finite intensities, found " + std::to_string(row[k]) + " in channel " +
                                         std::to_string(c) + " at voxel (" + std::to_string(i) + ", " +
                                         std::to_string(j) + ", " + std::to_string(k) +
                                         "); replace NaN and infinity in the image file");
        }
        const auto nonzero = [](float value) { return value != 0; };
        const float* first = std::find_if(row, row + shape[2], nonzero);
        if (first == row + shape[2]) continue;
        int64_t last = shape[2] - 1;
        while (row[last] == 0) --last;
        const Shape3 low{i, j, first - row}, high{i + 1, j + 1, last + 1};
        for (int axis = 0; axis < 3; ++axis) {
          box.begin[axis] = std::min(box.begin[axis], low[axis]);
          box.end[axis] = std::max(box.end[axis], high[axis]);
        }
      }
    }
  }
  return box.end[0] == 0 ? Box{{0, 0, 0}, shape} : box;
}

std::vector<uint8_t> nonzero_mask(std::span<const float> image, int64_t channels, const Shape3& shape, const Box& box) {
  const Shape3 extent = box.shape();
  std::vector<uint8_t> mask(voxel_count(extent), 0);
  for (int64_t c = 0; c < channels; ++c) {
    uint8_t* out = mask.data();
    for (int64_t i = box.begin[0]; i < box.end[0]; ++i) {
      for (int64_t j = box.begin[1]; j < box.end[1]; ++j, out += extent[2]) {
        const float* row = image.data() + c * voxel_count(shape) + row_offset(shape, i, j) + box.begin[2];
        for (int64_t k = 0; k < extent[2]; ++k) out[k] |= row[k] != 0;
      }
    }
  }
  flood_outside(mask, extent);
  for (uint8_t& value : mask) value = value != 2;
  return mask;
}

Volume<float> crop_image(std::span<const float> image, int64_t channels, const Shape3& shape, const Box& box) {
  Volume<float> result(channels, box.shape());
  float* out = result.values.data();
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t i = box.begin[0]; i < box.end[0]; ++i)
      for (int64_t j = box.begin[1]; j < box.end[1]; ++j)
        out = std::copy_n(image.data() + c * voxel_count(shape) + row_offset(shape, i, j) + box.begin[2],
                          result.shape[2], out);
  return result;
}

Volume<int16_t> crop_segmentation(std::span<const float> segmentation, const Shape3& shape, const Box& box,
                                  std::span<const uint8_t> mask) {
  Volume<int16_t> result(1, box.shape());
  size_t next = 0;
  for (int64_t i = box.begin[0]; i < box.end[0]; ++i) {
    for (int64_t j = box.begin[1]; j < box.end[1]; ++j) {
      for (int64_t k = box.begin[2]; k < box.end[2]; ++k, ++next) {
        const float label = segmentation.empty() ? 0 : segmentation[row_offset(shape, i, j) + k];
        if (!(std::abs(label) <= std::numeric_limits<int16_t>::max()) || label != std::trunc(label))
          throw Failure("ERR_LABEL", "expected integer labels, found " + std::to_string(label) + " at voxel (" +
                                         std::to_string(i) + ", " + std::to_string(j) + ", " + std::to_string(k) +
                                         ") of the segmentation; correct the label file");
        result.values[next] = label == 0 && !mask[next] ? -1 : static_cast<int16_t>(label);
      }
    }
  }
  return result;
}

}  // namespace voxgrad::preprocess
