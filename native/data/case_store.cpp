// Loads preprocessed cases and checks that they are what the network expects.
#include "data/case_store.h"

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
    throw Failure("ERR_FORMAT", where + ": class_locations need 4 columns, found shape " + describe(rows.sizes()));
  }
  Voxels voxels(static_cast<size_t>(rows.size(0)));
  const int64_t* row = rows.data_ptr<int64_t>();
  for (auto& voxel : voxels) {
    for (size_t axis = 0; axis < 3; ++axis) {
      const int64_t position = row[axis + 1];
      if (position < 0 || position >= shape[axis])
        throw Failure("ERR_FORMAT", where + ": a class location lies outside the image");
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
  if (!locations.is<io::Dict>()) throw Failure("ERR_FORMAT", where + ": class_locations is not a dict");
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
    throw Failure("ERR_DATASET", where +
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
    throw Failure("ERR_DATASET", file + ": expected a segmentation of the case's extents (z, y, x) " +
                                     describe(extents) + ", found " + describe(segmentation.sizes()) + advice);
  }
  const auto largest = segmentation.max().item<int64_t>();
  if (largest > labels) {
    throw Failure("ERR_DATASET", file + ": expected labels up to " + std::to_string(labels) + ", found " +
                                     std::to_string(largest) + advice);
  }
  return segmentation;
}

at::Tensor one_hot_labels(const at::Tensor& segmentation, int64_t labels) {
  std::vector<int64_t> shape(static_cast<size_t>(segmentation.dim()) + 1, 1);
  shape[0] = labels;
  return segmentation.unsqueeze(0).eq(at::arange(1, labels + 1, segmentation.options()).view(shape)).to(at::kFloat);
}

Case load_case(const std::string& folder, const std::string& id, const CaseRules& rules, at::Device device) {
  const auto& [channels, labels, has_ignore_label, previous_stage, previous_labels] = rules;
  const std::string base = folder + "/" + id;
  const at::Tensor image = io::read_case_array(base).to(at::kFloat);
  at::Tensor segmentation = io::read_case_array(base + "_seg").to(at::kShort);
  auto fault = [&](const std::string& what) {
    return Failure("ERR_DATASET", "case " + id + " in " + folder + ": " + what + "; run `voxgrad preprocess` again");
  };
  if (image.dim() != 4 || image.size(0) != channels) {
    throw fault("expected an image of " + std::to_string(channels) + " channels (c, z, y, x), found shape " +
                describe(image.sizes()));
  }
  if (segmentation.dim() != 4 || segmentation.size(0) != 1 || segmentation.sizes().slice(1) != image.sizes().slice(1)) {
    throw fault("expected a segmentation of the image's extents, found " + describe(segmentation.sizes()) + " for " +
                describe(image.sizes()));
  }
  if (!image.isfinite().all().item<bool>()) throw fault("the image holds values that are not finite");
  segmentation = segmentation.squeeze(0).contiguous();
  std::vector<bool> seen(65536);
  const int16_t* voxel = segmentation.data_ptr<int16_t>();
  for (int64_t i = 0; i < segmentation.numel(); ++i) seen[static_cast<size_t>(voxel[i] + 32768)] = true;
  for (int64_t value = -32768; value < 32768; ++value) {
    if (seen[static_cast<size_t>(value + 32768)] && value != -1 &&
        std::find(labels.begin(), labels.end(), value) == labels.end()) {
      throw fault("the segmentation holds label " + std::to_string(value) + ", which dataset.json does not name");
    }
  }
  Case result;
  result.id = id;
  result.shape = {image.size(1), image.size(2), image.size(3)};
  const std::string properties_file = base + ".pkl";
  read_locations(io::read_pickle(io::read_file(properties_file), properties_file), has_ignore_label, properties_file,
                 result);
  if (!previous_stage.empty())
    result.previous = read_previous_stage(previous_stage, id, image.sizes().slice(1), previous_labels);
  result.image = image.to(device);
  result.segmentation = segmentation.to(device);
  return result;
}

}  // namespace voxgrad
