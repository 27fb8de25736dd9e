// Reads a configuration struct from a JavaScript object through the struct's list of fields, and describes that list.
#pragma once
#include <napi.h>

#include <array>
#include <string>
#include <type_traits>
#include <vector>

#include "failure.h"

namespace voxgrad::addon {

template <class Struct>
concept HasFields = requires { Struct::fields([](const char*, auto) {}); };

/// Fills `target`; throws Failure(ERR_CONFIG) with the field's path for a missing, unknown or mistyped field.
template <class T>
void read_config(const Napi::Value& value, const std::string& path, T& target) {
  auto expect = [&](bool good, const char* type) {
    if (!good) throw Failure("ERR_CONFIG", path + ": expected " + type + ", found " + value.ToString().Utf8Value());
  };
  if constexpr (HasFields<T>) {
    expect(value.IsObject(), "an object");
    const Napi::Object object = value.As<Napi::Object>();
    uint32_t count = 0;
    T::fields([&](const char* name, auto member) {
      ++count;
      const std::string field = path.empty() ? name : path + "." + name;
      if (!object.Has(name)) throw Failure("ERR_CONFIG", field + " is missing");
      read_config(object.Get(name), field, target.*member);
    });
    if (object.GetPropertyNames().Length() != count)
      throw Failure("ERR_CONFIG", path + ": holds fields that the engine does not know");
  } else if constexpr (std::is_same_v<T, bool>) {
    expect(value.IsBoolean(), "a boolean");
    target = value.As<Napi::Boolean>();
  } else if constexpr (std::is_same_v<T, std::string>) {
    expect(value.IsString(), "a string");
    target = value.As<Napi::String>();
  } else if constexpr (std::is_arithmetic_v<T>) {
    expect(value.IsNumber(), "a number");
    target = static_cast<T>(value.As<Napi::Number>().DoubleValue());
  } else {
    expect(value.IsArray(), "an array");
    const Napi::Array array = value.As<Napi::Array>();
    if constexpr (requires { target.resize(1); }) target.resize(array.Length());
    expect(array.Length() == target.size(), "an array of the right length");
    for (uint32_t i = 0; i < array.Length(); ++i) {
      typename T::value_type element{};  // vector<bool> has no references to its elements
      read_config(array.Get(i), path + "[" + std::to_string(i) + "]", element);
      target[i] = element;
    }
  }
}

/// The names and types of a struct's fields as a tree, for the test that compares them with the TypeScript schema.
template <class T>
Napi::Value describe_config(Napi::Env env) {
  if constexpr (HasFields<T>) {
    Napi::Object result = Napi::Object::New(env);
    T::fields([&]<class Member>(const char* name, Member T::*) { result.Set(name, describe_config<Member>(env)); });
    return result;
  } else if constexpr (std::is_same_v<T, bool>) {
    return Napi::String::New(env, "boolean");
  } else if constexpr (std::is_same_v<T, std::string>) {
    return Napi::String::New(env, "string");
  } else if constexpr (std::is_arithmetic_v<T>) {
    return Napi::String::New(env, "number");
  } else {
    Napi::Array result = Napi::Array::New(env, 1);
    result.Set(0u, describe_config<typename T::value_type>(env));
    return result;
  }
}

}  // namespace voxgrad::addon
