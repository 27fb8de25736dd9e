// A tree of plain values: what pickles, checkpoints and JavaScript objects hold, free of Python and of N-API.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace voxgrad::io {

struct Value;

struct None {};
struct List {
  std::vector<Value> items;
};
struct Tuple {
  std::vector<Value> items;
};
/// A dict in insertion order; keys are usually strings, in class_locations also integers or tuples.
struct Dict {
  std::vector<std::pair<Value, Value>> items;
};
/// collections.OrderedDict, what a state dict is; without attributes.
struct OrderedDict {
  std::vector<std::pair<Value, Value>> items;
};
/// A torch tensor on the CPU.
struct TorchTensor {
  at::Tensor tensor;
};
/// A numpy.ndarray; held as a contiguous CPU tensor.
struct NumpyArray {
  at::Tensor array;
};
/// torch.device("cuda:0"), as init_args holds it.
struct TorchDevice {
  std::string name;
};

/// A function or class by its name. Only ever written: reading a pickle gives none.
struct Global {
  std::string module;
  std::string name;
};

struct Value {
  std::variant<None, bool, int64_t, double, std::string, List, Tuple, Dict, OrderedDict, TorchTensor, NumpyArray,
               TorchDevice, Global>
      data;

  Value() : data(None{}) {}
  template <class T>
    requires(!std::is_same_v<std::decay_t<T>, Value>)
  Value(T&& value) : data(std::forward<T>(value)) {}  // NOLINT: a Value is meant to be made from its alternatives
  Value(const char* text) : data(std::string(text)) {}
  Value(int value) : data(int64_t{value}) {}

  template <class T>
  bool is() const {
    return std::holds_alternative<T>(data);
  }
  template <class T>
  const T& as() const;

  /// What this is, in words for errors: "a list", "text".
  const char* kind() const;
  /// The value under a string key of a Dict or OrderedDict, or nullptr. Throws Failure(ERR_FORMAT) if it is neither.
  const Value* find(const std::string& key) const;
  /// The same; throws Failure(ERR_FORMAT) that names the key if it is missing.
  const Value& at(const std::string& key) const;
  /// An integer, also where a double with an integral value or a bool was stored. Throws Failure(ERR_FORMAT) otherwise.
  int64_t integer() const;
  /// A double, also where an integer or a bool was stored. Throws Failure(ERR_FORMAT) otherwise, as all that follow do.
  double number() const;
  const std::string& text() const;
  /// The items of a List or Tuple.
  const std::vector<Value>& sequence() const;
};

template <class T>
const T& Value::as() const {
  return std::get<T>(data);
}

}  // namespace voxgrad::io
