// Random cases.
#include "data/random_cases.h"

#include <algorithm>

#include "kernels/draw.h"
#include "kernels/ops.h"

namespace voxgrad {

namespace {
constexpr int64_t block = 4;
constexpr size_t most_locations = 10000;

bool contains(const std::vector<int64_t>& labels, int64_t label) {
  return std::find(labels.begin(), labels.end(), label) != labels.end();
}
}  // namespace

std::vector<Case> random_cases(const RandomCases& rules, uint64_t seed, at::Device device) {
  std::vector<Case> cases;
  const auto [depth, height, width] = rules.shape;
  for (int64_t index = 0; index < rules.count; ++index) {
    const Address address{seed, static_cast<uint64_t>(index), 0};
    Draw draw(address, Purpose::kTrainingCase);
    Case made;
    made.id = "random_" + std::to_string(index);
    made.shape = rules.shape;
    made.foreground.resize(rules.targets.size());
    at::Tensor image = at::zeros({rules.channels, depth, height, width}, at::kFloat);
    add_normal_field(image, 1, Draw(address, Purpose::kGaussianNoiseField));
    at::Tensor segmentation = at::empty({depth, height, width}, at::kShort);
    const int64_t rows = (height + block - 1) / block, columns = (width + block - 1) / block;
    std::vector<int64_t> drawn(static_cast<size_t>((depth + block - 1) / block * rows * columns));
    for (int64_t& label : drawn)
      label = rules.labels[static_cast<size_t>(draw.below(static_cast<int64_t>(rules.labels.size())))];
    int16_t* voxel = segmentation.data_ptr<int16_t>();
    for (int32_t z = 0; z < depth; ++z) {
      for (int32_t y = 0; y < height; ++y) {
        for (int32_t x = 0; x < width; ++x) {
          const int64_t label = drawn[static_cast<size_t>((z / block * rows + y / block) * columns + x / block)];
          *voxel++ = static_cast<int16_t>(label);
          for (size_t target = 0; target < rules.targets.size(); ++target) {
            if (contains(rules.targets[target], label) && made.foreground[target].size() < most_locations)
              made.foreground[target].push_back({z, y, x});
          }
          if (rules.ignore_label >= 0 && label != rules.ignore_label && made.annotated.size() < most_locations)
            made.annotated.push_back({z, y, x});
        }
      }
    }
    if (rules.previous_stage) made.previous = segmentation.clone();
    made.image = image.to(device);
    made.segmentation = segmentation.to(device);
    cases.push_back(std::move(made));
  }
  return cases;
}

}  // namespace voxgrad
