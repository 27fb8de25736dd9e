// Numbered checkpoints.
#include "check/saves.h"

#include <cstdio>
#include <filesystem>

#include "failure.h"
#include "io/torch_file.h"

namespace voxgrad::check {

namespace {
std::string file_of(const std::string& folder, const char* name) { return folder + "/checkpoint_" + name + ".pth"; }

std::string describe(const std::string& path) {
  if (!std::filesystem::exists(path)) return "missing";
  try {
    return std::to_string(io::read_torch_file(path).at("save").integer());
  } catch (const Failure& failure) {
    return std::string("damaged: ") + failure.what();
  }
}
}  // namespace

void write_saves(const std::string& folder, int64_t saves, int64_t megabytes) {
  constexpr int64_t tensors = 3;
  for (int64_t save = 1; save <= saves; ++save) {
    const char* name = save % 2 == 1 ? "latest" : "best";
    io::Dict weights;
    for (int64_t i = 0; i < tensors; ++i) {
      const at::Tensor values = at::full({megabytes * 262144 / tensors}, static_cast<float>(save), at::kFloat);
      weights.items.emplace_back("layer." + std::to_string(i), io::TorchTensor{values});
    }
    io::write_torch_file(file_of(folder, name), io::Dict{{{"network_weights", weights}, {"save", save}}});
    std::printf("saved %lld %s\n", static_cast<long long>(save), name);
    std::fflush(stdout);
  }
}

void print_saves(const std::vector<std::string>& folders) {
  for (const std::string& folder : folders) {
    for (const char* name : {"latest", "best"}) {
      std::printf("%s %s\n", name, describe(file_of(folder, name)).c_str());
    }
  }
}

}  // namespace voxgrad::check
