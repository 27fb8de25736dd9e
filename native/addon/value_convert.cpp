// Conversions between JavaScript values and io::Value trees.
#include "addon/value_convert.h"

#include <ATen/ops/empty.h>

#include <charconv>
#include <cstring>

#include "failure.h"

namespace voxgrad::addon {

namespace {

constexpr double largest_safe_integer = 9007199254740991.0;
constexpr int deepest_nesting = 100;

at::ScalarType type_of(napi_typedarray_type type, const std::string& where) {
  switch (type) {
    case napi_int8_array:
      return at::kChar;
    case napi_uint8_array:
    case napi_uint8_clamped_array:
      return at::kByte;
    case napi_int16_array:
      return at::kShort;
    case napi_uint16_array:
      return at::kUInt16;
    case napi_int32_array:
      return at::kInt;
    case napi_uint32_array:
      return at::kUInt32;
    case napi_float32_array:
      return at::kFloat;
    case napi_float64_array:
      return at::kDouble;
    case napi_bigint64_array:
      return at::kLong;
    case napi_biguint64_array:
      return at::kUInt64;
    default:
      throw Failure("ERR_CONFIG", where + " is a typed array of an unknown kind");
  }
}

io::Value convert(const Napi::Value& value, const std::string& where, int depth) {
  if (depth > deepest_nesting) throw Failure("ERR_CONFIG", where + " is nested too deeply, or contains itself");
  if (value.IsNull() || value.IsUndefined()) return io::None{};
  if (value.IsBoolean()) return value.As<Napi::Boolean>().Value();
  if (value.IsNumber()) {
    const double number = value.As<Napi::Number>().DoubleValue();
    const bool is_integral = std::trunc(number) == number && std::abs(number) <= largest_safe_integer;
    if (is_integral && !(number == 0 && std::signbit(number))) return static_cast<int64_t>(number);
    return number;
  }
  if (value.IsBigInt()) {
    bool lossless = false;
    const int64_t number = value.As<Napi::BigInt>().Int64Value(&lossless);
    if (!lossless) throw Failure("ERR_CONFIG", where + " is an integer beyond 64 bits");
    return number;
  }
  if (value.IsString()) return value.As<Napi::String>().Utf8Value();
  if (value.IsTypedArray()) {
    const auto array = value.As<Napi::TypedArray>();
    at::Tensor copy = at::empty({static_cast<int64_t>(array.ElementLength())}, type_of(array.TypedArrayType(), where));
    if (array.ByteLength() > 0) {
      const auto* bytes = static_cast<const char*>(array.ArrayBuffer().Data()) + array.ByteOffset();
      std::memcpy(copy.mutable_data_ptr(), bytes, array.ByteLength());
    }
    return io::NumpyArray{copy};
  }
  if (value.IsArray()) {
    const auto array = value.As<Napi::Array>();
    io::List list;
    for (uint32_t i = 0; i < array.Length(); ++i) {
      list.items.push_back(convert(array.Get(i), where + "[" + std::to_string(i) + "]", depth + 1));
    }
    return list;
  }
  if (value.IsObject() && !value.IsFunction()) {
    const auto object = value.As<Napi::Object>();
    const Napi::Array names = object.GetPropertyNames();
    io::Dict dict;
    for (uint32_t i = 0; i < names.Length(); ++i) {
      const std::string name = names.Get(i).ToString().Utf8Value();
      const Napi::Value field = object.Get(name);
      if (!field.IsUndefined()) dict.items.emplace_back(name, convert(field, where + "." + name, depth + 1));
    }
    return dict;
  }
  throw Failure("ERR_CONFIG", where + " is a function or a symbol, where plain data are expected");
}

std::string float_text(double number) {
  char buffer[32];
  const auto result = std::to_chars(buffer, buffer + sizeof(buffer), number);
  std::string text(buffer, result.ptr);
  return text.find_first_not_of("-0123456789") == std::string::npos ? text + ".0" : text;
}

/// A key as Python's repr spells it; text stands without quotes on the outside.
std::string key_text(const io::Value& key, bool is_outermost) {
  if (key.is<std::string>()) return is_outermost ? key.text() : "'" + key.text() + "'";
  if (key.is<bool>()) return key.as<bool>() ? "True" : "False";
  if (key.is<int64_t>()) return std::to_string(key.integer());
  if (key.is<double>()) return float_text(key.number());
  if (key.is<io::Tuple>()) {
    std::string text = "(";
    const auto& items = key.sequence();
    for (size_t i = 0; i < items.size(); ++i) text += (i == 0 ? "" : ", ") + key_text(items[i], false);
    return text + (items.size() == 1 ? ",)" : ")");
  }
  return key.kind();
}

struct ToJs {
  Napi::Env env;

  Napi::Value operator()(io::None) const { return env.Null(); }
  Napi::Value operator()(bool value) const { return Napi::Boolean::New(env, value); }
  Napi::Value operator()(int64_t value) const {
    if (std::abs(static_cast<double>(value)) > largest_safe_integer) return Napi::BigInt::New(env, value);
    return Napi::Number::New(env, static_cast<double>(value));
  }
  Napi::Value operator()(double value) const { return Napi::Number::New(env, value); }
  Napi::Value operator()(const std::string& value) const { return Napi::String::New(env, value); }
  Napi::Value operator()(const io::List& list) const { return array_of(list.items); }
  Napi::Value operator()(const io::Tuple& tuple) const { return array_of(tuple.items); }
  Napi::Value operator()(const io::Dict& dict) const { return object_of(dict.items); }
  Napi::Value operator()(const io::OrderedDict& dict) const { return object_of(dict.items); }
  Napi::Value operator()(const io::TorchTensor& value) const { return tensor_to_js(env, value.tensor); }
  Napi::Value operator()(const io::NumpyArray& value) const { return tensor_to_js(env, value.array); }
  Napi::Value operator()(const io::TorchDevice& device) const { return Napi::String::New(env, device.name); }
  Napi::Value operator()(const io::Global& global) const {
    return Napi::String::New(env, global.module + "." + global.name);
  }

  Napi::Value array_of(const std::vector<io::Value>& items) const {
    Napi::Array array = Napi::Array::New(env, items.size());
    for (uint32_t i = 0; i < items.size(); ++i) array.Set(i, to_js(env, items[i]));
    return array;
  }

  Napi::Value object_of(const std::vector<std::pair<io::Value, io::Value>>& items) const {
    Napi::Object object = Napi::Object::New(env);
    // Defined, not assigned: a key "__proto__" is data like any other.
    for (const auto& [key, value] : items) {
      const std::string name = key_text(key, true);
      object.DefineProperty(
          Napi::PropertyDescriptor::Value(Napi::String::New(env, name), to_js(env, value), napi_default_jsproperty));
    }
    return object;
  }
};

template <class Array>
Napi::Value typed_array(Napi::Env env, const at::Tensor& tensor) {
  const size_t bytes = tensor.nbytes(), count = static_cast<size_t>(tensor.numel());
  if (count == 0) return Array::New(env, 0);
  auto* owner = new at::Tensor(tensor);
  auto buffer =
      Napi::ArrayBuffer::New(env, owner->mutable_data_ptr(), bytes, [owner](Napi::Env, void*) { delete owner; });
  return Array::New(env, count, buffer, 0);
}

Napi::Value elements(Napi::Env env, const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return typed_array<Napi::Float32Array>(env, tensor);
    case at::kDouble:
      return typed_array<Napi::Float64Array>(env, tensor);
    case at::kChar:
      return typed_array<Napi::Int8Array>(env, tensor);
    case at::kBool:
    case at::kByte:
      return typed_array<Napi::Uint8Array>(env, tensor);
    case at::kShort:
      return typed_array<Napi::Int16Array>(env, tensor);
    case at::kUInt16:
      return typed_array<Napi::Uint16Array>(env, tensor);
    case at::kInt:
      return typed_array<Napi::Int32Array>(env, tensor);
    case at::kUInt32:
      return typed_array<Napi::Uint32Array>(env, tensor);
    case at::kLong:
      return typed_array<Napi::BigInt64Array>(env, tensor);
    case at::kUInt64:
      return typed_array<Napi::BigUint64Array>(env, tensor);
    default:
      return typed_array<Napi::Float32Array>(env, tensor.to(at::kFloat));
  }
}

}  // namespace

io::Value to_value(const Napi::Value& value) { return convert(value, "the value", 0); }

Napi::Value to_js(Napi::Env env, const io::Value& value) { return std::visit(ToJs{env}, value.data); }

Napi::Object tensor_to_js(Napi::Env env, const at::Tensor& tensor) {
  at::Tensor values = tensor.to(at::kCPU).contiguous();
  const bool is_whole = values.storage_offset() == 0 && values.storage().nbytes() == values.nbytes();
  if (!is_whole || values.storage().use_count() > 1) values = values.clone();
  Napi::Array shape = Napi::Array::New(env, static_cast<size_t>(tensor.dim()));
  for (int64_t axis = 0; axis < tensor.dim(); ++axis) shape.Set(static_cast<uint32_t>(axis), double(tensor.size(axis)));
  Napi::Object result = Napi::Object::New(env);
  result.Set("data", elements(env, values));
  result.Set("shape", shape);
  return result;
}

}  // namespace voxgrad::addon
