// The cases of a run: where they are kept (device, host or disk), in which number format, and how a region of one is
// read. Each case's foreground locations are on the host.
#pragma once
#include <ATen/core/Tensor.h>

#include <array>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace voxgrad {

/// Positions (z, y, x).
using Voxels = std::vector<std::array<int32_t, 3>>;

using Extents = std::array<int64_t, 3>;  // (z, y, x); a 2D patch has extent 1 on axis 0

/// A preprocessed case. Its arrays lie where the store keeps them, all else on the host, so that choosing a patch reads
/// nothing back.
struct Case {
  std::string id;
  at::Tensor image;         // (C, D, H, W) float32 or float16; undefined on disk
  at::Tensor segmentation;  // (D, H, W) int8 or int16; -1 outside the nonzero region; undefined on disk
  Extents shape;
  /// Per class or region that occurs in this case: voxels of it.
  std::vector<Voxels> foreground;
  /// In a cascade the previous stage's segmentation, (D, H, W) int16 on the host, where its augmentation works;
  /// undefined without one, and on disk.
  at::Tensor previous;
  /// With an ignore label: voxels that are annotated.
  Voxels annotated;
};

/// What a case must be.
struct CaseRules {
  int64_t channels;
  std::vector<int64_t> labels;  // all values of a segmentation besides -1, the ignore label included
  bool has_ignore_label;
  std::string previous_stage;  // folder of the previous stage's segmentations; empty without a cascade
  int64_t previous_labels;     // their foreground labels
};

/// The part of a case's arrays that a box of it needs.
struct Region {
  at::Tensor image, segmentation, previous;  // as in Case, contiguous but for `previous`
  Extents start;                             // of the box in them; it may reach beyond
  Extents extent;                            // of the box
};

enum class Place { kDevice, kHost, kDisk };

/// A folder of preprocessed cases: CASE.b2nd and CASE_seg.b2nd (or the same as .npy) and CASE.pkl, and how they are
/// kept.
struct CaseFolder {
  std::string folder;
  CaseRules rules;
  Place place;
  bool half;  // images as float16
};

/// Cases, each read when it is first needed. Reading throws Failure: ERR_FORMAT for a damaged file, ERR_DATASET that
/// names the case, what was expected and what was found for a case that does not fit (channels, shapes, labels, values
/// that are not finite); of cases on disk, values are checked where they are read.
class CaseStore {
 public:
  CaseStore() = default;
  /// Cases in memory as they are, which their device reads directly.
  explicit CaseStore(std::vector<Case> cases);
  CaseStore(CaseFolder folder, std::vector<std::string> ids, at::Device device);

  size_t size() const { return ids_.size(); }
  bool empty() const { return ids_.empty(); }
  /// Whether regions have to be read or copied, which is worth doing ahead.
  bool reads_regions() const { return folder_.place != Place::kDevice; }

  /// Several threads may call it and region().
  std::shared_ptr<const Case> at(size_t index) const;
  /// What the box [start, start + extent) needs: the case's own arrays, or where those are not on the device a part of
  /// them that is to be moved there.
  Region region(const Case& source, const Extents& start, const Extents& extent) const;
  Region to_device(Region region) const;

 private:
  Case load(const std::string& id) const;

  CaseFolder folder_{{}, {}, Place::kDevice, false};
  at::Device device_ = at::kCPU;
  std::vector<std::string> ids_;
  /// Behind a pointer, so that a store can be moved.
  std::unique_ptr<std::mutex> mutex_ = std::make_unique<std::mutex>();
  mutable std::vector<std::shared_ptr<const Case>> cases_;
  mutable size_t kept_locations_ = 0;
};

/// Bytes of cases of a folder in memory, from the files' headers: of 256 cases, from which the rest is estimated.
int64_t bytes_in_memory(const CaseFolder& folder, const std::vector<std::string>& ids);

/// Bytes that the device has free; 0 if it does not say.
int64_t free_device_memory(at::Device device);

/// "device", "host", "disk", or "auto": the first of them that has room for so many bytes. The CPU's own memory is both
/// device and host. Throws Failure(ERR_CONFIG) for another name.
Place choose_place(const std::string& name, int64_t bytes, at::Device device, int64_t free_on_host);

/// A previous stage's segmentation of a case of extents (z, y, x), as nnU-Net stores it in predicted_next_stage:
/// (D, H, W) int16 on the host. Throws Failure as CaseStore does.
at::Tensor read_previous_stage(const std::string& folder, const std::string& id, at::IntArrayRef extents,
                               int64_t labels);

/// (labels, ...) float32 channels of 0 and 1 for foreground labels 1 to `labels`, on the segmentation's device.
at::Tensor one_hot_labels(const at::Tensor& segmentation, int64_t labels);

}  // namespace voxgrad
