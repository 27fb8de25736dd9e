// readBlosc2, readPickle, readTorchFile, writeFileAtomically, writeCheckpoint, writePostprocessing: file access on
// libuv's pool; lockFile, which does not wait; and releaseMemory.
#include <malloc.h>

#include "addon/captured_checkpoint.h"
#include "addon/convert.h"
#include "addon/registers.h"
#include "addon/value_convert.h"
#include "io/blosc2_array.h"
#include "io/file_lock.h"
#include "io/files.h"
#include "io/pickle.h"
#include "io/torch_file.h"

namespace voxgrad::addon {

namespace {

std::string path_argument(const Napi::CallbackInfo& info) {
  if (info.Length() == 0 || !info[0].IsString()) throw Failure("ERR_CONFIG", "a native file call needs a path");
  std::string path = info[0].As<Napi::String>().Utf8Value();
  if (path.empty() || path.find('\0') != std::string::npos) {
    throw Failure("ERR_CONFIG", "a path must not be empty or contain a zero character");
  }
  return path;
}

Napi::Value read_blosc2_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return run_in_pool<at::Tensor>(
        info.Env(), [path = path_argument(info)] { return io::read_blosc2(path); },
        [](Napi::Env env, at::Tensor&& tensor) -> Napi::Value {
          const at::Tensor values = std::move(tensor);
          return tensor_to_js(env, values);
        });
  });
}

Napi::Value read_values_call(const Napi::CallbackInfo& info, io::Value (*read)(const std::string& path)) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return run_in_pool<io::Value>(
        info.Env(), [path = path_argument(info), read] { return read(path); },
        [](Napi::Env env, io::Value&& value) -> Napi::Value { return to_js(env, value); });
  });
}

Napi::Value read_pickle_call(const Napi::CallbackInfo& info) {
  return read_values_call(info, [](const std::string& path) { return io::read_pickle(io::read_file(path), path); });
}

Napi::Value read_torch_file_call(const Napi::CallbackInfo& info) {
  return read_values_call(info, [](const std::string& path) { return io::read_torch_file(path); });
}

Napi::Value write_file_atomically_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::string path = path_argument(info);
    if (info.Length() < 2 || !info[1].IsTypedArray()) throw Failure("ERR_CONFIG", "writeFileAtomically needs bytes");
    const auto bytes = info[1].As<Napi::Uint8Array>();
    const std::string_view content(reinterpret_cast<const char*>(bytes.Data()), bytes.ByteLength());
    return run_in_pool<bool>(
        info.Env(),
        [path, content] {
          io::write_atomically(path, content);
          return true;
        },
        [](Napi::Env env, bool&&) -> Napi::Value { return env.Undefined(); }, {bytes});
  });
}

Napi::Value write_checkpoint_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return run_in_pool<bool>(
        info.Env(),
        [path = path_argument(info), checkpoint = to_captured_checkpoint(info[1])] {
          checkpoint->write(path);
          return true;
        },
        [](Napi::Env env, bool&&) -> Napi::Value { return env.Undefined(); });
  });
}

/// One step of nnU-Net's postprocessing: the function that keeps the largest component, and the argument that it is
/// called with. A label is a number, a region a tuple, several of either a list.
std::pair<io::Value, io::Value> to_step(const Napi::Object& step) {
  const std::vector<int64_t> labels = to_integers(field(step, "labels"));
  std::vector<io::Value> items(labels.begin(), labels.end());
  const std::string form = field(step, "form").ToString();
  io::Value argument = io::List{items};
  if (form == "region") argument = io::Tuple{items};
  if (form == "label") argument = items.at(0);
  return {io::Global{"nnunetv2.postprocessing.remove_connected_components",
                     "remove_all_but_largest_component_from_segmentation"},
          io::Dict{{{"labels_or_regions", argument}}}};
}

Napi::Value write_postprocessing_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto steps = info[1].As<Napi::Array>();
    io::List functions, arguments;
    for (uint32_t i = 0; i < steps.Length(); ++i) {
      auto [function, argument] = to_step(steps.Get(i).As<Napi::Object>());
      functions.items.push_back(std::move(function));
      arguments.items.push_back(std::move(argument));
    }
    return run_in_pool<bool>(
        info.Env(),
        [path = path_argument(info), value = io::Value(io::Tuple{{functions, arguments}})] {
          io::write_atomically(path, io::write_pickle(value));
          return true;
        },
        [](Napi::Env env, bool&&) -> Napi::Value { return env.Undefined(); });
  });
}

Napi::Value lock_file_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::optional<int> descriptor = io::lock_file(path_argument(info));
    return descriptor ? Napi::Number::New(info.Env(), *descriptor) : info.Env().Null();
  });
}

Napi::Value release_memory_call(const Napi::CallbackInfo& info) {
  return run_in_pool<bool>(
      info.Env(), [] { return malloc_trim(0) != 0; },
      [](Napi::Env env, bool&&) -> Napi::Value { return env.Undefined(); });
}

}  // namespace

void register_io(Napi::Env env, Napi::Object exports) {
  exports.Set("readBlosc2", Napi::Function::New(env, read_blosc2_call, "readBlosc2"));
  exports.Set("readPickle", Napi::Function::New(env, read_pickle_call, "readPickle"));
  exports.Set("readTorchFile", Napi::Function::New(env, read_torch_file_call, "readTorchFile"));
  exports.Set("lockFile", Napi::Function::New(env, lock_file_call, "lockFile"));
  exports.Set("releaseMemory", Napi::Function::New(env, release_memory_call, "releaseMemory"));
  exports.Set("writeCheckpoint", Napi::Function::New(env, write_checkpoint_call, "writeCheckpoint"));
  exports.Set("writePostprocessing", Napi::Function::New(env, write_postprocessing_call, "writePostprocessing"));
  exports.Set("writeFileAtomically", Napi::Function::New(env, write_file_atomically_call, "writeFileAtomically"));
}

}  // namespace voxgrad::addon
