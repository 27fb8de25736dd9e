// Wraps a prepared case into tensors and plain values and writes them.
#include "preprocess/case_files.h"

#include <ATen/ATen.h>

#include "io/blosc2_array.h"
#include "io/files.h"
#include "io/pickle.h"

namespace voxgrad::preprocess {

namespace {

io::Tuple to_tuple(const Shape3& shape) { return {{shape[0], shape[1], shape[2]}}; }

io::List to_list(const Box& box) {
  io::List result;
  for (int axis = 0; axis < 3; ++axis) result.items.push_back(io::List{{box.begin[axis], box.end[axis]}});
  return result;
}

io::Value to_key(const LocationKey& key) {
  if (!key.is_region) return key.labels.front();
  return io::Tuple{std::vector<io::Value>(key.labels.begin(), key.labels.end())};
}

io::Dict class_locations(const PreparedCase& prepared, const std::vector<LocationKey>& keys) {
  auto drawn = sample_class_locations(prepared.segmentation.values, prepared.segmentation.shape, keys);
  io::Dict result;
  for (size_t i = 0; i < keys.size(); ++i) {
    io::Value rows = io::List{};
    if (!drawn[i].empty())
      rows = io::NumpyArray{at::tensor(drawn[i], at::kLong).view({static_cast<int64_t>(drawn[i].size()) / 4, 4})};
    result.items.emplace_back(to_key(keys[i]), std::move(rows));
  }
  return result;
}

io::Dict to_dict(const CaseProperties& properties, const io::Value& geometry) {
  io::Dict result = geometry.as<io::Dict>();
  result.items.emplace_back("spacing", io::List{{properties.spacing[0], properties.spacing[1], properties.spacing[2]}});
  result.items.emplace_back("shape_before_cropping", to_tuple(properties.shape_before_cropping));
  result.items.emplace_back("bbox_used_for_cropping", to_list(properties.crop_box));
  result.items.emplace_back("shape_after_cropping_and_before_resampling", to_tuple(properties.crop_box.shape()));
  return result;
}

template <class T>
void write_array(const std::string& path, const Volume<T>& volume, at::ScalarType type,
                 const std::vector<int64_t>& patch_size) {
  const std::vector<int64_t> shape{volume.channels, volume.shape[0], volume.shape[1], volume.shape[2]};
  const at::Tensor array = at::from_blob(const_cast<T*>(volume.values.data()), shape, at::TensorOptions(type));
  io::write_blosc2(path, array, io::blosc2_layout(shape, patch_size, sizeof(T)));
}

}  // namespace

void write_case(const std::string& folder, const std::string& case_id, const PreparedCase& prepared,
                const std::vector<LocationKey>& keys, const std::vector<int64_t>& patch_size,
                const io::Value& geometry) {
  io::Dict pickle = to_dict(prepared.properties, geometry);
  pickle.items.emplace_back("class_locations", class_locations(prepared, keys));

  const std::string stem = folder + "/" + case_id;
  write_array(stem + ".b2nd", prepared.image, at::kFloat, patch_size);
  write_array(stem + "_seg.b2nd", prepared.segmentation, at::kShort, patch_size);
  io::write_atomically(stem + ".pkl", io::write_pickle(io::Value(std::move(pickle))));
}

void write_properties(const std::string& path, const CaseProperties& properties, const io::Value& geometry) {
  io::write_atomically(path, io::write_pickle(io::Value(to_dict(properties, geometry))));
}

}  // namespace voxgrad::preprocess
