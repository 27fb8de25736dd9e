// The order in which NumPy adds up an array, so that float32 sums come out with the same rounding.
#pragma once
#include <array>
#include <cstddef>

namespace voxgrad::preprocess {

/// Sum of value(i) for i in [begin, begin + count) in T. Source: NumPy, pairwise summation in the add loops: eight
/// partial sums in blocks of up to 128 values, above that halves whose lengths are multiples of eight.
template <class T, class Value>
T pairwise_sum(size_t begin, size_t count, const Value& value) {
  if (count < 8) {
    T sum = T(-0.0);
    for (size_t i = 0; i < count; ++i) sum += value(begin + i);
    return sum;
  }
  if (count > 128) {
    const size_t half = count / 2 - count / 2 % 8;
    return pairwise_sum<T>(begin, half, value) + pairwise_sum<T>(begin + half, count - half, value);
  }
  std::array<T, 8> partial;
  for (size_t lane = 0; lane < 8; ++lane) partial[lane] = value(begin + lane);
  size_t i = 8;
  for (; i + 8 <= count; i += 8)
    for (size_t lane = 0; lane < 8; ++lane) partial[lane] += value(begin + i + lane);
  T sum =
      ((partial[0] + partial[1]) + (partial[2] + partial[3])) + ((partial[4] + partial[5]) + (partial[6] + partial[7]));
  for (; i < count; ++i) sum += value(begin + i);
  return sum;
}

/// The sum of an array that is not one contiguous run in memory: NumPy buffers it in pieces of 8192 values.
template <class T, class Value>
T buffered_sum(size_t count, const Value& value) {
  constexpr size_t piece = 8192;
  T sum = 0;
  for (size_t begin = 0; begin < count; begin += piece)
    sum += pairwise_sum<T>(begin, count - begin < piece ? count - begin : piece, value);
  return sum;
}

}  // namespace voxgrad::preprocess
