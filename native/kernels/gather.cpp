// The gather: the kernel on any device, and the CPU's own loops over an output row, which do the same arithmetic for
// many voxels at a time.
#include "kernels/gather.h"

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <vector>

#include "kernels/launch.h"
#include "kernels/ops.h"

// The wheel's own kernels choose their instructions at run time; so do these.
#define VOXGRAD_VECTORIZED __attribute__((target_clones("avx512f", "avx2", "default")))

namespace voxgrad {

namespace {

/// The voxels of a row along one axis: two places in memory with their weights (0 where nothing is stored).
struct RowAxis {
  std::vector<int32_t> low, offset[2];
  std::vector<float> fraction, weight[2];

  explicit RowAxis(size_t length) : low(length), fraction(length) {
    for (int up = 0; up < 2; ++up) offset[up].resize(length), weight[up].resize(length);
  }
};

/// What place_row() needs to know of an axis.
struct RowPlace {
  float row_part, slope, half_output, half_box;
  int32_t first, last;    // positions of the box that are stored: [first, last)
  int32_t start, stride;  // of position 0, and of neighbors, in memory
  int32_t end;            // last index along the axis
};

VOXGRAD_VECTORIZED void place_row(const RowPlace& place, int64_t length, int32_t* __restrict low,
                                  float* __restrict fraction, int32_t* __restrict offset_low,
                                  int32_t* __restrict offset_high, float* __restrict weight_low,
                                  float* __restrict weight_high) {
  const RowPlace p = place;
  for (int32_t x = 0; x < static_cast<int32_t>(length); ++x) {
    const AxisPosition at = axis_position(p.row_part + p.slope * (static_cast<float>(x) - p.half_output) + p.half_box);
    low[x] = at.low;
    fraction[x] = at.fraction;
    const int32_t here = std::min(std::max(at.low + p.start, 0), p.end);
    const int32_t next = std::min(std::max(at.low + 1 + p.start, 0), p.end);
    offset_low[x] = here * p.stride;
    offset_high[x] = next * p.stride;
    weight_low[x] = at.low >= p.first && at.low < p.last ? 1 - at.fraction : 0.f;
    weight_high[x] = at.low + 1 >= p.first && at.low + 1 < p.last ? at.fraction : 0.f;
  }
}

struct RowPointers {
  const int32_t* offset[3][2];
  const float* weight[3][2];
};

/// Linear interpolation; corner by corner in the order of kernels/warp.h.
VOXGRAD_VECTORIZED void interpolate_row(const float* __restrict channel, const RowPointers& row, int64_t length,
                                        float* __restrict result) {
  const int32_t* __restrict z0 = row.offset[0][0], * __restrict z1 = row.offset[0][1], * __restrict y0 = row.offset[1][0], * __restrict y1 = row.offset[1][1], * __restrict x0 = row.offset[2][0], * __restrict x1 = row.offset[2][1];
  const float* __restrict a0 = row.weight[0][0], * __restrict a1 = row.weight[0][1], * __restrict b0 = row.weight[1][0], * __restrict b1 = row.weight[1][1], * __restrict c0 = row.weight[2][0], * __restrict c1 = row.weight[2][1];
  for (int64_t x = 0; x < length; ++x) {
    const float w00 = a0[x] * b0[x], w01 = a0[x] * b1[x], w10 = a1[x] * b0[x], w11 = a1[x] * b1[x];
    const int32_t o00 = z0[x] + y0[x], o01 = z0[x] + y1[x], o10 = z1[x] + y0[x], o11 = z1[x] + y1[x];
    float sum = w00 * c0[x] * channel[o00 + x0[x]];
    sum += w00 * c1[x] * channel[o00 + x1[x]];
    sum += w01 * c0[x] * channel[o01 + x0[x]];
    sum += w01 * c1[x] * channel[o01 + x1[x]];
    sum += w10 * c0[x] * channel[o10 + x0[x]];
    sum += w10 * c1[x] * channel[o10 + x1[x]];
    sum += w11 * c0[x] * channel[o11 + x0[x]];
    sum += w11 * c1[x] * channel[o11 + x1[x]];
    result[x] = sum;
  }
}

void interpolate_row(const Float16* channel, const RowPointers& row, int64_t length, float* result) {
  for (int64_t x = 0; x < length; ++x) {
    float sum = 0;
    for (int corner = 0; corner < 8; ++corner) {
      const int up[3] = {corner >> 2, corner >> 1 & 1, corner & 1};
      sum += row.weight[0][up[0]][x] * row.weight[1][up[1]][x] * row.weight[2][up[2]][x] *
             to_float(channel[row.offset[0][up[0]][x] + row.offset[1][up[1]][x] + row.offset[2][up[2]][x]]);
    }
    result[x] = sum;
  }
}

/// One thread's loops over rows of the output.
template <class Stored, class Label>
class Rows {
 public:
  explicit Rows(const Gather<Stored, Label>& kernel)
      : kernel_(kernel), geometry_(kernel.geometry), width_(geometry_.output[2]), line_(static_cast<size_t>(width_)) {
    int64_t stride = 1;
    for (int axis = 2; axis >= 0; --axis) {
      axes_.emplace(axes_.begin(), static_cast<size_t>(width_));
      const int64_t first = std::max<int64_t>(0, -geometry_.start[axis]);
      const int64_t last = std::min(geometry_.box[axis], geometry_.stored[axis] - geometry_.start[axis]);
      places_[axis] = {0,
                       geometry_.matrix[axis * 3 + 2],
                       0.5f * static_cast<float>(geometry_.output[2] - 1),
                       0.5f * static_cast<float>(geometry_.box[axis] - 1),
                       static_cast<int32_t>(first),
                       static_cast<int32_t>(last),
                       static_cast<int32_t>(geometry_.start[axis]),
                       static_cast<int32_t>(stride),
                       static_cast<int32_t>(geometry_.stored[axis] - 1)};
      stride *= geometry_.stored[axis];
    }
    volume_ = stride;
    for (int axis = 0; axis < 3; ++axis) {
      for (int up = 0; up < 2; ++up) {
        pointers_.offset[axis][up] = axes_[static_cast<size_t>(axis)].offset[up].data();
        pointers_.weight[axis][up] = axes_[static_cast<size_t>(axis)].weight[up].data();
      }
    }
  }

  void row(int64_t z, int64_t y) {
    const int64_t to = mirrored_index(geometry_.output, geometry_.flip, z, y, geometry_.flip[2] ? width_ - 1 : 0);
    if (geometry_.identity) return copy_row(z, y, to);
    for (int axis = 0; axis < 3; ++axis) {
      RowAxis& at = axes_[static_cast<size_t>(axis)];
      places_[axis].row_part = row_position(geometry_, axis, z, y);
      place_row(places_[axis], width_, at.low.data(), at.fraction.data(), at.offset[0].data(), at.offset[1].data(),
                at.weight[0].data(), at.weight[1].data());
    }
    for (int64_t c = 0; c < kernel_.channels; ++c) {
      interpolate_row(kernel_.image + c * volume_, pointers_, width_, line_.data());
      put_line(to, c);
    }
    for (int64_t x = 0; x < width_; ++x) put_label(to, x, label_at(x));
  }

 private:
  void copy_row(int64_t z, int64_t y, int64_t to) {
    int64_t p[3] = {z, y, 0};
    for (int axis = 0; axis < 3; ++axis) p[axis] += geometry_.box[axis] / 2 - geometry_.output[axis] / 2;
    bool inside = true;
    for (int axis = 0; axis < 2; ++axis)
      inside = inside && p[axis] >= places_[axis].first && p[axis] < places_[axis].last;
    const int64_t begin = std::clamp<int64_t>(inside ? places_[2].first - p[2] : width_, 0, width_);
    const int64_t end = std::clamp<int64_t>(inside ? places_[2].last - p[2] : width_, begin, width_);
    const int64_t from =
        ((geometry_.start[0] + p[0]) * geometry_.stored[1] + geometry_.start[1] + p[1]) * geometry_.stored[2] +
        geometry_.start[2] + p[2];
    for (int64_t c = 0; c < kernel_.channels; ++c) {
      const Stored* source = kernel_.image + c * volume_ + from;
      std::fill(line_.begin(), line_.begin() + begin, 0.f);
      for (int64_t x = begin; x < end; ++x) line_[static_cast<size_t>(x)] = to_float(source[x]);
      std::fill(line_.begin() + end, line_.end(), 0.f);
      put_line(to, c);
    }
    for (int64_t x = 0; x < begin; ++x) put_label(to, x, -1);
    for (int64_t x = begin; x < end; ++x) put_label(to, x, kernel_.labels[from + x]);
    for (int64_t x = end; x < width_; ++x) put_label(to, x, -1);
  }

  /// The line of channel c, the first voxel of which is number `to` of the row in memory that is counted from 0.
  void put_line(int64_t to, int64_t c) {
    float* target = kernel_.target + to * kernel_.voxel_stride + c * kernel_.channel_stride;
    const int64_t step = geometry_.flip[2] ? -kernel_.voxel_stride : kernel_.voxel_stride;
    target += geometry_.flip[2] ? (width_ - 1) * kernel_.voxel_stride : 0;
    if (step == 1) {
      std::copy(line_.begin(), line_.end(), target);
    } else {
      for (int64_t x = 0; x < width_; ++x) target[x * step] = line_[static_cast<size_t>(x)];
    }
  }

  void put_label(int64_t to, int64_t x, Label label) const {
    kernel_.put_label(to + (geometry_.flip[2] ? width_ - 1 - x : x), label);
  }

  /// Where all eight voxels are stored and have one label, that is it; where none is stored, there is none. A label
  /// with clearly more than half of the weight wins as well, for no other can have as much; most often it is the
  /// nearest voxel's.
  Label label_at(int64_t x) const {
    const Label* labels = kernel_.labels;
    const auto& [z, y, w] = pointers_.offset;
    bool all = true;
    for (int axis = 0; axis < 3; ++axis) {
      const int32_t low = axes_[static_cast<size_t>(axis)].low[static_cast<size_t>(x)];
      const int32_t first = places_[axis].first, last = places_[axis].last;
      if (low + 1 < first || low >= last) return -1;
      all = all && low >= first && low + 1 < last;
    }
    if (all && !geometry_.nearest_labels) {
      const Label *a = labels + z[0][x] + y[0][x], *b = labels + z[0][x] + y[1][x], *c = labels + z[1][x] + y[0][x],
                  *d = labels + z[1][x] + y[1][x];
      const int32_t p = w[0][x], q = w[1][x];
      const int32_t found[8] = {a[p], a[q], b[p], b[q], c[p], c[q], d[p], d[q]};
      int32_t different = 0;
      for (const int32_t one : found) different |= one ^ found[0];
      if (different == 0) return static_cast<Label>(found[0]);
      const auto& [of_z, of_y, of_x] = pointers_.weight;
      int nearest = 0;
      for (int axis = 0; axis < 3; ++axis) nearest |= (pointers_.weight[axis][1][x] > 0.5f) << (2 - axis);
      float weight = 0;
      for (int corner = 0; corner < 8; ++corner) {
        const float own = of_z[corner >> 2][x] * of_y[corner >> 1 & 1][x] * of_x[corner & 1][x];
        weight += found[corner] == found[nearest] ? own : 0.f;
      }
      if (weight > 0.501f) return static_cast<Label>(found[nearest]);
    }
    AxisPosition at[3];
    for (size_t axis = 0; axis < 3; ++axis) {
      at[axis] = {axes_[axis].low[static_cast<size_t>(x)], axes_[axis].fraction[static_cast<size_t>(x)]};
    }
    const Corners corners = corners_at(geometry_, at);
    return geometry_.nearest_labels ? nearest_value(corners, labels, static_cast<Label>(-1))
                                    : warp_label(corners, labels);
  }

  const Gather<Stored, Label>& kernel_;
  const GatherGeometry& geometry_;
  const int64_t width_;
  int64_t volume_ = 0;
  RowPlace places_[3];
  std::vector<RowAxis> axes_;
  RowPointers pointers_;
  std::vector<float> line_;
};

template <class Stored, class Label>
void run(at::Device device, const Gather<Stored, Label>& kernel, bool as_kernel) {
  const GatherGeometry& geometry = kernel.geometry;
  const int64_t rows = geometry.output[0] * geometry.output[1];
  const int64_t stored = geometry.stored[0] * geometry.stored[1] * geometry.stored[2];
  const bool has_loops =
      device.is_cpu() && stored < (int64_t{1} << 31) && !(geometry.nearest_image && !geometry.identity);
  if (as_kernel || !has_loops) return launch(device, rows * geometry.output[2], kernel);
  at::parallel_for(0, rows, 64, [&](int64_t begin, int64_t end) {
    Rows<Stored, Label> worker(kernel);
    for (int64_t row = begin; row < end; ++row) worker.row(row / geometry.output[1], row % geometry.output[1]);
  });
}

}  // namespace

void gather(const at::Tensor& image, const at::Tensor& labels, GatherGeometry geometry, const at::Tensor& image_out,
            const at::Tensor& labels_out, bool as_kernel) {
  TORCH_CHECK(image.dim() == 4 && labels.dim() == 3 && image.is_contiguous() && labels.is_contiguous() &&
                  image.sizes().slice(1) == labels.sizes() && image.numel() > 0,
              "gather: expected a contiguous image (c, z, y, x) and labels of its extents");
  TORCH_CHECK(image_out.dim() == 4 && image_out.size(0) == image.size(0) && labels_out.is_contiguous() &&
                  labels_out.sizes() == image_out.sizes().slice(1) && image_out.scalar_type() == at::kFloat &&
                  labels_out.scalar_type() == at::kShort,
              "gather: expected float32 (c, z, y, x) and contiguous int16 labels to write to");
  for (int axis = 0; axis < 3; ++axis) {
    geometry.stored[axis] = image.size(axis + 1);
    geometry.output[axis] = image_out.size(axis + 1);
  }
  const auto with = [&](auto stored, auto label) {
    using Stored = decltype(stored);
    using Label = decltype(label);
    run<Stored, Label>(
        image.device(),
        {static_cast<const Stored*>(image.const_data_ptr()), static_cast<const Label*>(labels.const_data_ptr()),
         image_out.data_ptr<float>(), labels_out.data_ptr<int16_t>(), geometry, image.size(0), image_out.stride(3),
         image_out.stride(0)},
        as_kernel);
  };
  const bool half = image.scalar_type() == at::kHalf, narrow = labels.scalar_type() == at::kChar;
  TORCH_CHECK((half || image.scalar_type() == at::kFloat) && (narrow || labels.scalar_type() == at::kShort),
              "gather: expected an image of float32 or float16 and labels of int16 or int8");
  if (half) return narrow ? with(Float16{}, int8_t{}) : with(Float16{}, int16_t{});
  return narrow ? with(float{}, int8_t{}) : with(float{}, int16_t{});
}

namespace {
// For tests: from whole tensors to whole tensors.
std::tuple<at::Tensor, at::Tensor> gather_op(const at::Tensor& image, const at::Tensor& labels, at::IntArrayRef start,
                                             at::IntArrayRef box, at::ArrayRef<double> matrix, at::IntArrayRef output,
                                             at::IntArrayRef flip, bool nearest_image, bool nearest_labels,
                                             bool background, bool half, bool channels_last, bool kernels) {
  GatherGeometry geometry{};
  for (size_t axis = 0; axis < 3; ++axis) {
    geometry.start[axis] = start[axis];
    geometry.box[axis] = box[axis];
    geometry.flip[axis] = flip[axis] != 0;
  }
  geometry.identity = matrix.empty();
  for (size_t i = 0; i < matrix.size(); ++i) geometry.matrix[i] = static_cast<float>(matrix[i]);
  geometry.nearest_image = nearest_image;
  geometry.nearest_labels = nearest_labels;
  geometry.background = background;
  const at::Tensor image_out =
      at::empty({1, image.size(0), output[0], output[1], output[2]}, image.options(),
                channels_last ? at::MemoryFormat::ChannelsLast3d : at::MemoryFormat::Contiguous);
  const at::Tensor labels_out = at::empty(output, labels.options().dtype(at::kShort));
  gather((half ? image.to(at::kHalf) : image).contiguous(), labels.contiguous(), geometry, image_out[0], labels_out,
         kernels);
  return {image_out[0].contiguous(), labels_out};
}
}  // namespace

TORCH_LIBRARY_IMPL(voxgrad, CompositeImplicitAutograd, m) { m.impl("gather", gather_op); }

}  // namespace voxgrad
