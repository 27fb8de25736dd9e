// callOp(name, args): any voxgrad::* op through libtorch's dispatcher, for tests and benchmarks.
#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <cstring>

#include "addon/convert.h"
#include "addon/registers.h"

namespace voxgrad::addon {

namespace {
[[noreturn]] void wrong_argument(const std::string& op, const c10::Argument& argument) {
  throw Failure("ERR_CONFIG",
                "callOp " + op + ": argument " + argument.name() + " must be of type " + argument.type()->str());
}

at::ScalarType scalar_type_of(napi_typedarray_type type) {
  switch (type) {
    case napi_float32_array:
      return at::kFloat;
    case napi_float64_array:
      return at::kDouble;
    case napi_int8_array:
      return at::kChar;
    case napi_uint8_array:
      return at::kByte;
    case napi_int16_array:
      return at::kShort;
    case napi_int32_array:
      return at::kInt;
    case napi_bigint64_array:
      return at::kLong;
    default:
      throw Failure("ERR_CONFIG", "callOp: this kind of typed array has no tensor type");
  }
}

/// Copies { data, shape } into a CPU tensor, so that no op can write to JavaScript's memory.
at::Tensor to_tensor(const Napi::Object& object) {
  const auto data = field(object, "data").As<Napi::TypedArray>();
  const at::Tensor tensor = at::empty(to_integers(field(object, "shape")), scalar_type_of(data.TypedArrayType()));
  if (tensor.nbytes() != data.ByteLength()) {
    throw Failure("ERR_CONFIG", "callOp: a tensor's shape has " + std::to_string(tensor.numel()) +
                                    " elements, its data " + std::to_string(data.ElementLength()));
  }
  if (tensor.nbytes() == 0) return tensor;
  std::memcpy(tensor.data_ptr(), static_cast<char*>(data.ArrayBuffer().Data()) + data.ByteOffset(), tensor.nbytes());
  return tensor;
}

template <class Array>
Napi::Value copy_out(Napi::Env env, const at::Tensor& tensor) {
  Array array = Array::New(env, static_cast<size_t>(tensor.numel()));
  if (tensor.nbytes() != 0) std::memcpy(array.Data(), tensor.const_data_ptr(), tensor.nbytes());
  return array;
}

Napi::Value to_js_tensor(Napi::Env env, const at::Tensor& result) {
  at::Tensor tensor = result.cpu().contiguous();
  if (tensor.scalar_type() == at::kBool) tensor = tensor.to(at::kByte);
  if (tensor.is_floating_point() && tensor.scalar_type() != at::kDouble) tensor = tensor.to(at::kFloat);
  Napi::Object object = Napi::Object::New(env);
  object.Set("shape", to_js_array(env, tensor.sizes().vec()));
  switch (tensor.scalar_type()) {
    case at::kFloat:
      object.Set("data", copy_out<Napi::Float32Array>(env, tensor));
      break;
    case at::kDouble:
      object.Set("data", copy_out<Napi::Float64Array>(env, tensor));
      break;
    case at::kChar:
      object.Set("data", copy_out<Napi::Int8Array>(env, tensor));
      break;
    case at::kByte:
      object.Set("data", copy_out<Napi::Uint8Array>(env, tensor));
      break;
    case at::kShort:
      object.Set("data", copy_out<Napi::Int16Array>(env, tensor));
      break;
    case at::kInt:
      object.Set("data", copy_out<Napi::Int32Array>(env, tensor));
      break;
    case at::kLong:
      object.Set("data", copy_out<Napi::BigInt64Array>(env, tensor));
      break;
    default:
      throw Failure("ERR_INTERNAL", std::string("callOp: no typed array for ") + c10::toString(tensor.scalar_type()));
  }
  return object;
}

c10::IValue to_argument(const std::string& op, const c10::Argument& argument, const Napi::Value& value) {
  c10::TypePtr type = argument.type();
  if (const auto optional = type->cast<c10::OptionalType>()) {
    if (value.IsNull() || value.IsUndefined()) return {};
    type = optional->getElementType();
  }
  switch (type->kind()) {
    case c10::TypeKind::TensorType:
      if (value.IsObject() && !value.IsArray()) return to_tensor(value.As<Napi::Object>());
      break;
    case c10::TypeKind::IntType:
      if (value.IsNumber()) return value.As<Napi::Number>().Int64Value();
      break;
    case c10::TypeKind::FloatType:
      if (value.IsNumber()) return value.As<Napi::Number>().DoubleValue();
      break;
    case c10::TypeKind::BoolType:
      if (value.IsBoolean()) return value.As<Napi::Boolean>().Value();
      break;
    case c10::TypeKind::StringType:
      if (value.IsString()) return value.As<Napi::String>().Utf8Value();
      break;
    case c10::TypeKind::ListType:
      if (!value.IsArray()) break;
      if (type->castRaw<c10::ListType>()->getElementType()->kind() == c10::TypeKind::IntType) return to_integers(value);
      if (type->castRaw<c10::ListType>()->getElementType()->kind() == c10::TypeKind::FloatType)
        return to_doubles(value);
      break;
    default:
      break;
  }
  wrong_argument(op, argument);
}

Napi::Value call_op(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const c10::InferenceMode inference;
    const std::string name = info[0].As<Napi::String>().Utf8Value();
    const Napi::Array arguments = info[1].As<Napi::Array>();
    const auto op = c10::Dispatcher::singleton().findSchema({"voxgrad::" + name, ""});
    if (!op) throw Failure("ERR_CONFIG", "callOp: there is no op voxgrad::" + name);
    const auto& expected = op->schema().arguments();
    if (arguments.Length() != expected.size()) {
      throw Failure("ERR_CONFIG", "callOp " + name + ": expected " + std::to_string(expected.size()) +
                                      " arguments, found " + std::to_string(arguments.Length()));
    }
    std::vector<c10::IValue> stack;
    for (uint32_t i = 0; i < arguments.Length(); ++i) {
      stack.push_back(to_argument(name, expected[i], arguments.Get(i)));
    }
    // An op that returns nothing has changed its first tensor: that is its result then.
    const c10::IValue first = stack.empty() ? c10::IValue() : stack.front();
    op->callBoxed(stack);
    if (stack.empty() && first.isTensor()) stack.push_back(first);
    Napi::Array results = Napi::Array::New(env);
    for (const c10::IValue& value : stack) results.Set(results.Length(), to_js_tensor(env, value.toTensor()));
    return results;
  });
}
}  // namespace

void register_op_call(Napi::Env env, Napi::Object exports) {
  exports.Set("callOp", Napi::Function::New(env, call_op, "callOp"));
}

}  // namespace voxgrad::addon
