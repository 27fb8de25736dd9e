// Access to Value trees with errors that name what was expected and what was found.
#include "io/value.h"

#include "failure.h"

namespace voxgrad::io {

namespace {
const std::vector<std::pair<Value, Value>>* entries_of(const Value& value) {
  if (const auto* dict = std::get_if<Dict>(&value.data)) return &dict->items;
  if (const auto* dict = std::get_if<OrderedDict>(&value.data)) return &dict->items;
  return nullptr;
}

[[noreturn]] void throw_wrong_kind(const char* expected, const Value& found) {
  throw Failure("ERR_FORMAT", std::string("expected ") + expected + ", found " + found.kind());
}
}  // namespace

const char* Value::kind() const {
  static constexpr const char* names[] = {"None",          "a bool",         "an integer", "a float",        "text",
                                          "a list",        "a tuple",        "a dict",     "an OrderedDict", "a tensor",
                                          "a NumPy array", "a torch.device", "a global"};
  static_assert(std::size(names) == std::variant_size_v<decltype(data)>);
  return names[data.index()];
}

const Value* Value::find(const std::string& key) const {
  const auto* entries = entries_of(*this);
  if (entries == nullptr) throw_wrong_kind("a dict", *this);
  for (const auto& [name, value] : *entries) {
    if (name.is<std::string>() && name.as<std::string>() == key) return &value;
  }
  return nullptr;
}

const Value& Value::at(const std::string& key) const {
  const Value* value = find(key);
  if (value == nullptr) throw Failure("ERR_FORMAT", "the key \"" + key + "\" is missing");
  return *value;
}

int64_t Value::integer() const {
  if (const auto* value = std::get_if<int64_t>(&data)) return *value;
  if (const auto* value = std::get_if<bool>(&data)) return *value;
  if (const auto* value = std::get_if<double>(&data)) {
    // Beyond 2^53 a double does not tell neighboring integers apart.
    if (std::nearbyint(*value) == *value && std::abs(*value) <= 9007199254740992.0) return static_cast<int64_t>(*value);
  }
  throw_wrong_kind("an integer", *this);
}

double Value::number() const {
  if (const auto* value = std::get_if<double>(&data)) return *value;
  if (const auto* value = std::get_if<int64_t>(&data)) return static_cast<double>(*value);
  if (const auto* value = std::get_if<bool>(&data)) return *value;
  throw_wrong_kind("a number", *this);
}

const std::string& Value::text() const {
  if (const auto* value = std::get_if<std::string>(&data)) return *value;
  throw_wrong_kind("text", *this);
}

const std::vector<Value>& Value::sequence() const {
  if (const auto* list = std::get_if<List>(&data)) return list->items;
  if (const auto* tuple = std::get_if<Tuple>(&data)) return tuple->items;
  throw_wrong_kind("a list or tuple", *this);
}

}  // namespace voxgrad::io
