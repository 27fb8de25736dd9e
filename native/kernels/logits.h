// Logits and labels as kernels take them.
#pragma once
#include <ATen/ATen.h>

#include "kernels/loss.h"
#include "kernels/tensors.h"

namespace voxgrad {

/// The tensor itself if it is dense in one of the two layouts, else a contiguous copy.
inline at::Tensor dense_logits(const at::Tensor& logits) {
  return logits.is_contiguous(logits.suggest_memory_format()) ? logits : logits.contiguous();
}

/// int8 or int16, contiguous.
inline at::Tensor narrow_labels(const at::Tensor& labels) {
  const bool fits = labels.scalar_type() == at::kChar || labels.scalar_type() == at::kShort;
  return (fits ? labels : labels.to(at::kShort)).contiguous();
}

/// `labels`: (B, ...) at full resolution, as narrow_labels returns them; `membership`: undefined without regions.
inline LevelLabels level_labels(const at::Tensor& logits, const at::Tensor& labels, int64_t ignored,
                                const at::Tensor& membership) {
  TORCH_CHECK(labels.dim() + 1 == logits.dim() && labels.size(0) == logits.size(0) &&
                  labels.device() == logits.device() && logits.dim() <= 5,
              "expected labels (B, ...) for logits (B, C, ...), found ", labels.sizes(), " for ", logits.sizes());
  const int64_t voxels = logits.numel() / (logits.size(0) * logits.size(1));
  TORCH_CHECK(voxels <= INT32_MAX, "expected at most 2^31 - 1 voxels a sample, found ", voxels);
  LevelLabels result{labels.data_ptr(), labels.scalar_type() == at::kChar,
                     {1, 1, 1},         {1, 1, 1},
                     {1, 1, 1},         static_cast<int32_t>(ignored >= 0 ? ignored : -1),
                     nullptr,           0};
  for (int64_t axis = 1; axis < labels.dim(); ++axis) {
    const auto to = static_cast<size_t>(axis + 3 - labels.dim());
    result.extents[to] = static_cast<int32_t>(logits.size(axis + 1));
    result.full[to] = static_cast<int32_t>(labels.size(axis));
    result.ratios[to] = static_cast<float>(labels.size(axis)) / static_cast<float>(logits.size(axis + 1));
  }
  if (membership.defined()) {
    result.membership = membership.data_ptr<float>();
    result.label_count = static_cast<int32_t>(membership.size(0));
  }
  return result;
}

/// Partial sums of a sample: as many that a large accelerator is busy, and each still adds some 64 voxels.
inline int64_t partials_of(const Layout& layout) {
  return std::clamp<int64_t>(layout.voxels / 64, 1, std::max<int64_t>(32768 / class_groups(layout), 1024));
}

}  // namespace voxgrad
