// B-spline prefilter and interpolation of many lines at once.
#include "preprocess/spline.h"

#include <algorithm>
#include <cmath>

namespace voxgrad::preprocess {

namespace {

/// Lines that are filtered side by side, so that the recursion along each of them becomes vector arithmetic.
constexpr int64_t lanes = 16;
/// Edge samples that SciPy puts before and behind a line ahead of the prefilter; the impulse response has died away by
/// then.
constexpr int64_t padding = 12;

/// The poles inside the unit circle of the filter that turns samples into spline coefficients.
std::vector<double> filter_poles(int order) {
  switch (order) {
    case 2:
      return {std::sqrt(8.0) - 3};
    case 3:
      return {std::sqrt(3.0) - 2};
    case 4:
      return {std::sqrt(664 - std::sqrt(438976.0)) + std::sqrt(304.0) - 19,
              std::sqrt(664 + std::sqrt(438976.0)) - std::sqrt(304.0) - 19};
    case 5:
      return {std::sqrt(67.5 - std::sqrt(4436.25)) + std::sqrt(26.25) - 6.5,
              std::sqrt(67.5 + std::sqrt(4436.25)) - std::sqrt(26.25) - 6.5};
    default:
      return {};
  }
}

/// The centered B-spline of degree `order` at x.
double b_spline(int order, double x) {
  if (order == 0) return x >= -0.5 && x < 0.5 ? 1 : 0;
  const double half = (order + 1) / 2.0;
  return ((half + x) * b_spline(order - 1, x + 0.5) + (half - x) * b_spline(order - 1, x - 0.5)) / order;
}

/// For each output voxel the first of its order + 1 neighbors and their weights, on a line that is padded on both
/// sides.
struct Taps {
  std::vector<int64_t> first;
  std::vector<double> weights;
};

Taps find_taps(int64_t extent, int64_t new_extent, int order) {
  Taps taps;
  for (double position : sample_positions(extent, new_extent)) {
    if (order < 2) position = std::clamp(position, 0.0, static_cast<double>(extent - 1));
    const auto base = static_cast<int64_t>(std::floor(order % 2 == 1 ? position : position + 0.5));
    const int64_t first = base - order / 2;
    taps.first.push_back(first + padding);
    for (int t = 0; t <= order; ++t) taps.weights.push_back(b_spline(order, position - static_cast<double>(first + t)));
  }
  return taps;
}

/// Turns `count` samples in each lane into spline coefficients, in place. Outside, the lines go on as constants.
void filter_lines(double* line, int64_t count, const std::vector<double>& poles) {
  double gain = 1;
  for (const double pole : poles) gain *= (1 - pole) * (1 - 1 / pole);
  for (int64_t i = 0; i < count * lanes; ++i) line[i] *= gain;
  for (const double pole : poles) {
    for (int64_t lane = 0; lane < lanes; ++lane) line[lane] /= 1 - pole;
    for (int64_t i = lanes; i < count * lanes; ++i) line[i] += pole * line[i - lanes];
    double* last = line + (count - 1) * lanes;
    for (int64_t lane = 0; lane < lanes; ++lane) last[lane] *= pole / (pole - 1);
    for (int64_t k = count - 1; k-- > 0;) {
      double* here = line + k * lanes;
      for (int64_t lane = 0; lane < lanes; ++lane) here[lane] = pole * (here[lane + lanes] - here[lane]);
    }
  }
}

}  // namespace

std::vector<double> sample_positions(int64_t extent, int64_t new_extent) {
  const double zoom = static_cast<double>(extent) / static_cast<double>(new_extent);
  std::vector<double> positions(new_extent);
  for (int64_t i = 0; i < new_extent; ++i) positions[i] = (static_cast<double>(i) + 0.5) * zoom - 0.5;
  return positions;
}

std::vector<int64_t> nearest_indices(int64_t extent, int64_t new_extent) {
  std::vector<int64_t> indices;
  for (const double position : sample_positions(extent, new_extent))
    indices.push_back(
        static_cast<int64_t>(std::floor(std::clamp(position, 0.0, static_cast<double>(extent - 1)) + 0.5)));
  return indices;
}

template <class Input>
std::vector<double> resize_axis(const Input* input, int64_t outer, int64_t extent, int64_t inner, int64_t new_extent,
                                int order) {
  const Taps taps = find_taps(extent, new_extent, order);
  const std::vector<double> poles = filter_poles(order);
  std::vector<double> output(outer * new_extent * inner);
  std::vector<double> line((extent + 2 * padding) * lanes);
  // Neighboring lines are filtered together: along the last axis they lie one extent apart, else one voxel.
  const int64_t groups = inner == 1 ? 1 : outer;
  const int64_t lines = inner == 1 ? outer : inner;
  const int64_t step_in = inner == 1 ? extent : 1, step_out = inner == 1 ? new_extent : 1;
  for (int64_t group = 0; group < groups; ++group) {
    for (int64_t begin = 0; begin < lines; begin += lanes) {
      const int64_t used = std::min(lanes, lines - begin);
      const Input* in = input + group * extent * inner + begin * step_in;
      double* out = output.data() + group * new_extent * inner + begin * step_out;
      for (int64_t k = -padding; k < extent + padding; ++k) {
        const Input* sample = in + std::clamp<int64_t>(k, 0, extent - 1) * inner;
        double* here = line.data() + (k + padding) * lanes;
        for (int64_t lane = 0; lane < used; ++lane) here[lane] = sample[lane * step_in];
      }
      if (!poles.empty()) filter_lines(line.data(), extent + 2 * padding, poles);
      for (int64_t k = 0; k < new_extent; ++k) {
        double sums[lanes] = {};
        for (int t = 0; t <= order; ++t) {
          const double weight = taps.weights[k * (order + 1) + t];
          const double* here = line.data() + (taps.first[k] + t) * lanes;
          for (int64_t lane = 0; lane < lanes; ++lane) sums[lane] += weight * here[lane];
        }
        for (int64_t lane = 0; lane < used; ++lane) out[k * inner + lane * step_out] = sums[lane];
      }
    }
  }
  return output;
}

template std::vector<double> resize_axis(const float*, int64_t, int64_t, int64_t, int64_t, int);
template std::vector<double> resize_axis(const double*, int64_t, int64_t, int64_t, int64_t, int);

}  // namespace voxgrad::preprocess
