// The allow-list of the pickle reader: every class and function that a pickle may name, and what it builds here.
#include "io/pickle_objects.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstring>

namespace voxgrad::io::pickle {

namespace {

constexpr size_t most_objects = 4'000'000;
constexpr int deepest_nesting = 100;

constexpr std::string_view allowed_globals[] = {
    "collections.OrderedDict",
    "_codecs.encode",
    "builtins.bytes",
    "numpy.ndarray",
    "numpy.dtype",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy.core.numeric._frombuffer",
    "torch.device",
    "torch.Size",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
};

template <class T>
T& expect(Reference object, const char* expected) {
  T* data = std::get_if<T>(&object->data);
  if (data == nullptr) refuse(std::string("expected ") + expected);
  return *data;
}

const std::vector<Reference>& tuple_items(Reference object) {
  const Sequence& sequence = expect<Sequence>(object, "a tuple");
  if (!sequence.is_tuple) refuse("expected a tuple, found a list");
  return sequence.items;
}

int64_t integer_of(Reference object) { return expect<int64_t>(object, "an integer"); }

std::vector<int64_t> extents_of(Reference object) {
  std::vector<int64_t> extents;
  for (Reference item : tuple_items(object)) {
    extents.push_back(integer_of(item));
    if (extents.back() < 0) refuse("a negative extent");
  }
  if (extents.size() > 16) refuse("more than 16 axes");
  return extents;
}

/// The product of the extents, which may not exceed `most`.
int64_t count_of(const std::vector<int64_t>& extents, int64_t most) {
  const bool is_empty = std::find(extents.begin(), extents.end(), 0) != extents.end();
  // Of an empty array the other extents are free, but their product must not overflow.
  if (is_empty) most = int64_t{1} << 31;
  int64_t count = 1;
  for (int64_t extent : extents) {
    if (extent == 0) continue;
    if (extent > most / count) refuse("a shape with more elements than there are data");
    count *= extent;
  }
  return is_empty ? 0 : count;
}

std::string latin1_bytes(const std::string& text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const uint8_t first = static_cast<uint8_t>(text[i]);
    if (first < 0x80) {
      bytes.push_back(text[i]);
    } else if ((first == 0xc2 || first == 0xc3) && i + 1 < text.size() && (text[i + 1] & 0xc0) == 0x80) {
      bytes.push_back(static_cast<char>(((first & 3) << 6) | (text[++i] & 0x3f)));
    } else {
      refuse("text that is not latin1 where bytes are expected");
    }
  }
  return bytes;
}

ElementType element_type(const std::string& name) {
  std::string bare = name;
  const bool is_swapped = !bare.empty() && bare[0] == '>';
  if (!bare.empty() && std::strchr("<>|=", bare[0]) != nullptr) bare.erase(0, 1);
  const auto type = type_of_numpy_name(bare);
  if (!type) refuse("the NumPy element type \"" + name + "\", which is not a plain number");
  return {bare, *type, is_swapped};
}

/// A 1-D tensor with a copy of the bytes.
at::Tensor tensor_of_bytes(const std::string& bytes, const ElementType& type) {
  const size_t element_bytes = c10::elementSize(type.type);
  if (type.is_swapped && element_bytes > 1) refuse("big-endian NumPy data");
  if (bytes.size() % element_bytes != 0) refuse("NumPy data whose size does not fit their element type");
  at::Tensor values = at::empty({static_cast<int64_t>(bytes.size() / element_bytes)}, type.type);
  if (!bytes.empty()) std::memcpy(values.mutable_data_ptr(), bytes.data(), bytes.size());
  return values;
}

template <class Integer>
Integer load(const std::string& bytes) {
  Integer value;
  std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

}  // namespace

void Objects::check_room() const {
  if (objects_.size() >= most_objects) refuse("more than " + std::to_string(most_objects) + " objects");
}

void Objects::spend(size_t bytes) {
  if (bytes > room_) refuse("it copies its data again and again");
  room_ -= bytes;
}

Reference Objects::global(const std::string& module, const std::string& name) {
  // NumPy 2 renamed numpy.core; protocol 2 says __builtin__ for builtins.
  std::string full = (module == "__builtin__" ? std::string("builtins") : module) + "." + name;
  if (full.starts_with("numpy._core.")) full.erase(full.find('_'), 1);
  const bool is_allowed =
      std::find(std::begin(allowed_globals), std::end(allowed_globals), full) != std::end(allowed_globals) ||
      (module == "torch" && type_of_storage_name(name));
  if (!is_allowed) {
    refuse("it refers to " + module + "." + name +
           ", which is not read: only plain values, NumPy arrays and torch tensors are");
  }
  return make(Global{std::move(full)});
}

Reference Objects::make_array(Reference data, Reference type, Reference shape, bool is_column_major) {
  if (std::holds_alternative<Sequence>(data->data)) refuse("a NumPy array of Python objects");
  const Bytes& bytes = expect<Bytes>(data, "an array's bytes");
  spend(bytes.bytes.size());
  const at::Tensor values = tensor_of_bytes(bytes.bytes, expect<ElementType>(type, "a NumPy element type"));
  std::vector<int64_t> extents = extents_of(shape);
  if (count_of(extents, values.numel()) != values.numel()) refuse("a NumPy array whose shape does not fit its data");
  if (!is_column_major) return make(Array{values.view(extents)});
  std::reverse(extents.begin(), extents.end());
  std::vector<int64_t> axes(extents.size());
  for (size_t i = 0; i < axes.size(); ++i) axes[i] = static_cast<int64_t>(axes.size() - 1 - i);
  return make(Array{values.view(extents).permute(axes).contiguous()});
}

Reference Objects::make_scalar(Reference type, Reference bytes) {
  const ElementType& element = expect<ElementType>(type, "a NumPy element type");
  const at::Tensor value = tensor_of_bytes(expect<Bytes>(bytes, "a number's bytes").bytes, element);
  if (value.numel() != 1) refuse("a NumPy number of the wrong size");
  if (element.type == at::kBool) return make(value.item<bool>());
  if (c10::isFloatingType(element.type)) return make(value.item<double>());
  if (element.type == at::kUInt64 && load<uint64_t>(expect<Bytes>(bytes, "").bytes) >> 63 != 0) {
    refuse("an integer beyond 64 bits with sign");
  }
  return make(value.item<int64_t>());
}

Reference Objects::rebuild_tensor(const std::vector<Reference>& arguments) {
  if (arguments.size() < 6) refuse("_rebuild_tensor_v2 with too few arguments");
  const at::Tensor& storage = expect<Storage>(arguments[0], "a torch storage").values;
  const int64_t offset = integer_of(arguments[1]);
  const std::vector<int64_t> sizes = extents_of(arguments[2]), strides = extents_of(arguments[3]);
  if (sizes.size() != strides.size() || offset < 0 || offset > storage.numel()) refuse("a tensor with a damaged shape");
  const int64_t room = storage.numel() - offset;
  if (count_of(sizes, storage.numel()) > 0) {
    int64_t last = 0;
    for (size_t i = 0; i < sizes.size(); ++i) {
      if (sizes[i] > 1 && strides[i] > (room - 1 - last) / (sizes[i] - 1)) last = room;
      if (last < room) last += (sizes[i] - 1) * strides[i];
    }
    if (last >= room) refuse("a tensor that reaches beyond its storage");
  }
  return make(Tensor{storage.as_strided(sizes, strides, offset)});
}

Reference Objects::call(Reference function, Reference arguments) {
  const std::string& name = expect<Global>(function, "a function").name;
  const std::vector<Reference>& items = tuple_items(arguments);
  const auto need = [&](size_t least, size_t most) {
    if (items.size() < least || items.size() > most)
      refuse(name + " with " + std::to_string(items.size()) + " arguments");
  };
  if (name == "collections.OrderedDict") {
    need(0, 0);
    return make(Mapping{true, {}});
  }
  if (name == "_codecs.encode") {
    need(2, 2);
    if (expect<Text>(items[1], "a codec's name").text != "latin1")
      refuse("_codecs.encode with another codec than latin1");
    const std::string& text = expect<Text>(items[0], "text").text;
    spend(text.size());
    return make(Bytes{latin1_bytes(text)});
  }
  if (name == "builtins.bytes") {
    need(0, 0);
    return make(Bytes{});
  }
  if (name == "numpy.dtype") {
    need(1, 3);
    return make(element_type(expect<Text>(items[0], "a NumPy type's name").text));
  }
  if (name == "numpy.core.multiarray._reconstruct") {
    need(3, 3);
    if (expect<Global>(items[0], "numpy.ndarray").name != "numpy.ndarray") refuse("a subclass of numpy.ndarray");
    return make(Array{});
  }
  if (name == "numpy.core.multiarray.scalar") {
    need(2, 2);
    return make_scalar(items[0], items[1]);
  }
  if (name == "numpy.core.numeric._frombuffer") {
    need(4, 4);
    return make_array(items[0], items[1], items[2], expect<Text>(items[3], "an axis order").text == "F");
  }
  if (name == "torch.device") {
    need(1, 2);
    const std::string type = expect<Text>(items[0], "a device's name").text;
    return make(Device{items.size() == 1 ? type : type + ":" + std::to_string(integer_of(items[1]))});
  }
  if (name == "torch.Size") {
    need(1, 1);
    return make(Sequence{true, tuple_items(items[0])});
  }
  if (name == "torch._utils._rebuild_tensor_v2") return rebuild_tensor(items);
  if (name == "torch._utils._rebuild_parameter") {
    need(3, 3);
    return make(Tensor{expect<Tensor>(items[0], "a tensor")});
  }
  refuse("it calls " + name + ", which is not a function that is read");
}

void Objects::set_state(Reference object, Reference state) {
  if (const auto* mapping = std::get_if<Mapping>(&object->data); mapping != nullptr && mapping->is_ordered) {
    return;  // attributes of a state dict, such as _metadata
  }
  const std::vector<Reference>& items = tuple_items(state);
  if (auto* type = std::get_if<ElementType>(&object->data)) {
    if (items.size() < 2) refuse("a damaged NumPy element type");
    type->is_swapped = expect<Text>(items[1], "a byte order").text == ">";
  } else if (auto* array = std::get_if<Array>(&object->data)) {
    if (items.size() != 5) refuse("a damaged NumPy array");
    const bool is_column_major = expect<bool>(items[3], "an axis order");
    array->values = std::get<Array>(make_array(items[4], items[2], items[1], is_column_major)->data).values;
  } else {
    refuse("it sets the state of an object that has none");
  }
}

Reference Objects::persistent(Reference id) {
  const std::vector<Reference>& items = tuple_items(id);
  if (!storage_) refuse("it refers to data outside of the pickle");
  if (items.size() != 5 || expect<Text>(items[0], "\"storage\"").text != "storage") refuse("a damaged torch storage");
  const std::string& name = expect<Global>(items[1], "a torch storage class").name;
  if (!name.starts_with("torch.") || !type_of_storage_name(name.substr(6))) refuse("a storage of class " + name);
  const int64_t count = integer_of(items[4]);
  if (count < 0) refuse("a torch storage with a negative size");
  return make(Storage{storage_(name.substr(6), expect<Text>(items[2], "a storage key").text, count)});
}

namespace {

class Converter {
 public:
  explicit Converter(size_t pickle_bytes) : room_(room_of(pickle_bytes)) {}

  Value convert(Reference object, int depth) {
    if (depth > deepest_nesting) refuse("values nested deeper than " + std::to_string(deepest_nesting));
    spend(1);
    return std::visit([&](const auto& data) { return value_of(data, depth); }, object->data);
  }

 private:
  void spend(size_t cost) {
    if (cost > room_) refuse("shared parts that unfold to far more than the file's size");
    room_ -= cost;
  }

  Value value_of(std::monostate, int) { return None{}; }
  Value value_of(bool value, int) { return value; }
  Value value_of(int64_t value, int) { return value; }
  Value value_of(double value, int) { return value; }
  Value value_of(const Text& text, int) {
    spend(text.text.size() / 8);
    return text.text;
  }
  Value value_of(const Bytes& bytes, int) {
    spend(bytes.bytes.size() / 8);
    return NumpyArray{tensor_of_bytes(bytes.bytes, {"u1", at::kByte, false})};
  }
  Value value_of(const Sequence& sequence, int depth) {
    std::vector<Value> items;
    for (Reference item : sequence.items) items.push_back(convert(item, depth + 1));
    if (sequence.is_tuple) return Tuple{std::move(items)};
    return List{std::move(items)};
  }
  Value value_of(const Mapping& mapping, int depth) {
    std::vector<std::pair<Value, Value>> items;
    for (const auto& [key, value] : mapping.items) {
      Value converted_key = convert(key, depth + 1);
      items.emplace_back(std::move(converted_key), convert(value, depth + 1));
    }
    if (mapping.is_ordered) return OrderedDict{std::move(items)};
    return Dict{std::move(items)};
  }
  Value value_of(const Global& global, int) { refuse("the name " + global.name + " as a value"); }
  Value value_of(const ElementType& type, int) { return type.name; }
  Value value_of(const Array& array, int) {
    if (!array.values.defined()) refuse("a NumPy array without data");
    return NumpyArray{array.values};
  }
  Value value_of(const Storage&, int) { refuse("a bare torch storage"); }
  Value value_of(const Tensor& tensor, int) { return TorchTensor{tensor.tensor}; }
  Value value_of(const Device& device, int) { return TorchDevice{device.name}; }

  size_t room_;
};

}  // namespace

Value to_value(Reference root, size_t pickle_bytes) { return Converter(pickle_bytes).convert(root, 0); }

}  // namespace voxgrad::io::pickle
