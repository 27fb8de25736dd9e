// The groups of calls that module.cpp adds to the addon, one function and one file a group.
#pragma once
#include <napi.h>

namespace voxgrad::addon {
void register_io(Napi::Env env, Napi::Object exports);
void register_meeting(Napi::Env env, Napi::Object exports);
void register_op_call(Napi::Env env, Napi::Object exports);
void register_preprocess(Napi::Env env, Napi::Object exports);
void register_trace(Napi::Env env, Napi::Object exports);
void register_trainer(Napi::Env env, Napi::Object exports);
void register_versions(Napi::Env env, Napi::Object exports);
}  // namespace voxgrad::addon
