// Wraps a captured checkpoint in an object with a tag, so that no other object is taken for one.
#include "addon/captured_checkpoint.h"

#include "failure.h"

namespace voxgrad::addon {

namespace {
using Held = std::shared_ptr<const io::TorchFile>;
constexpr napi_type_tag tag{0x766f786772616463, 0x6865636b706f696e};

/// The garbage collector sees a few bytes; it has to know of the rest to come in time.
void tell_collector(Napi::Env env, int64_t bytes) { Napi::MemoryManagement::AdjustExternalMemory(env, bytes); }
}  // namespace

Napi::Object to_js(Napi::Env env, Held checkpoint) {
  const uint64_t bytes = checkpoint->bytes();
  Napi::Object object = Napi::Object::New(env);
  object.DefineProperty(
      Napi::PropertyDescriptor::Value("bytes", Napi::Number::New(env, static_cast<double>(bytes)), napi_enumerable));
  auto held = std::make_unique<Held>(std::move(checkpoint));
  const auto free = [](napi_env owner, void* data, void*) {
    const std::unique_ptr<Held> ended(static_cast<Held*>(data));
    tell_collector(owner, -static_cast<int64_t>((*ended)->bytes()));
  };
  if (napi_wrap(env, object, held.get(), free, nullptr, nullptr) != napi_ok) throw Napi::Error::New(env);
  held.release();
  object.TypeTag(&tag);
  tell_collector(env, static_cast<int64_t>(bytes));
  return object;
}

Held to_captured_checkpoint(const Napi::Value& value) {
  void* held = nullptr;
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&tag) ||
      napi_unwrap(value.Env(), value, &held) != napi_ok) {
    throw Failure("ERR_CONFIG", "expected what captureCheckpoint gave");
  }
  return *static_cast<Held*>(held);
}

}  // namespace voxgrad::addon
