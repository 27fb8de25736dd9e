// A captured checkpoint as JavaScript holds it: { bytes }, with the native value inside.
#pragma once
#include <napi.h>

#include <memory>

#include "io/torch_file.h"

namespace voxgrad::addon {

Napi::Object to_js(Napi::Env env, std::shared_ptr<const io::TorchFile> checkpoint);

/// Throws Failure(ERR_CONFIG) if the value was not made by to_js().
std::shared_ptr<const io::TorchFile> to_captured_checkpoint(const Napi::Value& value);

}  // namespace voxgrad::addon
