// Partial sums added up: reductions without shared memory and without atomics, the same on every device and in any run.
#pragma once
#include "kernels/draw.h"

namespace voxgrad {

/// Rows that one thread adds.
constexpr int64_t kFoldGroup = 64;

/// Adds groups of kFoldGroup rows; index: of the sum that is made.
template <class From, class To>
struct Fold {
  const From* from;  // (samples, from_rows, columns)
  To* to;            // (samples, to_rows, columns)
  int64_t columns, from_rows, to_rows;

  VOXGRAD_HOST_DEVICE void operator()(int64_t i) const {
    const int64_t column = i % columns, row = i / columns % to_rows, sample = i / columns / to_rows;
    To sum = 0;
    for (int64_t k = row * kFoldGroup; k < (row + 1) * kFoldGroup && k < from_rows; ++k)
      sum += static_cast<To>(from[(sample * from_rows + k) * columns + column]);
    to[i] = sum;
  }
};

}  // namespace voxgrad
