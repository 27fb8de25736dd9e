// The .npy format: magic, version, a Python dict as text, the numbers.
// Source: NumPy's "NEP 1: A simple file format for NumPy arrays".
#include "io/npy.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <optional>

#include "failure.h"
#include "io/blosc2_array.h"
#include "io/element_types.h"
#include "io/files.h"

namespace voxgrad::io {

namespace {

constexpr size_t longest_header = 65536, longest_quote = 200, most_axes = 32;
constexpr int64_t largest_extent = int64_t{1} << 40;

[[noreturn]] void refuse(const std::string& path, const std::string& what) {
  throw Failure("ERR_FORMAT", path + ": " + what + "; preprocess the dataset again");
}

struct Header {
  at::ScalarType type;
  std::vector<int64_t> shape;
  uint64_t length;
};

/// What stands between `begin` and `end` in a header.
std::optional<std::string_view> field(std::string_view header, std::string_view begin, char end) {
  const size_t found = header.find(begin);
  if (found == std::string_view::npos) return std::nullopt;
  const std::string_view rest = header.substr(found + begin.size());
  return rest.find(end) == std::string_view::npos ? std::nullopt : std::optional(rest.substr(0, rest.find(end)));
}

Header read_header(const InputFile& file) {
  const std::string& path = file.path();
  unsigned char prefix[12] = {};
  file.read(0, prefix, sizeof(prefix));
  if (std::string_view(reinterpret_cast<const char*>(prefix), 6) != "\x93NUMPY") refuse(path, "is not a .npy file");
  const bool is_long = prefix[6] > 1;
  const size_t start = is_long ? 12 : 10;
  const size_t count = prefix[8] | prefix[9] << 8 | (is_long ? prefix[10] << 16 | size_t{prefix[11]} << 24 : 0);
  if (count > longest_header) refuse(path, "has a damaged header");
  std::string text(count, '\0');
  file.read(start, text.data(), count);

  const auto type = field(text, "'descr': '", '\''), extents = field(text, "'shape': (", ')');
  if (!type || type->size() != 3 || ((*type)[0] != '<' && (*type)[0] != '|') || !std::islower((*type)[1]) || !extents)
    refuse(path, "expected an array of little-endian numbers, found " + text.substr(0, longest_quote));
  const auto element = type_of_numpy_name(type->substr(1));
  if (!element) refuse(path, "holds numbers of type " + std::string(type->substr(1)) + ", which voxgrad does not read");
  Header header{*element, {}, start + count};
  const char* const end = extents->data() + extents->size();
  for (const char* next = extents->data(); next != end;) {
    next = std::find_if(next, end, [](char one) { return one != ' ' && one != ','; });
    if (next == end) break;
    int64_t extent = 0;
    const auto [after, error] = std::from_chars(next, end, extent);
    if (error != std::errc() || extent < 0 || extent > largest_extent || header.shape.size() == most_axes)
      refuse(path, "has a damaged shape (" + std::string(extents->substr(0, longest_quote)) + ")");
    header.shape.push_back(extent);
    next = after;
  }
  if (text.find("'fortran_order': True") != std::string::npos && header.shape.size() > 1)
    refuse(path, "is in Fortran order, expected C order");
  return header;
}

/// Checks that the file is as long as its header says.
Header read_checked_header(const InputFile& file) {
  const Header header = read_header(file);
  uint64_t bytes = at::elementSize(header.type);
  for (const int64_t extent : header.shape) {
    if (extent == 0) refuse(file.path(), "holds no numbers");
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(extent), &bytes)) bytes = UINT64_MAX;
  }
  if (bytes != file.size() - header.length)
    refuse(file.path(), "expected " + std::to_string(bytes) + " bytes of numbers, found " +
                            std::to_string(file.size() - header.length));
  return header;
}

bool is_npy(const std::string& stem) {
  return !std::filesystem::exists(stem + ".b2nd") && std::filesystem::exists(stem + ".npy");
}

}  // namespace

at::Tensor read_npy(const std::string& path) {
  const InputFile file(path);
  const Header header = read_checked_header(file);
  const at::Tensor array = at::empty(header.shape, at::TensorOptions(header.type));
  file.read(header.length, array.data_ptr(), array.nbytes());
  return array;
}

at::Tensor read_npy_box(const std::string& path, const std::vector<int64_t>& start, const std::vector<int64_t>& stop) {
  const InputFile file(path);
  const Header header = read_checked_header(file);
  const auto& shape = header.shape;
  bool fits = shape.size() == 4 && start.size() == 4 && stop.size() == 4;
  for (size_t axis = 0; fits && axis < 4; ++axis)
    fits = start[axis] >= 0 && start[axis] < stop[axis] && stop[axis] <= shape[axis];
  if (!fits) refuse(path, "has other extents than before");
  const int64_t channels = stop[0] - start[0], planes = stop[1] - start[1];
  const at::Tensor read = at::empty({channels, planes, shape[2], shape[3]}, at::TensorOptions(header.type));
  for (int64_t c = 0; c < channels; ++c) {
    const at::Tensor target = read[c];
    const int64_t first = ((start[0] + c) * shape[1] + start[1]) * shape[2] * shape[3];
    file.read(header.length + static_cast<uint64_t>(first) * target.element_size(), target.data_ptr(), target.nbytes());
  }
  return read.narrow(2, start[2], stop[2] - start[2]).narrow(3, start[3], stop[3] - start[3]).contiguous();
}

at::Tensor read_case_array(const std::string& stem) {
  return is_npy(stem) ? read_npy(stem + ".npy") : read_blosc2(stem + ".b2nd");
}

std::vector<int64_t> case_array_shape(const std::string& stem) {
  return is_npy(stem) ? read_checked_header(InputFile(stem + ".npy")).shape : blosc2_shape(stem + ".b2nd");
}

at::Tensor read_case_box(const std::string& stem, const std::vector<int64_t>& start, const std::vector<int64_t>& stop) {
  return is_npy(stem) ? read_npy_box(stem + ".npy", start, stop) : read_blosc2_box(stem + ".b2nd", start, stop);
}

}  // namespace voxgrad::io
