// The addon's table of contents: each group of calls registers itself here.
#include <napi.h>

#include "addon/registers.h"

namespace {
Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  voxgrad::addon::register_io(env, exports);
  voxgrad::addon::register_meeting(env, exports);
  voxgrad::addon::register_op_call(env, exports);
  voxgrad::addon::register_preprocess(env, exports);
  voxgrad::addon::register_trace(env, exports);
  voxgrad::addon::register_trainer(env, exports);
  voxgrad::addon::register_versions(env, exports);
  return exports;
}
}  // namespace

NODE_API_MODULE(voxgrad, initialize)
