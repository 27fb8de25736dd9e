// Loads preprocessed cases and checks that they are what the network expects.
#include "data/case_store.h"

#include <algorithm>
#include <sstream>

#include "failure.h"
#include "io/blosc2_array.h"
#include "io/files.h"
#include "io/pickle.h"

namespace voxgrad {

namespace {

std::string describe(at::IntArrayRef sizes) {
  std::ostringstream text;
  text << sizes;
  return text.str();
}

std::vector<std::vector<std::array<int32_t, 3>>> foreground_locations(const io::Value& properties,
                                                                      const std::array<int64_t, 3>& shape,
                                                                      const std::string& where) {
  std::vector<std::vector<std::array<int32_t, 3>>> result;
  const io::Value& locations = properties.at("class_locations");
  if (!locations.is<io::Dict>()) throw Failure("ERR_FORMAT", where + ": class_locations is not a dict");
  for (const auto& [label, value] : locations.as<io::Dict>().items) {
    if (!value.is<io::NumpyArray>()) continue;  // a label that does not occur holds an empty list
    const at::Tensor rows = value.as<io::NumpyArray>().array.to(at::kLong).contiguous();
    if (rows.numel() == 0) continue;
    if (rows.dim() != 2 || rows.size(1) != 4) {
      throw Failure("ERR_FORMAT", where + ": class_locations need 4 columns, found shape " + describe(rows.sizes()));
    }
    auto& voxels = result.emplace_back(static_cast<size_t>(rows.size(0)));
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
  }
  return result;
}

}  // namespace

Case load_case(const std::string& folder, const std::string& id, int64_t channels, const std::vector<int64_t>& labels,
               at::Device device) {
  const std::string base = folder + "/" + id;
  const at::Tensor image = io::read_blosc2(base + ".b2nd").to(at::kFloat);
  at::Tensor segmentation = io::read_blosc2(base + "_seg.b2nd").to(at::kShort);
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
  result.foreground = foreground_locations(io::read_pickle(io::read_file(properties_file), properties_file),
                                           result.shape, properties_file);
  result.image = image.to(device);
  result.segmentation = segmentation.to(device);
  return result;
}

}  // namespace voxgrad
