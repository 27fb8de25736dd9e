// Nearest, linear and spline resizing of label maps.
#include "preprocess/resample_labels.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "preprocess/spline.h"

namespace voxgrad::preprocess {

namespace {

/// The two neighbors of each output voxel along one axis, their linear weights, and the nearest voxel.
struct LinearAxis {
  std::vector<int64_t> low, high, nearest;
  std::vector<double> low_weight, high_weight;
};

LinearAxis linear_axis(int64_t extent, int64_t new_extent) {
  LinearAxis axis;
  axis.nearest = nearest_indices(extent, new_extent);
  for (double position : sample_positions(extent, new_extent)) {
    position = std::clamp(position, 0.0, static_cast<double>(extent - 1));
    const double floor = std::floor(position);
    axis.low.push_back(static_cast<int64_t>(floor));
    axis.high.push_back(std::min(static_cast<int64_t>(floor) + 1, extent - 1));
    axis.high_weight.push_back(position - floor);
    axis.low_weight.push_back(1 - (position - floor));
  }
  return axis;
}

/// Scores of the at most eight labels around one output voxel.
class Ballot {
 public:
  void add(int16_t label, double weight) {
    int i = 0;
    while (i < count_ && labels_[i] != label) ++i;
    if (i == count_) {
      labels_[count_] = label;
      scores_[count_++] = 0;
    }
    scores_[i] += weight;
  }

  int16_t winner(int16_t nearest) const {
    int best = 0;
    for (int i = 1; i < count_; ++i)
      if (scores_[i] > scores_[best] || (scores_[i] == scores_[best] && labels_[i] < labels_[best])) best = i;
    for (int i = 0; i < count_; ++i)
      if (labels_[i] == nearest && scores_[i] == scores_[best]) return nearest;
    return labels_[best];
  }

 private:
  int count_ = 0;
  int16_t labels_[8];
  double scores_[8];
};

std::set<int16_t> labels_in(const Volume<int16_t>& labels) { return {labels.values.begin(), labels.values.end()}; }

std::vector<float> indicator(const Volume<int16_t>& labels, int16_t label) {
  std::vector<float> result(labels.values.size());
  for (size_t i = 0; i < result.size(); ++i) result[i] = labels.values[i] == label;
  return result;
}

}  // namespace

Volume<int16_t> resize_labels_nearest(const Volume<int16_t>& labels, const Shape3& new_shape) {
  std::vector<int64_t> index[3];
  for (int axis = 0; axis < 3; ++axis) index[axis] = nearest_indices(labels.shape[axis], new_shape[axis]);
  Volume<int16_t> result(1, new_shape);
  int16_t* out = result.values.data();
  for (const int64_t i : index[0]) {
    for (const int64_t j : index[1]) {
      const int16_t* row = labels.values.data() + (i * labels.shape[1] + j) * labels.shape[2];
      for (const int64_t k : index[2]) *out++ = row[k];
    }
  }
  return result;
}

Volume<int16_t> resize_labels_linear(const Volume<int16_t>& labels, const Shape3& new_shape) {
  const LinearAxis z = linear_axis(labels.shape[0], new_shape[0]), y = linear_axis(labels.shape[1], new_shape[1]),
                   x = linear_axis(labels.shape[2], new_shape[2]);
  const auto row = [&](int64_t i, int64_t j) {
    return labels.values.data() + (i * labels.shape[1] + j) * labels.shape[2];
  };
  Volume<int16_t> result(1, new_shape);
  int16_t* out = result.values.data();
  for (int64_t i = 0; i < new_shape[0]; ++i) {
    for (int64_t j = 0; j < new_shape[1]; ++j) {
      const int16_t* const rows[4] = {row(z.low[i], y.low[j]), row(z.low[i], y.high[j]), row(z.high[i], y.low[j]),
                                      row(z.high[i], y.high[j])};
      const double weights[4] = {z.low_weight[i] * y.low_weight[j], z.low_weight[i] * y.high_weight[j],
                                 z.high_weight[i] * y.low_weight[j], z.high_weight[i] * y.high_weight[j]};
      const int16_t* const nearest_row = row(z.nearest[i], y.nearest[j]);
      for (int64_t k = 0; k < new_shape[2]; ++k) {
        const int64_t low = x.low[k], high = x.high[k];
        const int16_t first = rows[0][low];
        bool uniform = true;
        for (const int16_t* r : rows) uniform = uniform && r[low] == first && r[high] == first;
        if (uniform) {
          *out++ = first;
          continue;
        }
        Ballot ballot;
        for (int r = 0; r < 4; ++r) {
          ballot.add(rows[r][low], weights[r] * x.low_weight[k]);
          ballot.add(rows[r][high], weights[r] * x.high_weight[k]);
        }
        *out++ = ballot.winner(nearest_row[x.nearest[k]]);
      }
    }
  }
  return result;
}

Volume<int16_t> resize_labels_spline(const Volume<int16_t>& labels, const Shape3& new_shape, const ResamplingRule& rule,
                                     std::optional<int> apart) {
  const Volume<int16_t> nearest = resize_labels_nearest(labels, new_shape);
  Volume<int16_t> result(1, new_shape);
  std::vector<float> best(result.values.size(), 0);
  for (const int16_t label : labels_in(labels)) {
    const std::vector<float> score = resample_channel(indicator(labels, label), labels.shape, new_shape, rule, apart);
    for (size_t i = 0; i < score.size(); ++i) {
      const bool settles_tie = score[i] == best[i] && score[i] > 0 && nearest.values[i] == label;
      if (score[i] > best[i] || settles_tie) result.values[i] = label;
      best[i] = std::max(best[i], score[i]);
    }
  }
  return result;
}

Volume<int16_t> resize_labels_along(const Volume<int16_t>& labels, int axis, int64_t new_extent, int order) {
  Shape3 new_shape = labels.shape;
  new_shape[axis] = new_extent;
  const ResamplingRule rule{
      .is_segmentation = true, .order = order, .order_z = order, .force_separate_z = std::nullopt};
  Volume<int16_t> result(1, new_shape);
  for (const int16_t label : labels_in(labels)) {
    const std::vector<float> score = resample_channel(indicator(labels, label), labels.shape, new_shape, rule, axis);
    for (size_t i = 0; i < score.size(); ++i)
      if (score[i] > 0.5f) result.values[i] = label;
  }
  return result;
}

}  // namespace voxgrad::preprocess
