// What the pickle reader works on: Python objects by reference, as the opcodes share and change them, and the functions
// of the allow-list. Internal to the reader.
#pragma once
#include <ATen/core/Tensor.h>

#include <deque>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "io/element_types.h"
#include "io/pickle.h"

namespace voxgrad::io::pickle {

struct Object;
using Reference = Object*;

struct Text {
  std::string text;
};
struct Bytes {
  std::string bytes;
};
struct Sequence {
  bool is_tuple;
  std::vector<Reference> items;
};
struct Mapping {
  bool is_ordered;
  std::vector<std::pair<Reference, Reference>> items;
};
/// A class or function of the allow-list.
struct Global {
  std::string name;
};
/// numpy.dtype; `is_swapped` for big-endian data.
struct ElementType {
  std::string name;
  at::ScalarType type;
  bool is_swapped;
};
struct Array {
  at::Tensor values;
};
struct Storage {
  at::Tensor values;
};
struct Tensor {
  at::Tensor tensor;
};
struct Device {
  std::string name;
};

struct Object {
  std::variant<std::monostate, bool, int64_t, double, Text, Bytes, Sequence, Mapping, Global, ElementType, Array,
               Storage, Tensor, Device>
      data;
};

/// Why a pickle is not read; read_pickle makes a Failure of it, with file and position.
struct Refusal {
  std::string reason;
};
[[noreturn]] inline void refuse(std::string reason) { throw Refusal{std::move(reason)}; }

/// What the values of a pickle may take, in copied bytes or in values: far more than honest ones do, and no more than
/// its size justifies.
inline size_t room_of(size_t pickle_bytes) { return (size_t{1} << 16) + 32 * pickle_bytes; }

/// Owns all objects of one pickle, so that cycles and deep nesting need no care when they are freed. Its functions
/// throw Refusal.
class Objects {
 public:
  Objects(const StorageReader& storage, size_t pickle_bytes) : storage_(storage), room_(room_of(pickle_bytes)) {}

  template <class Data>
  Reference make(Data&& data) {
    check_room();
    return &objects_.emplace_back(Object{std::forward<Data>(data)});
  }

  /// `module.name`, if it is on the list.
  Reference global(const std::string& module, const std::string& name);
  /// function(*arguments)
  Reference call(Reference function, Reference arguments);
  /// object.__setstate__(state)
  void set_state(Reference object, Reference state);
  /// What torch.save's persistent id stands for: ("storage", class, key, device, element count).
  Reference persistent(Reference id);

 private:
  void check_room() const;
  /// Called before bytes of the pickle are copied, which it may ask for any number of times.
  void spend(size_t bytes);
  Reference make_array(Reference data, Reference type, Reference shape, bool is_column_major);
  Reference make_scalar(Reference type, Reference bytes);
  Reference rebuild_tensor(const std::vector<Reference>& arguments);

  const StorageReader& storage_;
  size_t room_;
  std::deque<Object> objects_;
};

/// The tree of values below `root`. Throws Refusal on cycles, on nesting deeper than 100, and if shared parts make the
/// tree much larger than the pickle's `pickle_bytes`.
Value to_value(Reference root, size_t pickle_bytes);

}  // namespace voxgrad::io::pickle
