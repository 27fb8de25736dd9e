// The ledger: what each op reads and writes of its large tensors, from shapes alone. Statistics, partial sums and
// tables are left out; labels count where they are a pass of their own. native/check/traffic.cpp counts the kernels'
// own reads and writes against it, docs/performance.md has it as a table, bench/ops.mjs prints bytes a second.
#pragma once
#include <cstdint>

#include "kernels/loss.h"

namespace voxgrad {

/// How often a tensor's elements are read and written.
struct Passes {
  int64_t read, written;

  constexpr int64_t total() const { return read + written; }
};

/// Instance norm and leaky ReLU: statistics, then the norm in place; two sums, then the input's gradient.
constexpr Passes norm_forward{2, 1}, norm_backward{4, 1};

/// Whether several threads of an accelerator share a voxel, so that they need a number a voxel made before them.
constexpr bool shares_voxels(int64_t classes, bool regions) { return !regions && classes > kClassGroup; }

/// Dice and cross-entropy over logits of so many classes, by an accelerator's kernels; the CPU's loops are those of
/// few.
constexpr Passes loss_forward(int64_t classes, bool regions) { return {shares_voxels(classes, regions) ? 2 : 1, 0}; }
constexpr Passes loss_backward(int64_t classes, bool regions) { return {shares_voxels(classes, regions) ? 2 : 1, 1}; }
/// The pseudo-Dice's counts.
constexpr Passes counting{1, 0};

/// A sliding window's tile of so many mirrored copies: over outputs, over the buffer of the copies' sum, over the
/// image's sums.
constexpr Passes accumulated_outputs(int64_t copies) { return {copies, 0}; }
constexpr Passes accumulated_copies(int64_t copies) { return {copies - 1, copies - 1}; }
constexpr Passes accumulated_sums{1, 1};

/// A copied sample: over the stored image and labels, and the sample's.
constexpr Passes gather_copied{1, 1};

/// The intensity transforms of one channel, in place; statistics are one reading.
constexpr Passes noise_passes{1, 1}, contrast_passes{2, 1}, gamma_passes{4, 2};

}  // namespace voxgrad
