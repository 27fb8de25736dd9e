// Between JavaScript values and C++ values: errors, typed arrays, required fields of an options object, and promises.
#pragma once
#include <napi.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "failure.h"

namespace voxgrad::addon {

/// A JavaScript Error with `code` and, if there is one, `nativeBacktrace`; src/native/load.ts makes a VoxgradError of
/// it.
inline Napi::Error to_js_error(Napi::Env env, const FailureReport& report) {
  Napi::Error error = Napi::Error::New(env, report.message);
  error.Value().Set("code", Napi::String::New(env, report.code));
  if (!report.backtrace.empty()) error.Value().Set("nativeBacktrace", Napi::String::New(env, report.backtrace));
  return error;
}

/// Runs a synchronous call and turns any C++ exception into a JavaScript one.
template <class Work>
auto guarded(Napi::Env env, Work&& work) -> decltype(work()) {
  try {
    return work();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw to_js_error(env, describe_current_exception());
  }
}

/// Hands a vector's memory to JavaScript without a copy. Array is Napi::Float32Array, Napi::Int16Array and so on.
template <class Array, class T>
Array to_typed_array(Napi::Env env, std::vector<T>&& values) {
  auto* owner = new std::vector<T>(std::move(values));
  const size_t bytes = owner->size() * sizeof(T);
  if (bytes == 0) {
    delete owner;
    return Array::New(env, 0);
  }
  auto buffer = Napi::ArrayBuffer::New(env, owner->data(), bytes, [owner](Napi::Env, void*) { delete owner; });
  return Array::New(env, bytes / sizeof(T), buffer, 0);
}

template <class T>
std::vector<T> to_vector(const Napi::TypedArrayOf<T>& array) {
  return std::vector<T>(array.Data(), array.Data() + array.ElementLength());
}

/// A JavaScript array of numbers.
inline std::vector<double> to_doubles(const Napi::Value& value) {
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<double> result(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) result[i] = array.Get(i).ToNumber().DoubleValue();
  return result;
}

inline std::vector<int64_t> to_integers(const Napi::Value& value) {
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<int64_t> result(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) result[i] = array.Get(i).ToNumber().Int64Value();
  return result;
}

inline std::vector<std::string> to_strings(const Napi::Value& value) {
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<std::string> result(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) result[i] = array.Get(i).ToString().Utf8Value();
  return result;
}

template <class T>
Napi::Array to_js_array(Napi::Env env, const std::vector<T>& values) {
  Napi::Array array = Napi::Array::New(env, values.size());
  for (size_t i = 0; i < values.size(); ++i) array.Set(i, Napi::Value::From(env, values[i]));
  return array;
}

/// A required field of an options object; the error names it.
inline Napi::Value field(const Napi::Object& object, const char* name) {
  if (!object.Has(name)) throw Failure("ERR_CONFIG", std::string("missing field ") + name + " in a native call");
  return object.Get(name);
}

/// Runs `work` on libuv's pool and resolves a promise with what `finish` makes of its result on the JavaScript thread.
/// `work` must not touch JavaScript values: copy or move what it needs into it. To use a typed array's memory without a
/// copy, pass its object in `keep`: it stays referenced until the work is done.
template <class Result>
Napi::Promise run_in_pool(Napi::Env env, std::function<Result()> work,
                          std::function<Napi::Value(Napi::Env, Result&&)> finish, std::vector<Napi::Object> keep = {}) {
  class Worker : public Napi::AsyncWorker {
   public:
    Worker(Napi::Env env, std::function<Result()> work, std::function<Napi::Value(Napi::Env, Result&&)> finish)
        : AsyncWorker(env), deferred(env), work_(std::move(work)), finish_(std::move(finish)) {}
    void Execute() override {
      try {
        result_ = std::make_unique<Result>(work_());
      } catch (...) {
        report_ = describe_current_exception();
        SetError(report_.message.empty() ? "failed" : report_.message);
      }
    }
    void OnOK() override {
      try {
        deferred.Resolve(finish_(Env(), std::move(*result_)));
      } catch (const Napi::Error& error) {
        deferred.Reject(error.Value());
      }
    }
    void OnError(const Napi::Error&) override { deferred.Reject(to_js_error(Env(), report_).Value()); }

    Napi::Promise::Deferred deferred;
    std::vector<Napi::ObjectReference> keep;

   private:
    std::function<Result()> work_;
    std::function<Napi::Value(Napi::Env, Result&&)> finish_;
    std::unique_ptr<Result> result_;
    FailureReport report_;
  };
  auto* worker = new Worker(env, std::move(work), std::move(finish));
  for (Napi::Object& object : keep) worker->keep.push_back(Napi::Persistent(object));
  Napi::Promise promise = worker->deferred.Promise();
  worker->Queue();
  return promise;
}

}  // namespace voxgrad::addon
