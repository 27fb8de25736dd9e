// Lists the voxels of every requested label and draws from them.
#include "preprocess/class_locations.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "failure.h"
#include "preprocess/numpy_random.h"

namespace voxgrad::preprocess {

namespace {
constexpr uint32_t seed = 1234;
constexpr uint32_t smallest_sample = 10000;
constexpr double smallest_share = 0.01;
}  // namespace

std::vector<std::vector<int64_t>> sample_class_locations(std::span<const int16_t> segmentation, const Shape3& shape,
                                                         std::span<const LocationKey> keys) {
  if (segmentation.size() > std::numeric_limits<uint32_t>::max())
    throw Failure("ERR_DATASET", "expected fewer than 2^32 voxels after resampling, found " +
                                     std::to_string(segmentation.size()) + "; use a larger spacing in the plan");
  std::map<int16_t, std::vector<uint32_t>> voxels_of;
  for (const LocationKey& key : keys)
    for (const int64_t label : key.labels) voxels_of[static_cast<int16_t>(label)];
  auto current = voxels_of.end();
  for (size_t i = 0; i < segmentation.size(); ++i) {
    if (i == 0 || segmentation[i] != segmentation[i - 1]) current = voxels_of.find(segmentation[i]);
    if (current != voxels_of.end()) current->second.push_back(static_cast<uint32_t>(i));
  }

  LegacyRandom random(seed);
  std::vector<std::vector<int64_t>> result;
  for (const LocationKey& key : keys) {
    uint32_t total = 0;
    for (const int64_t label : key.labels) total += voxels_of.at(static_cast<int16_t>(label)).size();
    std::vector<int64_t>& rows = result.emplace_back();
    if (total == 0) continue;
    const uint32_t count =
        std::max(std::min(smallest_sample, total), static_cast<uint32_t>(std::ceil(total * smallest_share)));
    rows.reserve(4 * static_cast<size_t>(count));
    for (uint32_t offset : random.choice_without_replacement(total, count)) {
      auto label = key.labels.begin();
      while (offset >= voxels_of.at(static_cast<int16_t>(*label)).size())
        offset -= voxels_of.at(static_cast<int16_t>(*label++)).size();
      const int64_t voxel = voxels_of.at(static_cast<int16_t>(*label))[offset];
      rows.insert(rows.end(), {0, voxel / (shape[1] * shape[2]), voxel / shape[2] % shape[1], voxel % shape[2]});
    }
  }
  return result;
}

}  // namespace voxgrad::preprocess
