// Reads preprocessed cases and checks that they are what the network expects.
#include "data/case_store.h"

#include <c10/core/CachingDeviceAllocator.h>

#include <algorithm>
#include <sstream>

#include "failure.h"
#include "io/blosc2_array.h"
#include "io/files.h"
#include "io/npy.h"
#include "io/pickle.h"

namespace voxgrad {

namespace {

std::string describe(at::IntArrayRef sizes) {
  std::ostringstream text;
  text << sizes;
  return text.str();
}

Voxels to_voxels(const io::Value& value, const std::array<int64_t, 3>& shape, const std::string& where) {
  if (!value.is<io::NumpyArray>()) return {};  // a label that does not occur holds an empty list
  const at::Tensor rows = value.as<io::NumpyArray>().array.to(at::kLong).contiguous();
  if (rows.numel() == 0) return {};
  if (rows.dim() != 2 || rows.size(1) != 4) {
    throw Failure("ERR_PREPROCESSED",
                  where + ": class_locations need 4 columns, found shape " + describe(rows.sizes()));
  }
  Voxels voxels(static_cast<size_t>(rows.size(0)));
  const int64_t* row = rows.data_ptr<int64_t>();
  for (auto& voxel : voxels) {
    for (size_t axis = 0; axis < 3; ++axis) {
      const int64_t position = row[axis + 1];
      if (position < 0 || position >= shape[axis])
        throw Failure("ERR_PREPROCESSED", where + ": a class location lies outside the image");
      voxel[axis] = static_cast<int32_t>(position);
    }
    row += 4;
  }
  return voxels;
}

/// nnU-Net's key of the annotated voxels: -1 and all labels, as a tuple.
bool stands_for_annotated(const io::Value& key) {
  return key.is<io::Tuple>() && !key.as<io::Tuple>().items.empty() && key.as<io::Tuple>().items[0].integer() == -1;
}

/// Fills in where the case's classes, and with an ignore label its annotated voxels, are.
void read_locations(const io::Value& properties, bool has_ignore_label, const std::string& where, Case& result) {
  const io::Value& locations = properties.at("class_locations");
  if (!locations.is<io::Dict>()) throw Failure("ERR_PREPROCESSED", where + ": class_locations is not a dict");
  bool has_annotated = false;
  for (const auto& [key, value] : locations.as<io::Dict>().items) {
    Voxels voxels = to_voxels(value, result.shape, where);
    if (stands_for_annotated(key)) {
      has_annotated = true;
      result.annotated = std::move(voxels);
    } else if (!voxels.empty()) {
      result.foreground.push_back(std::move(voxels));
    }
  }
  if (has_annotated != has_ignore_label) {
    throw Failure("ERR_PREPROCESSED", where +
                                          (has_ignore_label ? ": class_locations lack the annotated voxels, but"
                                                            : ": class_locations have annotated voxels, but") +
                                          " dataset.json has " + (has_ignore_label ? "an" : "no") +
                                          " ignore label; run `voxgrad preprocess` again");
  }
}

}  // namespace

at::Tensor read_previous_stage(const std::string& folder, const std::string& id, at::IntArrayRef extents,
                               int64_t labels) {
  const std::string file = folder + "/" + id + ".b2nd";
  const at::Tensor segmentation = io::read_blosc2(file).to(at::kShort).contiguous();
  const std::string advice = "; predict it again with the previous stage";
  if (segmentation.sizes() != extents) {
    throw Failure("ERR_PREPROCESSED", file + ": expected a segmentation of the case's extents (z, y, x) " +
                                          describe(extents) + ", found " + describe(segmentation.sizes()) + advice);
  }
  const auto largest = segmentation.max().item<int64_t>();
  if (largest > labels) {
    throw Failure("ERR_PREPROCESSED", file + ": expected labels up to " + std::to_string(labels) + ", found " +
                                          std::to_string(largest) + advice);
  }
  return segmentation;
}

at::Tensor one_hot_labels(const at::Tensor& segmentation, int64_t labels) {
  std::vector<int64_t> shape(static_cast<size_t>(segmentation.dim()) + 1, 1);
  shape[0] = labels;
  return segmentation.unsqueeze(0).eq(at::arange(1, labels + 1, segmentation.options()).view(shape)).to(at::kFloat);
}

namespace {

Failure fault(const CaseFolder& folder, const std::string& id, const std::string& what) {
  return Failure("ERR_PREPROCESSED",
                 "case " + id + " in " + folder.folder + ": " + what + "; run `voxgrad preprocess` again");
}

void check_shapes(const CaseFolder& folder, const std::string& id, at::IntArrayRef image, at::IntArrayRef labels) {
  const int64_t channels = folder.rules.channels;
  if (image.size() != 4 || image[0] != channels) {
    throw fault(
        folder, id,
        "expected an image of " + std::to_string(channels) + " channels (c, z, y, x), found shape " + describe(image));
  }
  if (labels.size() != 4 || labels[0] != 1 || labels.slice(1) != image.slice(1)) {
    throw fault(
        folder, id,
        "expected a segmentation of the image's extents, found " + describe(labels) + " for " + describe(image));
  }
}

/// Checks what was read and gives it the number format that it is kept in.
at::Tensor kept_image(const CaseFolder& folder, const std::string& id, const at::Tensor& read) {
  const at::Tensor image = read.to(at::kFloat);
  if (!image.isfinite().all().item<bool>()) throw fault(folder, id, "the image holds values that are not finite");
  if (!folder.half) return image;
  const at::Tensor half = image.to(at::kHalf);
  if (!half.isfinite().all().item<bool>()) {
    throw Failure("ERR_PREPROCESSED", "case " + id + " in " + folder.folder +
                                          ": the image holds values above 65504, which float16 does not have; set " +
                                          "data.storage to float32");
  }
  return half;
}

/// One byte a label suffices unless there are many.
bool is_narrow(const CaseRules& rules) {
  return std::all_of(rules.labels.begin(), rules.labels.end(), [](int64_t label) { return label <= 127; });
}

at::Tensor kept_labels(const CaseFolder& folder, const std::string& id, const at::Tensor& read) {
  const at::Tensor labels = read.to(at::kShort).squeeze(0).contiguous();
  const auto& known = folder.rules.labels;
  std::vector<bool> seen(65536);
  const int16_t* voxel = labels.const_data_ptr<int16_t>();
  for (int64_t i = 0; i < labels.numel(); ++i) seen[static_cast<size_t>(voxel[i] + 32768)] = true;
  for (int64_t value = -32768; value < 32768; ++value) {
    if (seen[static_cast<size_t>(value + 32768)] && value != -1 &&
        std::find(known.begin(), known.end(), value) == known.end()) {
      throw fault(folder, id,
                  "the segmentation holds label " + std::to_string(value) + ", which dataset.json does not name");
    }
  }
  return is_narrow(folder.rules) ? labels.to(at::kChar) : labels;
}

size_t count_locations(const Case& source) {
  size_t count = source.annotated.size();
  for (const Voxels& voxels : source.foreground) count += voxels.size();
  return count;
}

at::Tensor pinned(const at::Tensor& tensor, at::Device device) {
  return device.is_cuda() ? tensor.pin_memory() : tensor;
}

}  // namespace

CaseStore::CaseStore(std::vector<Case> cases) {
  for (Case& one : cases) {
    ids_.push_back(one.id);
    device_ = one.image.device();
    cases_.push_back(std::make_shared<const Case>(std::move(one)));
  }
}

CaseStore::CaseStore(CaseFolder folder, std::vector<std::string> ids, at::Device device)
    : folder_(std::move(folder)), device_(device), ids_(std::move(ids)), cases_(ids_.size()) {}

std::shared_ptr<const Case> CaseStore::at(size_t index) const {
  {
    const std::lock_guard lock(*mutex_);
    if (cases_[index]) return cases_[index];
  }
  auto loaded = std::make_shared<const Case>(load(ids_[index]));
  const std::lock_guard lock(*mutex_);
  if (cases_[index]) return cases_[index];  // another thread was faster
  // Of cases on disk the locations alone are kept, and of many not all: 256 MiB. Cases are drawn uniformly, so that
  // those which came first are as good as any others.
  constexpr size_t most_locations = (size_t{256} << 20) / sizeof(Voxels::value_type);
  kept_locations_ += count_locations(*loaded);
  if (folder_.place != Place::kDisk || kept_locations_ <= most_locations) cases_[index] = loaded;
  return loaded;
}

Case CaseStore::load(const std::string& id) const {
  const std::string base = folder_.folder + "/" + id;
  Case result;
  result.id = id;
  std::vector<int64_t> extents;
  if (folder_.place == Place::kDisk) {
    extents = io::case_array_shape(base);
    check_shapes(folder_, id, extents, io::case_array_shape(base + "_seg"));
  } else {
    const at::Tensor image = io::read_case_array(base), labels = io::read_case_array(base + "_seg");
    extents = image.sizes().vec();
    check_shapes(folder_, id, extents, labels.sizes());
    const at::Device device = folder_.place == Place::kDevice ? device_ : at::Device(at::kCPU);
    result.image = kept_image(folder_, id, image).to(device);
    result.segmentation = kept_labels(folder_, id, labels).to(device);
  }
  result.shape = {extents[1], extents[2], extents[3]};
  const auto& rules = folder_.rules;
  const std::string properties_file = base + ".pkl";
  read_locations(io::read_pickle(io::read_file(properties_file), properties_file), rules.has_ignore_label,
                 properties_file, result);
  if (!rules.previous_stage.empty() && folder_.place != Place::kDisk)
    result.previous = read_previous_stage(rules.previous_stage, id, result.shape, rules.previous_labels);
  return result;
}

Region CaseStore::region(const Case& source, const Extents& start, const Extents& extent) const {
  if (!reads_regions()) return {source.image, source.segmentation, source.previous, start, extent};
  Extents from, to, moved;
  for (size_t axis = 0; axis < 3; ++axis) {  // at least one voxel, also of a box that lies beside the case
    from[axis] = std::clamp<int64_t>(start[axis], 0, source.shape[axis] - 1);
    to[axis] = std::clamp<int64_t>(start[axis] + extent[axis], from[axis] + 1, source.shape[axis]);
    moved[axis] = start[axis] - from[axis];
  }
  const auto cut = [&](at::Tensor whole) {
    for (size_t axis = 0; whole.defined() && axis < 3; ++axis)
      whole = whole.narrow(whole.dim() - 3 + static_cast<int64_t>(axis), from[axis], to[axis] - from[axis]);
    return whole;
  };
  if (folder_.place == Place::kHost) {
    return {pinned(cut(source.image).contiguous(), device_), pinned(cut(source.segmentation).contiguous(), device_),
            cut(source.previous), moved, extent};
  }
  const auto& rules = folder_.rules;
  const std::string base = folder_.folder + "/" + source.id;
  const auto read = [&](const std::string& stem, int64_t channels) {
    return io::read_case_box(stem, {0, from[0], from[1], from[2]}, {channels, to[0], to[1], to[2]});
  };
  const at::Tensor image = kept_image(folder_, source.id, read(base, rules.channels));
  const at::Tensor labels = kept_labels(folder_, source.id, read(base + "_seg", 1));
  at::Tensor previous;
  if (!rules.previous_stage.empty())  // checked as a whole, which is small beside the image
    previous = cut(read_previous_stage(rules.previous_stage, source.id, source.shape, rules.previous_labels));
  return {pinned(image, device_), pinned(labels, device_), previous, moved, extent};
}

Region CaseStore::to_device(Region region) const {
  region.image = region.image.to(device_, /*non_blocking=*/true);
  region.segmentation = region.segmentation.to(device_, /*non_blocking=*/true);
  return region;
}

int64_t bytes_in_memory(const CaseFolder& folder, const std::vector<std::string>& ids) {
  constexpr size_t most_looked_at = 256;
  const size_t step = (ids.size() + most_looked_at - 1) / most_looked_at;
  const int64_t image_bytes = folder.half ? 2 : 4, label_bytes = is_narrow(folder.rules) ? 1 : 2;
  int64_t bytes = 0, looked_at = 0;
  for (size_t i = 0; i < ids.size(); i += step, ++looked_at) {
    const auto shape = io::case_array_shape(folder.folder + "/" + ids[i]);
    if (shape.size() != 4)
      throw fault(folder, ids[i], "expected an image (c, z, y, x), found shape " + describe(shape));
    bytes += shape[1] * shape[2] * shape[3] * (shape[0] * image_bytes + label_bytes);
  }
  if (looked_at == 0) return 0;
  return static_cast<int64_t>(static_cast<double>(bytes) / static_cast<double>(looked_at) *
                              static_cast<double>(ids.size()));
}

int64_t free_device_memory(at::Device device) {
  auto* allocator = dynamic_cast<c10::DeviceAllocator*>(c10::GetAllocator(device.type()));
  return allocator == nullptr ? 0 : static_cast<int64_t>(allocator->getMemoryInfo(device.index()).first);
}

Place choose_place(const std::string& name, int64_t bytes, at::Device device, int64_t free_on_host) {
  if (name == "disk") return Place::kDisk;
  if (name == "device" || (name == "host" && device.is_cpu())) return Place::kDevice;
  if (name == "host") return Place::kHost;
  if (name != "auto") throw Failure("ERR_CONFIG", "data.place: expected auto, device, host or disk, found " + name);
  // What is left free is for the network's activations, and on the host for other programs and the files' cache.
  if (!device.is_cpu() && bytes <= free_device_memory(device) / 3) return Place::kDevice;
  if (bytes <= free_on_host / 2) return device.is_cpu() ? Place::kDevice : Place::kHost;
  return Place::kDisk;
}

}  // namespace voxgrad
