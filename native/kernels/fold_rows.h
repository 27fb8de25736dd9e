// Folds partial sums until one row is left.
#pragma once
#include <ATen/ATen.h>

#include "kernels/fold.h"
#include "kernels/launch.h"

namespace voxgrad {

/// (samples, columns) of type To from partial sums (samples, rows, columns) of type From.
template <class From, class To>
at::Tensor fold_rows(const at::Tensor& partial) {
  const int64_t samples = partial.size(0), columns = partial.size(2);
  const auto type = c10::CppTypeToScalarType<To>::value;
  const auto fold = [&](const auto* from, int64_t rows) {
    using Number = std::remove_cv_t<std::remove_pointer_t<decltype(from)>>;
    const int64_t folded = (rows + kFoldGroup - 1) / kFoldGroup;
    const at::Tensor result = at::empty({samples, folded, columns}, partial.options().dtype(type));
    launch(result.device(), result.numel(), Fold<Number, To>{from, result.data_ptr<To>(), columns, rows, folded});
    return result;
  };
  at::Tensor sums = fold(static_cast<const From*>(partial.data_ptr<From>()), partial.size(1));
  while (sums.size(1) > 1) sums = fold(static_cast<const To*>(sums.data_ptr<To>()), sums.size(1));
  return sums.squeeze(1);
}

}  // namespace voxgrad
