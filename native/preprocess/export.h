// From logits on the network's grid back to labels on the grid of the original image.
#pragma once
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "preprocess/case.h"

namespace voxgrad::preprocess {

/// Labels of one byte, or of two from 255 foreground labels on.
using ExportedLabels = std::variant<Volume<uint8_t>, Volume<uint16_t>>;

/// How logits become labels: the largest one wins (ties: the lowest class), or with region_labels each region whose
/// sigmoid exceeds 0.5 paints its label, later ones over earlier ones. Takes resampled logits one class at a time.
class LabelsOfLogits {
 public:
  LabelsOfLogits(int64_t classes, std::vector<int64_t> region_labels, int64_t voxels);
  void add(std::vector<float> logit);
  const std::vector<uint16_t>& labels() const { return labels_; }
  /// Whether a byte holds every label: nnU-Net stores two from 255 foreground labels on.
  bool fits_byte() const;

 private:
  int64_t classes_, next_ = 0;
  std::vector<int64_t> region_labels_;
  std::vector<float> best_;
  std::vector<uint16_t> labels_;
};

/// Resamples logits (classes, a0, a1, a2) to the cropped grid, makes labels of them, fills the crop box of an otherwise
/// zero volume and undoes the transpose. target_spacing is the plan's, in transposed order; region_labels is empty
/// without regions. One class at a time is held at the original resolution. Source: nnU-Net,
/// inference/export_prediction.py, convert_predicted_logits_to_segmentation_with_correct_shape.
ExportedLabels export_segmentation(std::span<const float> logits, int64_t classes, const Shape3& shape,
                                   const CaseProperties& properties, const std::vector<double>& target_spacing,
                                   const std::array<int, 3>& transpose_forward, const ResamplingRule& rule,
                                   const std::vector<int64_t>& region_labels);

/// Writes labels for a cascade's next stage: logits resampled to that stage's grid of the cropped case, as a Blosc2
/// array (a0, a1, a2) of a byte or two. target_spacing is this stage's, next_spacing the next one's, both in transposed
/// order; patch_size is this stage's and decides chunks. Throws Failure(ERR_DISK). Source: nnU-Net,
/// inference/export_prediction.py, resample_and_save.
void write_next_stage(const std::string& file, std::span<const float> logits, int64_t classes, const Shape3& shape,
                      const CaseProperties& properties, const std::vector<double>& target_spacing,
                      const std::vector<double>& next_spacing, const std::array<int, 3>& transpose_forward,
                      const ResamplingRule& rule, const std::vector<int64_t>& region_labels,
                      const std::vector<int64_t>& patch_size);

}  // namespace voxgrad::preprocess
