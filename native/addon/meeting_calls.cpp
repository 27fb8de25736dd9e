// leaveText, awaitText and findText: what ranks tell each other besides tensors.
#include "addon/config_reader.h"
#include "addon/convert.h"
#include "addon/registers.h"
#include "dist/meeting.h"

namespace voxgrad::addon {

namespace {
RanksConfig to_group(const Napi::Value& value) {
  RanksConfig config;
  read_config(value, "group", config);
  return config;
}

Napi::Value leave(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const auto name = info[1].ToString().Utf8Value(), text = info[2].ToString().Utf8Value();
    return run_in_pool<bool>(
        info.Env(),
        [config = to_group(info[0]), name, text] {
          leave_text(config, name, text);
          return true;
        },
        [](Napi::Env env, bool&&) { return env.Undefined(); });
  });
}

Napi::Value await(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const auto name = info[1].ToString().Utf8Value();
    const double seconds = info[2].ToNumber().DoubleValue();
    return run_in_pool<std::string>(
        info.Env(), [config = to_group(info[0]), name, seconds] { return await_text(config, name, seconds); },
        [](Napi::Env env, std::string&& text) -> Napi::Value { return Napi::String::New(env, text); });
  });
}

Napi::Value find(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const auto name = info[1].ToString().Utf8Value();
    return run_in_pool<std::optional<std::string>>(
        info.Env(), [config = to_group(info[0]), name] { return find_text(config, name); },
        [](Napi::Env env, std::optional<std::string>&& text) -> Napi::Value {
          if (text) return Napi::String::New(env, *text);
          return env.Null();
        });
  });
}
}  // namespace

void register_meeting(Napi::Env env, Napi::Object exports) {
  exports.Set("leaveText", Napi::Function::New(env, leave, "leaveText"));
  exports.Set("findText", Napi::Function::New(env, find, "findText"));
  exports.Set("awaitText", Napi::Function::New(env, await, "awaitText"));
}

}  // namespace voxgrad::addon
