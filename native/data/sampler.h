// Which case and which box a sample of a batch is cut from, and the cut itself.
// Source: nnunetv2/training/dataloading/data_loader.py (get_bbox, determine_shapes, _oversample_last_XX_percent,
// _probabilistic_oversampling).
#pragma once
#include <vector>

#include "data/case_store.h"
#include "kernels/draw.h"

namespace voxgrad {

/// Position rule: the last third of a batch is forced to show foreground. Sample j is forced iff
/// j >= round(batch_size * (1 - share)), half to even: none of 1, one of 2 to 4, two of 5 to 7, ...
bool is_foreground_forced(int64_t sample, int64_t batch_size, double share);

/// Whether a sample is forced to show foreground: each with probability `share`, or by the position rule, which draws
/// nothing.
bool draw_foreground_forced(int64_t sample, int64_t batch_size, double share, bool by_probability, Draw& draw);

/// Start of a box of extent `load` in a case, so that a patch of extent `patch` can be cut from its middle after a
/// rotation. The box may reach beyond the case on either side. A forced box shows a random voxel of a random class, any
/// other a random annotated voxel if there is an ignore label: it is centered there and clamped at the lower bound
/// only, as nnU-Net does. A forced box of a case without foreground is like any other, and without any such voxel boxes
/// are drawn uniformly.
Extents draw_box_start(const Case& source, const Extents& load, const Extents& patch, bool force_foreground,
                       Draw& draw);

/// Cuts [start, start + extent) out; beyond the case the image is 0 and the segmentation -1. Returns contiguous tensors
/// (C, D, H, W) and (D, H, W) on the case's device.
std::pair<at::Tensor, at::Tensor> crop(const Case& source, const Extents& start, const Extents& extent);

/// The region's box of the previous stage's segmentation, padded with -1; undefined if the case has none.
at::Tensor crop_previous(const Region& region);

}  // namespace voxgrad
