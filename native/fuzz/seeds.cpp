// Writes small valid files of every native format, from which the fuzz targets start: seeds FOLDER (one folder a target
// in it).
#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>

#include <filesystem>

#include "io/blosc2_array.h"
#include "io/files.h"
#include "io/pickle.h"
#include "io/torch_file.h"

namespace {

using namespace voxgrad::io;

at::Tensor numbers(at::IntArrayRef shape, at::ScalarType type) {
  return at::arange(c10::multiply_integers(shape), type).view(shape);
}

/// A .npy file of float32 zeros.
std::string npy(const std::string& shape, char version, size_t count) {
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + shape + "), }\n";
  std::string length{static_cast<char>(header.size()), '\0'};
  if (version > 1) length += std::string(2, '\0');
  return std::string("\x93NUMPY") + version + '\0' + length + header + std::string(4 * count, '\0');
}

}  // namespace

int main(int, char** arguments) {
  const std::string top = arguments[1];
  const auto path = [&](const std::string& target, const std::string& name) {
    std::filesystem::create_directories(top + "/" + target);
    return top + "/" + target + "/" + name;
  };

  const Dict properties{{{"spacing", List{{1.5, 1, -2}}},
                         {"shape", Tuple{{4, 5, 6}}},
                         {"class_locations", Dict{{{1, NumpyArray{numbers({2, 4}, at::kLong)}},
                                                   {Tuple{{-1, 0, 1}}, NumpyArray{numbers({1, 4}, at::kLong)}},
                                                   {2, List{}}}}},
                         {"text", std::string(300, 'x')},
                         {"nothing", None{}},
                         {"large", int64_t{1} << 40}}};
  write_atomically(path("pickle", "properties.pkl"), write_pickle(properties));
  write_atomically(path("pickle", "tensor.pkl"),
                   write_pickle(TorchTensor{numbers({2, 3}, at::kFloat)}, [](const at::Tensor&) { return "0"; }));

  const at::Tensor weights = numbers({2, 3}, at::kFloat);
  write_torch_file(path("torch_file", "weights.pth"),
                   OrderedDict{{{"a", TorchTensor{weights}}, {"b", TorchTensor{weights}}, {"epoch", 3}}});
  write_torch_file(path("torch_file", "kinds.pth"), Dict{{{"half", TorchTensor{numbers({4}, at::kHalf)}},
                                                          {"flag", TorchTensor{at::zeros({1}, at::kBool)}},
                                                          {"device", TorchDevice{"cpu"}}}});

  write_blosc2(path("blosc2", "image.b2nd"), numbers({1, 4, 5, 6}, at::kFloat), {{1, 4, 4, 6}, {1, 2, 3, 4}});
  write_blosc2(path("blosc2", "labels.b2nd"), numbers({1, 2, 20, 20}, at::kShort), {{1, 1, 20, 20}, {1, 1, 10, 10}});
  write_blosc2(path("blosc2", "constant.b2nd"), at::zeros({1, 8, 16, 16}, at::kShort), {{1, 4, 16, 16}, {1, 2, 8, 8}});

  write_atomically(path("npy", "image.npy"), npy("1, 2, 3, 4", 1, 24));
  write_atomically(path("npy", "row.npy"), npy("7,", 2, 7));
}
