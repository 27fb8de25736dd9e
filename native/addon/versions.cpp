// versions(): what the addon was built with and what it runs on.
#include <ATen/Context.h>
#include <ATen/Version.h>
#include <torch/headeronly/version.h>

#include "addon/convert.h"
#include "addon/registers.h"
#include "dist/process_group.h"

namespace voxgrad::addon {

namespace {
Napi::Value versions(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Napi::Object result = Napi::Object::New(env);
  result.Set("libtorch", TORCH_VERSION);
  result.Set("compiler", std::string(__VERSION__));
  result.Set("cpu", at::get_cpu_capability());
  const std::string gloo = has_gloo() ? "gloo" : "", nccl = has_nccl() ? "nccl" : "";
  const std::string both = gloo + (gloo.empty() || nccl.empty() ? "" : ", ") + nccl;
  result.Set("collectives", both.empty() ? "none" : both);
  return result;
}
}  // namespace

void register_versions(Napi::Env env, Napi::Object exports) {
  exports.Set("versions", Napi::Function::New(env, versions, "versions"));
}

}  // namespace voxgrad::addon
