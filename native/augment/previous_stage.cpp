// Binary operators by squared distances, one axis after the other; components by a flood.
#include "augment/previous_stage.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace voxgrad::augment {

namespace {

using Extents = std::array<int64_t, 3>;

Extents extents_of(const at::Tensor& segmentation) {
  if (segmentation.dim() == 2) return {1, segmentation.size(0), segmentation.size(1)};
  return {segmentation.size(0), segmentation.size(1), segmentation.size(2)};
}

/// skimage's ball or disk: the square of each coordinate along an axis, and of the radius. A ball of a radius that is
/// not whole has its coordinates squeezed so that both ends lie on the radius.
struct Element {
  std::vector<double> squares;
  double limit;

  Element(double radius, bool flat) : limit(radius * radius) {
    const auto extent = static_cast<int64_t>(flat ? std::ceil(2 * radius + 1) : std::floor(2 * radius + 1));
    const double step = flat ? 1 : 2 * radius / static_cast<double>(extent - 1);
    for (int64_t i = 0; i < extent; ++i) {
      const double coordinate = static_cast<double>(i) * step - radius;
      squares.push_back(coordinate * coordinate);
    }
  }
  int64_t extent() const { return static_cast<int64_t>(squares.size()); }
  /// How far before its middle it begins; one voxel less than it ends behind it where the extent is even.
  int64_t before() const { return (extent() - 1) / 2; }
};

/// A box of voxels, set or not.
struct Mask {
  Extents extents;
  std::vector<uint8_t> values;
};

constexpr double kFar = std::numeric_limits<double>::infinity();

/// target[i] = min over the element of source[i + shift] + square, along an axis; nothing comes from beyond the ends.
void minimize_along(const std::vector<double>& source, std::vector<double>& target, const Extents& extents, size_t axis,
                    const Element& element) {
  int64_t stride = 1;
  for (size_t inner = axis + 1; inner < 3; ++inner) stride *= extents[inner];
  const int64_t length = extents[axis], block = length * stride;
  at::parallel_for(0, static_cast<int64_t>(source.size()) / block, 4, [&](int64_t begin, int64_t end) {
    for (int64_t offset = begin * block; offset < end * block; offset += block) {
      const double* from = source.data() + offset;
      double* to = target.data() + offset;
      std::fill(to, to + block, kFar);
      for (int64_t i = 0; i < element.extent(); ++i) {
        // All positions that have a neighbor at this shift lie in one run of memory.
        const int64_t shift = (i - element.before()) * stride;
        const double square = element.squares[static_cast<size_t>(i)];
        const int64_t last = std::min(block, block - shift);
        for (int64_t k = std::max<int64_t>(0, -shift); k < last; ++k) to[k] = std::min(to[k], from[k + shift] + square);
      }
    }
  });
}

/// Set where the element, laid on a voxel, meets a set one. In 2D nothing happens along axis 0.
Mask dilated(const Mask& mask, const Element& element, bool flat) {
  std::vector<double> distance(mask.values.size()), next(mask.values.size());
  for (size_t i = 0; i < distance.size(); ++i) distance[i] = mask.values[i] ? 0 : kFar;
  for (int axis = 2; axis >= (flat ? 1 : 0); --axis) {
    minimize_along(distance, next, mask.extents, static_cast<size_t>(axis), element);
    std::swap(distance, next);
  }
  Mask result{mask.extents, std::vector<uint8_t>(mask.values.size())};
  for (size_t i = 0; i < distance.size(); ++i) result.values[i] = distance[i] <= element.limit;
  return result;
}

Mask inverted(Mask mask) {
  for (uint8_t& value : mask.values) value = !value;
  return mask;
}

Mask eroded(const Mask& mask, const Element& element, bool flat) {
  return inverted(dilated(inverted(mask), element, flat));
}

Mask applied(const Mask& mask, BinaryOperator what, const Element& element, bool flat) {
  switch (what) {
    case BinaryOperator::kDilation:
      return dilated(mask, element, flat);
    case BinaryOperator::kErosion:
      return eroded(mask, element, flat);
    case BinaryOperator::kClosing:
      return eroded(dilated(mask, element, flat), element, flat);
    default:
      return dilated(eroded(mask, element, flat), element, flat);
  }
}

/// Calls visit(z, y, x, index) for every voxel of a box.
template <class Visit>
void for_each_voxel(const Extents& extents, const Extents& begin, const Extents& end, Visit&& visit) {
  for (int64_t z = begin[0]; z < end[0]; ++z) {
    for (int64_t y = begin[1]; y < end[1]; ++y) {
      for (int64_t x = begin[2]; x < end[2]; ++x) visit(z, y, x, (z * extents[1] + y) * extents[2] + x);
    }
  }
}

}  // namespace

void apply_binary_operator(at::Tensor& segmentation, const PreviousStageParameters::Operation& operation) {
  const bool flat = segmentation.dim() == 2;
  const Extents extents = extents_of(segmentation);
  const auto label = static_cast<int16_t>(operation.label);
  int16_t* voxels = segmentation.data_ptr<int16_t>();
  Extents begin = extents, end{0, 0, 0};
  for_each_voxel(extents, {0, 0, 0}, extents, [&](int64_t z, int64_t y, int64_t x, int64_t index) {
    if (voxels[index] != label) return;
    const Extents at{z, y, x};
    for (size_t axis = 0; axis < 3; ++axis) {
      begin[axis] = std::min(begin[axis], at[axis]);
      end[axis] = std::max(end[axis], at[axis] + 1);
    }
  });
  if (end[0] == 0) return;
  // No voxel further away can change or matter: twice the element, because closing and opening use it twice.
  const Element element(operation.radius, flat);
  Mask mask;
  for (size_t axis = 0; axis < 3; ++axis) {
    begin[axis] = std::max<int64_t>(0, begin[axis] - 2 * element.extent());
    end[axis] = std::min(extents[axis], end[axis] + 2 * element.extent());
    mask.extents[axis] = end[axis] - begin[axis];
  }
  for_each_voxel(extents, begin, end,
                 [&](int64_t, int64_t, int64_t, int64_t index) { mask.values.push_back(voxels[index] == label); });
  const Mask result = applied(mask, operation.what, element, flat);
  auto next = result.values.begin();
  for_each_voxel(extents, begin, end, [&](int64_t, int64_t, int64_t, int64_t index) {
    if (*next++) {
      voxels[index] = label;
    } else if (voxels[index] == label) {
      voxels[index] = 0;
    }
  });
}

void remove_component(at::Tensor& segmentation, const PreviousStageParameters::Removal& removal, double largest_share) {
  const Extents extents = extents_of(segmentation);
  const int64_t count = segmentation.numel();
  int16_t* voxels = segmentation.data_ptr<int16_t>();
  std::vector<uint8_t> seen(static_cast<size_t>(count));
  std::vector<std::vector<int64_t>> small;
  for (int64_t seed = 0; seed < count; ++seed) {
    if (voxels[seed] != removal.label || seen[static_cast<size_t>(seed)]) continue;
    std::vector<int64_t> component{seed};
    seen[static_cast<size_t>(seed)] = 1;
    for (size_t next = 0; next < component.size(); ++next) {
      const int64_t index = component[next];
      const Extents at{index / (extents[1] * extents[2]), index / extents[2] % extents[1], index % extents[2]};
      Extents begin, end;
      for (size_t axis = 0; axis < 3; ++axis) {
        begin[axis] = std::max<int64_t>(0, at[axis] - 1);
        end[axis] = std::min(extents[axis], at[axis] + 2);
      }
      for_each_voxel(extents, begin, end, [&](int64_t, int64_t, int64_t, int64_t neighbor) {
        if (voxels[neighbor] != removal.label || seen[static_cast<size_t>(neighbor)]) return;
        seen[static_cast<size_t>(neighbor)] = 1;
        component.push_back(neighbor);
      });
    }
    if (static_cast<double>(component.size()) < static_cast<double>(count) * largest_share)
      small.push_back(std::move(component));
  }
  if (small.empty()) return;
  const auto chosen = static_cast<size_t>(removal.choice * static_cast<double>(small.size()));
  for (const int64_t index : small[chosen]) voxels[index] = 0;
}

void apply_previous_stage(at::Tensor& segmentation, const PreviousStageParameters& parameters, double largest_share) {
  for (const auto& operation : parameters.operations) apply_binary_operator(segmentation, operation);
  for (const auto& removal : parameters.removals) remove_component(segmentation, removal, largest_share);
}

}  // namespace voxgrad::augment
