// Pickles of protocol 2, without a memo: every value is written where it stands.
#include <c10/util/strides.h>

#include <bit>

#include "failure.h"
#include "io/element_types.h"
#include "io/pickle.h"

namespace voxgrad::io {

namespace {

class Writer {
 public:
  explicit Writer(const StorageWriter& storage) : storage_(storage) {}

  std::string run(const Value& value) {
    bytes_ = "\x80\x02";
    write(value);
    bytes_ += '.';
    return std::move(bytes_);
  }

 private:
  void write(const Value& value) {
    std::visit([this](const auto& data) { put(data); }, value.data);
  }

  void put_number(uint64_t value, size_t count) {
    for (size_t i = 0; i < count; ++i) bytes_ += static_cast<char>(value >> (8 * i));
  }

  void put_global(const std::string& module, const std::string& name) { bytes_ += "c" + module + "\n" + name + "\n"; }

  void put(None) { bytes_ += 'N'; }
  void put(bool value) { bytes_ += value ? '\x88' : '\x89'; }

  void put(int64_t value) {
    if (value == static_cast<int32_t>(value)) {
      bytes_ += 'J';
      put_number(static_cast<uint64_t>(value), 4);
    } else {
      bytes_ += "\x8a\x08";
      put_number(static_cast<uint64_t>(value), 8);
    }
  }

  void put(double value) {
    const uint64_t bits = std::bit_cast<uint64_t>(value);
    bytes_ += 'G';
    for (int shift = 56; shift >= 0; shift -= 8) bytes_ += static_cast<char>(bits >> shift);
  }

  void put(const std::string& text) {
    if (text.size() > UINT32_MAX) throw Failure("ERR_INTERNAL", "a text of more than 4 GiB in a pickle");
    bytes_ += 'X';
    put_number(text.size(), 4);
    bytes_ += text;
  }

  void put(const List& list) {
    bytes_ += "](";
    for (const Value& item : list.items) write(item);
    bytes_ += 'e';
  }

  void put(const Tuple& tuple) {
    bytes_ += '(';
    for (const Value& item : tuple.items) write(item);
    bytes_ += 't';
  }

  void put_items(const std::vector<std::pair<Value, Value>>& items) {
    bytes_ += '(';
    for (const auto& [key, value] : items) {
      write(key);
      write(value);
    }
    bytes_ += 'u';
  }

  void put(const Dict& dict) {
    bytes_ += '}';
    put_items(dict.items);
  }

  void put_empty_ordered_dict() {
    put_global("collections", "OrderedDict");
    bytes_ += ")R";
  }

  void put(const OrderedDict& dict) {
    put_empty_ordered_dict();
    put_items(dict.items);
  }

  void put_extents(at::IntArrayRef extents) {
    bytes_ += '(';
    for (const int64_t extent : extents) put(extent);
    bytes_ += 't';
  }

  /// Protocol 2 has no bytes: Python writes them as text, one character a byte, and encodes it when loading.
  void put_bytes(const void* data, size_t count) {
    if (count == 0) {
      put_global("__builtin__", "bytes");
      bytes_ += ")R";
      return;
    }
    std::string text;
    text.reserve(count + count / 2);
    for (size_t i = 0; i < count; ++i) {
      const uint8_t byte = static_cast<const uint8_t*>(data)[i];
      if (byte < 0x80) {
        text += static_cast<char>(byte);
      } else {
        text += static_cast<char>(0xc0 | (byte >> 6));
        text += static_cast<char>(0x80 | (byte & 0x3f));
      }
    }
    put_global("_codecs", "encode");
    put(text);
    put(std::string("latin1"));
    bytes_ += "\x86R";
  }

  void put(const NumpyArray& value) {
    const at::Tensor array = value.array.to(at::kCPU).contiguous();
    const auto name = numpy_name_of(array.scalar_type());
    if (!name) throw Failure("ERR_INTERNAL", std::string("NumPy has no type ") + c10::toString(array.scalar_type()));
    // Both NumPy 1 and 2 resolve numpy.core.multiarray.
    put_global("numpy.core.multiarray", "_reconstruct");
    put_global("numpy", "ndarray");
    put_extents({0});
    put_bytes("b", 1);
    bytes_ += "\x87R(";
    put(int64_t{1});
    put_extents(array.sizes());
    put_global("numpy", "dtype");
    put(*name);
    bytes_ += "\x89\x88\x87R(";
    put(int64_t{3});
    put(std::string(array.element_size() == 1 ? "|" : "<"));
    bytes_ += "NNN";
    put(int64_t{-1});
    put(int64_t{-1});
    put(int64_t{0});
    bytes_ += "tb\x89";
    put_bytes(array.const_data_ptr(), array.nbytes());
    bytes_ += "tb";
  }

  void put(const TorchTensor& value) {
    const at::Tensor& tensor = value.tensor;
    const auto name = storage_name_of(tensor.scalar_type());
    if (!storage_ || !name) {
      throw Failure("ERR_INTERNAL", std::string("cannot pickle a tensor of ") + c10::toString(tensor.scalar_type()));
    }
    put_global("torch._utils", "_rebuild_tensor_v2");
    bytes_ += "((";
    put(std::string("storage"));
    put_global("torch", *name);
    put(storage_(tensor));
    put(std::string("cpu"));
    put(tensor.numel());
    bytes_ += "tQ";
    put(int64_t{0});
    put_extents(tensor.sizes());
    put_extents(c10::contiguous_strides(tensor.sizes()));
    bytes_ += '\x89';
    put_empty_ordered_dict();
    bytes_ += "tR";
  }

  void put(const Global& global) { put_global(global.module, global.name); }

  void put(const TorchDevice& device) {
    const size_t colon = device.name.find(':');
    put_global("torch", "device");
    bytes_ += '(';
    put(device.name.substr(0, colon));
    if (colon != std::string::npos) put(int64_t{std::stoll(device.name.substr(colon + 1))});
    bytes_ += "tR";
  }

  const StorageWriter& storage_;
  std::string bytes_;
};

}  // namespace

std::string write_pickle(const Value& value, const StorageWriter& storage) { return Writer(storage).run(value); }

}  // namespace voxgrad::io
