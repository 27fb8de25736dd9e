// traceSteps(): training steps on given batches, for comparisons with nnU-Net.
#include "addon/config_reader.h"
#include "addon/convert.h"
#include "addon/registers.h"
#include "engine/trace.h"

namespace voxgrad::addon {

namespace {
Napi::Value to_tensor(Napi::Env env, const at::Tensor& tensor) {
  if (!tensor.defined()) return env.Null();
  const float* values = tensor.data_ptr<float>();
  Napi::Object result = Napi::Object::New(env);
  result.Set("data", to_typed_array<Napi::Float32Array>(env, std::vector<float>(values, values + tensor.numel())));
  result.Set("shape", to_js_array(env, tensor.sizes().vec()));
  return result;
}

Napi::Object to_tensors(Napi::Env env, const std::map<std::string, at::Tensor>& tensors) {
  Napi::Object result = Napi::Object::New(env);
  for (const auto& [name, tensor] : tensors) result.Set(name, to_tensor(env, tensor));
  return result;
}

template <class Array, class T>
at::Tensor from_tensor(const Napi::Value& value, at::ScalarType type) {
  const Napi::Object object = value.As<Napi::Object>();
  const auto data = field(object, "data").As<Array>();
  at::Tensor tensor = at::empty(to_integers(field(object, "shape")), type);
  std::copy(data.Data(), data.Data() + data.ElementLength(), tensor.data_ptr<T>());
  return tensor;
}

Napi::Value trace_steps_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const Napi::Object job = info[0].As<Napi::Object>();
    TrainerConfig config;
    read_config(field(job, "config"), "config", config);
    const Napi::Array images = field(job, "images").As<Napi::Array>(), labels = field(job, "labels").As<Napi::Array>();
    std::vector<Batch> batches;
    for (uint32_t i = 0; i < images.Length(); ++i) {
      batches.push_back({from_tensor<Napi::Float32Array, float>(images.Get(i), at::kFloat),
                         from_tensor<Napi::Int16Array, int16_t>(labels.Get(i), at::kShort),
                         {}});
    }
    return run_in_pool<Trace>(
        info.Env(),
        [config, batches, checkpoint = field(job, "checkpoint").ToString().Utf8Value(),
         rates = to_doubles(field(job, "learningRates"))] { return trace_steps(config, checkpoint, batches, rates); },
        [](Napi::Env env, Trace&& trace) -> Napi::Value {
          Napi::Object result = Napi::Object::New(env);
          Napi::Array outputs = Napi::Array::New(env, trace.outputs.size());
          for (uint32_t i = 0; i < trace.outputs.size(); ++i) outputs.Set(i, to_tensor(env, trace.outputs[i]));
          result.Set("outputs", outputs);
          result.Set("gradients", to_tensors(env, trace.gradients));
          result.Set("losses", to_js_array(env, trace.losses));
          result.Set("gradientNorms", to_js_array(env, trace.gradient_norms));
          result.Set("afterFirst", to_tensors(env, trace.after_first));
          result.Set("afterLast", to_tensors(env, trace.after_last));
          result.Set("evaluated", to_tensor(env, trace.evaluated));
          return result;
        });
  });
}
}  // namespace

void register_trace(Napi::Env env, Napi::Object exports) {
  exports.Set("traceSteps", Napi::Function::New(env, trace_steps_call, "traceSteps"));
}

}  // namespace voxgrad::addon
