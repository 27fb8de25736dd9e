// The operands of pickle opcodes, taken from the front of the file. Internal to the reader.
#pragma once
#include <charconv>
#include <string>
#include <string_view>

#include "io/pickle_objects.h"

namespace voxgrad::io::pickle {

/// All functions throw Refusal where the file ends too early.
class Input {
 public:
  explicit Input(std::string_view bytes) : bytes_(bytes) {}

  size_t position() const { return next_; }

  /// The next bytes, at most `count`, without taking them.
  std::string_view peek(size_t count) const { return bytes_.substr(next_, count); }

  std::string_view take(size_t count) {
    if (count > bytes_.size() - next_) refuse("the file ends in the middle of a value");
    const std::string_view part = bytes_.substr(next_, count);
    next_ += count;
    return part;
  }

  /// An unsigned little-endian number of 1 to 8 bytes.
  uint64_t take_number(size_t count) {
    uint64_t value = 0;
    const std::string_view part = take(count);
    for (size_t i = 0; i < count; ++i) value |= uint64_t{static_cast<uint8_t>(part[i])} << (8 * i);
    return value;
  }

  std::string take_sized(size_t length_bytes) { return std::string(take(take_number(length_bytes))); }

  std::string take_line() {
    const size_t end = bytes_.find('\n', next_);
    if (end == std::string_view::npos) refuse("the file ends in the middle of a line");
    std::string line(bytes_.substr(next_, end - next_));
    next_ = end + 1;
    return line;
  }

  int64_t take_decimal_line() {
    std::string line = take_line();
    if (!line.empty() && line.back() == 'L') line.pop_back();
    int64_t value = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value);
    if (error != std::errc() || end != line.data() + line.size()) refuse("a number that is no 64-bit integer");
    return value;
  }

  /// A two's complement integer of any length.
  int64_t take_long(uint64_t length) {
    const std::string_view part = take(length);
    const bool is_negative = length > 0 && (part[length - 1] & 0x80) != 0;
    uint64_t value = is_negative ? ~uint64_t{0} : 0;
    for (size_t i = 0; i < length; ++i) {
      const uint8_t byte = static_cast<uint8_t>(part[i]);
      if (i < 8) {
        value = (value & ~(uint64_t{0xff} << (8 * i))) | (uint64_t{byte} << (8 * i));
      } else if (byte != (is_negative ? 0xff : 0)) {
        refuse("an integer beyond 64 bits");
      }
    }
    if (length > 8 && (value >> 63 != 0) != is_negative) refuse("an integer beyond 64 bits");
    return static_cast<int64_t>(value);
  }

 private:
  std::string_view bytes_;
  size_t next_ = 0;
};

}  // namespace voxgrad::io::pickle
