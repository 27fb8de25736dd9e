// The tables of element types.
#include "io/element_types.h"

#include <array>

namespace voxgrad::io {

namespace {
using Entry = std::pair<std::string_view, at::ScalarType>;

constexpr std::array<Entry, 12> numpy_types = {{
    {"f2", at::kHalf},
    {"f4", at::kFloat},
    {"f8", at::kDouble},
    {"i1", at::kChar},
    {"i2", at::kShort},
    {"i4", at::kInt},
    {"i8", at::kLong},
    {"u1", at::kByte},
    {"u2", at::kUInt16},
    {"u4", at::kUInt32},
    {"u8", at::kUInt64},
    {"b1", at::kBool},
}};

constexpr std::array<Entry, 10> storage_types = {{
    {"HalfStorage", at::kHalf},
    {"BFloat16Storage", at::kBFloat16},
    {"FloatStorage", at::kFloat},
    {"DoubleStorage", at::kDouble},
    {"CharStorage", at::kChar},
    {"ByteStorage", at::kByte},
    {"ShortStorage", at::kShort},
    {"IntStorage", at::kInt},
    {"LongStorage", at::kLong},
    {"BoolStorage", at::kBool},
}};

template <class Table>
std::optional<at::ScalarType> find_type(const Table& table, std::string_view name) {
  for (const auto& [candidate, type] : table) {
    if (candidate == name) return type;
  }
  return std::nullopt;
}

template <class Table>
std::optional<std::string> find_name(const Table& table, at::ScalarType type) {
  for (const auto& [name, candidate] : table) {
    if (candidate == type) return std::string(name);
  }
  return std::nullopt;
}
}  // namespace

std::optional<at::ScalarType> type_of_numpy_name(std::string_view name) { return find_type(numpy_types, name); }
std::optional<std::string> numpy_name_of(at::ScalarType type) { return find_name(numpy_types, type); }
std::optional<at::ScalarType> type_of_storage_name(std::string_view name) { return find_type(storage_types, name); }
std::optional<std::string> storage_name_of(at::ScalarType type) { return find_name(storage_types, type); }

}  // namespace voxgrad::io
