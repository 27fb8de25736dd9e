// Every voxgrad op: its schema and what it does. Names ending in _ change their first tensor and return it.
#include <torch/library.h>

TORCH_LIBRARY(voxgrad, m) {
  // Ops with a kernel of their own (kernels/ops.h).

  // Image (c, z, y, x) and labels (n, z, y, x) resampled on a grid of output extents; matrix: output to input offsets.
  m.def(
      "warp(Tensor image, Tensor labels, float[] matrix, int[] output, bool nearest_image, bool nearest_labels) -> "
      "(Tensor, Tensor)");
  // The same, composed of ATen's ops on any device.
  m.def(
      "warp_composed(Tensor image, Tensor labels, float[] matrix, int[] output, bool nearest_image, "
      "bool nearest_labels) -> (Tensor, Tensor)");
  // Crop, affine (matrix empty: the middle of the box), mirroring along axes whose flip is 1, in one pass. background:
  // label -1 becomes 0; half: from float16; channels_last: into such a sample; kernels: those of an accelerator.
  m.def(
      "gather(Tensor image, Tensor labels, int[] start, int[] box, float[] matrix, int[] output, int[] flip, "
      "bool nearest_image, bool nearest_labels, bool background, bool half, bool channels_last, bool kernels) -> "
      "(Tensor, Tensor)");
  // Adds standard_deviation times the normal field of a stream: key (2 words), purpose << 16 | sample, step (2 words).
  m.def("add_normal_field_(Tensor(a!) values, float standard_deviation, int[] words) -> ()");
  // The same, composed of ATen's ops on any device.
  m.def("add_normal_field_composed_(Tensor(a!) values, float standard_deviation, int[] words) -> ()");
  // Instance norm and leaky ReLU with the gradients of x, weight and bias for a gradient of the result. keep_input:
  // backward is given x, not the result; layouts: 0 contiguous, 1 channels-last, 2 neither (the gradient's alone);
  // kernels: those of an accelerator, also on the CPU; repeats: for benchmarks.
  m.def(
      "instance_norm_leaky_relu(Tensor x, Tensor gradient, Tensor weight, Tensor bias, float eps, "
      "float negative_slope, int layout, int gradient_layout, bool keep_input, bool kernels, "
      "int repeats) -> (Tensor, Tensor, "
      "Tensor, Tensor)");
  // Adds a tile at `start` to an image's sums (classes, z, y, x) and its weights' sums (z, y, x): the mean of its
  // outputs (copies, classes, z, y, x), each mirrored along the axes whose flip (3 a copy) is 1. format, layout,
  // kernels, repeats: as those of fused_loss.
  m.def(
      "accumulate_(Tensor(a!) sums, Tensor(b!) weight_sums, Tensor outputs, Tensor weights, int[] start, int[] flips, "
      "int format, int layout, bool kernels, int repeats) -> (Tensor(a!), Tensor(b!))");
  // Bytes that an op of these reads and writes of its large tensors, by the ledger in kernels/traffic.h. shape: of its
  // first large tensor; format: as that of fused_loss.
  m.def("traffic(str op, int[] shape, int format) -> Tensor");
  // The four words of one Philox4x32-10 block.
  m.def("philox_block(int[] counter, int[] key) -> Tensor");

  // The augmentation's transforms with given parameters (augment/*.h). image (c, z, y, x) or (c, y, x) float32,
  // segmentation (z, y, x) or (y, x). Angles in radians.

  // Rotates and scales about the center, one angle and one scale per axis, or only crops (identity).
  m.def(
      "spatial(Tensor image, Tensor segmentation, bool identity, bool dummy2d, float[] angles, float[] scales, "
      "int[] patch_size, bool nearest_image, bool nearest_labels) -> (Tensor, Tensor)");
  // Adds the normal field at an address.
  m.def("gaussian_noise_(Tensor(a!) image, float standard_deviation, int seed, int step, int sample) -> Tensor(a!)");
  // Blurs one channel; one sigma per spatial axis.
  m.def("gaussian_blur_(Tensor(a!) image, int channel, float[] sigmas) -> Tensor(a!)");
  // The median of a cube around each voxel of one channel.
  m.def("median_filter_(Tensor(a!) image, int channel, int size) -> Tensor(a!)");
  // Multiplies one channel.
  m.def("brightness_(Tensor(a!) image, int channel, float factor) -> Tensor(a!)");
  // Shifts one channel.
  m.def("additive_brightness_(Tensor(a!) image, int channel, float shift) -> Tensor(a!)");
  // Scales one channel about its mean; clamp: within its range.
  m.def("contrast_(Tensor(a!) image, int channel, float factor, bool clamp) -> Tensor(a!)");
  // Samples one channel down and up again.
  m.def("low_resolution_(Tensor(a!) image, int channel, float scale, bool keep_axis_0) -> Tensor(a!)");
  // Raises one channel to a power within its range, keeping mean and standard deviation.
  m.def("gamma_(Tensor(a!) image, int channel, float exponent, bool invert) -> Tensor(a!)");
  // Turns by 90 degrees in a plane of two spatial axes.
  m.def("quarter_turn(Tensor image, Tensor segmentation, int turns, int[] plane) -> (Tensor, Tensor)");
  // Reorders the spatial axes.
  m.def("transpose(Tensor image, Tensor segmentation, int[] order) -> (Tensor, Tensor)");
  // Fills a box of one channel with its mean.
  m.def("blank_rectangle_(Tensor(a!) image, int channel, int[] start, int[] extent) -> Tensor(a!)");
  // Adds a Gaussian bump to one channel; center and width in voxels, one per axis.
  m.def(
      "brightness_gradient_(Tensor(a!) image, int channel, float strength, float[] center, float[] width) -> "
      "Tensor(a!)");
  // Raises one channel to a power where a Gaussian bump is.
  m.def("local_gamma_(Tensor(a!) image, int channel, float exponent, float[] center, float[] width) -> Tensor(a!)");
  // Adds strength times the negative Laplacian of one channel.
  m.def("sharpening_(Tensor(a!) image, int channel, float strength) -> Tensor(a!)");
  // Flips along spatial axes.
  m.def("mirror(Tensor image, Tensor segmentation, int[] axes) -> (Tensor, Tensor)");
  // 0 where the segmentation is -1, in the channels whose entry is 1.
  m.def("mask_image_(Tensor(a!) image, Tensor segmentation, int[] mask_image) -> Tensor(a!)");
  // Label -1 becomes background.
  m.def("remove_label_(Tensor(a!) segmentation) -> Tensor(a!)");

  // Dilates (0), erodes (1), closes (2) or opens (3) one label of a previous stage's segmentation.
  m.def("previous_operator(Tensor segmentation, int label, int what, float radius) -> Tensor");
  // Removes one of the label's components that have less than a share of the voxels.
  m.def("previous_removal(Tensor segmentation, int label, float choice, float largest_share) -> Tensor");

  // The augmentation's decisions. config: AugmentationConfig's fields in order, flattened, one maskImage per channel.

  // Parameters drawn for steps [first_step, last_step), one row each; columns: see augment/ops.cpp.
  m.def(
      "draw_augmentation(float[] config, int[] patch_size, int channels, int seed, int first_step, int last_step, "
      "int sample) -> Tensor");
  // What is done to a previous stage of so many labels, one row a step; columns: see augment/ops.cpp.
  m.def("draw_previous_stage(float[] config, int labels, int seed, int steps) -> Tensor");
  // The whole chain: from the initial patch to the patch.
  m.def(
      "augment(Tensor image, Tensor segmentation, float[] config, int[] patch_size, int seed, int step, int sample) "
      "-> (Tensor, Tensor)");

  // Patch sampling (data/sampler.h).

  // Starts (count, 3) of boxes in a case; classes: rows of class index (-1: annotated) and voxel (z, y, x).
  m.def(
      "draw_box_starts(int[] shape, int[] load, int[] patch, bool forced, Tensor classes, int seed, int count) -> "
      "Tensor");
  // Image (c, z, y, x) and segmentation (z, y, x) cut at a start that may lie outside; padded with 0 and -1.
  m.def("crop(Tensor image, Tensor segmentation, int[] start, int[] extent) -> (Tensor, Tensor)");
  // 1 for the samples of a batch that are forced to show foreground.
  m.def("forced_samples(int batch_size, float share, bool by_probability, int seed, int step) -> Tensor");

  // Losses and counts (engine/loss.h, engine/targets.h). outputs: the labels of each output, each list ended by -1;
  // ignore_label -1: none.

  // The loss of one level and its gradient. weights: of Dice and of cross-entropy.
  m.def(
      "level_loss(Tensor logits, Tensor labels, int[] outputs, bool overlapping, int ignore_label, float[] weights, "
      "float top_k_percent, float label_smoothing, bool annotated_mean, bool batch_dice, float smooth) -> (Tensor, "
      "Tensor)");
  // The same by the training's own kernels: logits of a level in number format 0 (float32), 1 (bfloat16) or 2 (float16)
  // and a layout (0, 1, 2 as above), labels at full resolution; kernels: those of an accelerator, also on the CPU; done
  // `repeats` times, for benchmarks.
  m.def(
      "fused_loss(Tensor logits, Tensor labels, int[] outputs, bool overlapping, int ignore_label, float[] weights, "
      "float label_smoothing, bool annotated_mean, bool batch_dice, float smooth, int format, int layout, "
      "bool kernels, int repeats) -> (Tensor, Tensor)");
  // True positives, false positives and false negatives, one row each, added up `repeats` times. layout,
  // kernels: as above.
  m.def(
      "count_dice(Tensor logits, Tensor labels, int[] outputs, bool overlapping, int ignore_label, int layout, "
      "bool kernels, int repeats) -> Tensor");

  // File formats (io/*.h).

  // Chunk and block extents of nnU-Net's rule, (2, 4), for an array (c, z, y, x).
  m.def("blosc2_layout(int[] shape, int[] patch, int element_bytes) -> Tensor");
  // The box [start, stop) of STEM.b2nd or STEM.npy.
  m.def("read_case_box(str stem, int[] start, int[] stop) -> Tensor");
  // Writes an array with that layout and reads it back.
  m.def("write_blosc2(Tensor array, str path, int[] patch) -> Tensor");
  // Reads a file and writes its content to another one.
  m.def("rewrite_pickle(str from, str to) -> ()");
  m.def("rewrite_torch_file(str from, str to) -> ()");
}
