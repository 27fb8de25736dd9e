// Jobs that measure a trainer, from their JavaScript description to their result.
#include "addon/benchmark_calls.h"

#include "addon/convert.h"
#include "engine/benchmark.h"

namespace voxgrad::addon {

namespace {

Napi::Object to_js(Napi::Env env, std::map<std::string, std::vector<float>>&& columns) {
  Napi::Object result = Napi::Object::New(env);
  for (auto& [name, column] : columns) result.Set(name, to_typed_array<Napi::Float32Array>(env, std::move(column)));
  return result;
}

Finish finish(StepTimes&& times) {
  auto shared = std::make_shared<StepTimes>(std::move(times));
  return [shared](Napi::Env env) -> Napi::Value {
    Napi::Object result = Napi::Object::New(env);
    result.Set("step", to_typed_array<Napi::Float32Array>(env, std::move(shared->step)));
    result.Set("parts", to_js(env, std::move(shared->parts)));
    return result;
  };
}

Napi::Array to_js(Napi::Env env, const OperatorCounts& counts) {
  Napi::Array result = Napi::Array::New(env);
  for (const auto& [name, count] : counts) {
    Napi::Object one = Napi::Object::New(env);
    one.Set("name", name);
    one.Set("calls", static_cast<double>(count.calls));
    one.Set("bytes", static_cast<double>(count.bytes));
    one.Set("ms", count.ms);
    result.Set(result.Length(), one);
  }
  return result;
}

Finish finish(const StepCounts& counts) {
  return [counts](Napi::Env env) -> Napi::Value {
    Napi::Object allocations = Napi::Object::New(env), result = Napi::Object::New(env);
    allocations.Set("allocations", static_cast<double>(counts.allocations.allocations));
    allocations.Set("bytes", static_cast<double>(counts.allocations.bytes));
    allocations.Set("peak", static_cast<double>(counts.allocations.peak));
    allocations.Set("growth", static_cast<double>(counts.allocations.growth));
    allocations.Set("segments", static_cast<double>(counts.allocations.segments));
    result.Set("training", to_js(env, counts.training));
    result.Set("validation", to_js(env, counts.validation));
    result.Set("allocations", allocations);
    return result;
  };
}

}  // namespace

std::function<Finish(Trainer&)> benchmark_work(const Napi::Object& job) {
  const std::string what = field(job, "what").ToString().Utf8Value();
  const auto number = [&](const char* name) { return field(job, name).ToNumber().Int64Value(); };
  if (what == "cases") {
    const std::vector<int64_t> shape = to_integers(field(job, "shape"));
    if (shape.size() != 3) throw Failure("ERR_CONFIG", "shape: expected three extents");
    return [count = number("count"), shape = std::array{shape[0], shape[1], shape[2]}](Trainer& trainer) -> Finish {
      use_random_cases(trainer, count, shape);
      return [](Napi::Env env) { return env.Undefined(); };
    };
  }
  if (what == "training" || what == "validation") {
    return [what, steps = number("steps"), held = field(job, "held").ToBoolean().Value()](Trainer& trainer) {
      return finish((what == "training" ? time_training : time_validation)(trainer, steps, held));
    };
  }
  if (what == "batches") {
    return [first = number("first"), steps = number("steps")](Trainer& trainer) {
      return finish(time_batches(trainer, first, steps));
    };
  }
  if (what == "parts") {
    return [runs = number("runs")](Trainer& trainer) -> Finish {
      auto times = std::make_shared<std::map<std::string, std::vector<float>>>(time_parts(trainer, runs));
      return [times](Napi::Env env) -> Napi::Value { return to_js(env, std::move(*times)); };
    };
  }
  if (what == "counts") return [](Trainer& trainer) { return finish(count_step(trainer)); };
  if (what == "ceilings") {
    return [](Trainer& trainer) -> Finish {
      const Ceilings ceilings = measure_ceilings(trainer);
      return [ceilings](Napi::Env env) -> Napi::Value {
        Napi::Object result = Napi::Object::New(env);
        result.Set("flopPerSecond", ceilings.flop_per_second);
        result.Set("bytesPerSecond", ceilings.bytes_per_second);
        return result;
      };
    };
  }
  throw Failure("ERR_CONFIG", "what: there is no benchmark job " + what);
}

}  // namespace voxgrad::addon
