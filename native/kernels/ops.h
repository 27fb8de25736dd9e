// The ops with kernels of their own, called through the dispatcher: a CPU kernel each (functor and launcher), and for
// any other device the same computation composed of ATen's ops, which also is the independent check of the kernel.
#pragma once
#include <ATen/core/Tensor.h>

#include <array>
#include <functional>
#include <tuple>
#include <vector>

#include "kernels/draw.h"
#include "kernels/gather.h"

namespace voxgrad {

/// Resamples image (c, z, y, x) float32 and labels (n, z, y, x) of any type on a grid of output extents. matrix: 9
/// numbers, row-major, from output to input offsets about the centers, in voxels. See kernels/warp.h for the rules.
/// nearest_*: the nearest voxel's value in place of interpolation.
std::tuple<at::Tensor, at::Tensor> warp(const at::Tensor& image, const at::Tensor& labels, at::ArrayRef<double> matrix,
                                        at::IntArrayRef output, bool nearest_image, bool nearest_labels);

/// Crop, affine, interpolation and mirroring in one pass, on the tensors' device. image: (c, z, y, x) float32 or
/// float16, labels: (z, y, x) int16 or int8, both contiguous. image_out: (c, z, y, x) float32, a sample's place in a
/// batch of either layout; labels_out: (z, y, x) int16. geometry.stored and .output are filled in here. as_kernel: an
/// accelerator's kernel also on the CPU.
void gather(const at::Tensor& image, const at::Tensor& labels, GatherGeometry geometry, const at::Tensor& image_out,
            const at::Tensor& labels_out, bool as_kernel = false);

/// In place: adds standard_deviation times a normal field to a contiguous float32 tensor. Number i belongs to element
/// i, or where `flip` is given (one entry each for the last three axes) to the element that lay there before mirroring.
void add_normal_field(const at::Tensor& values, double standard_deviation, const Draw& draw,
                      const std::array<bool, 3>& flip = {});

// In place on one contiguous channel (z, y, x), float32; see augment/intensity.h for what they do.

/// weights: for each axis the middle and those to one side; an empty list leaves the axis alone.
void blur_channel(const at::Tensor& values, const std::array<std::vector<float>, 3>& weights);
void contrast_channel(const at::Tensor& values, float factor, bool clamp);
/// coarse: extents of the coarse grid, which lies on the channel as it was before mirroring.
void low_resolution_channel(const at::Tensor& values, const std::array<int64_t, 3>& coarse,
                            const std::array<bool, 3>& flip);
/// exponent: above 0.
void gamma_channel(const at::Tensor& values, float exponent, bool invert);

/// leaky_relu((x - mean) / sqrt(var + eps) * weight + bias) per sample and channel; var is the population variance.
/// x: (B, C, ...) float32, bfloat16 or float16, dense in either layout; weight, bias: (C) float32. Differentiable.
/// x itself is overwritten and returned, and the result is all that is kept for the gradient; with keep_input x stays,
/// is kept, and negative_slope must be 1: for weights that may be 0, which no result tells the input of.
at::Tensor instance_norm_leaky_relu_(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps,
                                     double negative_slope, bool keep_input);

/// Adds what the network says of a tile to the sums of an image. output: (classes, z, y, x) float32, bfloat16 or
/// float16 in any layout, of a tile that was mirrored along the axes of `flip`: copy number `copy` (from 0) of
/// `copies`, the mean of which counts. copies_sum: a contiguous buffer of the output's extents, unused with a single
/// copy. weights: (z, y, x) contiguous; sums, weight_sums: the tile's place in (classes, z, y, x) and (z, y, x), all
/// float32. kernels: an accelerator's also on the CPU. The results on the CPU are those of ATen's sum, div, mul and
/// add_.
void accumulate(const at::Tensor& output, const std::array<bool, 3>& flip, int64_t copy, int64_t copies,
                const at::Tensor& copies_sum, const at::Tensor& weights, const at::Tensor& sums,
                const at::Tensor& weight_sums, bool kernels = false);

/// How the losses of all levels are made: soft Dice and cross-entropy, of a softmax or, with regions, of sigmoids. See
/// level_loss in engine/loss.h.
struct LossTerms {
  std::vector<double> level_weights;  // of the levels that are given
  double dice_weight, entropy_weight, label_smoothing;
  bool annotated_mean, batch_dice;
  double smooth;
  int64_t ignored;        // a label; -1: none
  at::Tensor membership;  // (labels, regions) float32 of 0 and 1; undefined without regions
  bool kernels;           // those of an accelerator, also on the CPU
  /// Of a batch that several processes share: its samples, and the first of those given here. 0: these are all.
  int64_t batch = 0, first_sample = 0;
  /// From this part's sums (levels, samples, columns) those of the whole batch; empty where no part depends on another.
  /// The loss is then a share of the whole: added over the processes it is that of the batch.
  std::function<at::Tensor(const at::Tensor&)> gather = {};
};

/// The weighted sum of the levels' losses as a 0-dimensional float32 tensor, differentiable by the logits (B, C, ...)
/// of float32, bfloat16 or float16. labels: (B, ...) integers at full resolution, which each level reads nearest-exact.
at::Tensor deep_supervision_loss(const std::vector<at::Tensor>& logits, const at::Tensor& labels,
                                 const LossTerms& terms);

/// Adds true positives, false positives and false negatives of what `logits` predict, by foreground class or region, to
/// three contiguous int64 tensors on the device. ignored, membership, kernels: as in LossTerms. Logits as above.
void add_dice_counts(const at::Tensor& logits, const at::Tensor& labels, int64_t ignored, const at::Tensor& membership,
                     bool kernels, const std::array<at::Tensor, 3>& counts);

}  // namespace voxgrad
