// CRC-32 with eight tables, eight bytes a step.
#include "io/crc32.h"

#include <array>
#include <cstring>

namespace voxgrad::io {

namespace {
using Tables = std::array<std::array<uint32_t, 256>, 8>;

constexpr Tables make_tables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0xEDB88320u : 0);
    tables[0][byte] = value;
  }
  for (size_t table = 1; table < 8; ++table) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint32_t before = tables[table - 1][byte];
      tables[table][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
  return tables;
}

constexpr Tables tables = make_tables();
}  // namespace

uint32_t crc32(uint32_t checksum, const void* bytes, size_t count) {
  const uint8_t* next = static_cast<const uint8_t*>(bytes);
  uint32_t value = ~checksum;
  for (; count >= 8; count -= 8, next += 8) {
    uint32_t low, high;
    std::memcpy(&low, next, 4);
    std::memcpy(&high, next + 4, 4);
    low ^= value;
    value = tables[7][low & 0xff] ^ tables[6][(low >> 8) & 0xff] ^ tables[5][(low >> 16) & 0xff] ^
            tables[4][low >> 24] ^ tables[3][high & 0xff] ^ tables[2][(high >> 8) & 0xff] ^
            tables[1][(high >> 16) & 0xff] ^ tables[0][high >> 24];
  }
  for (; count > 0; --count, ++next) value = (value >> 8) ^ tables[0][(value ^ *next) & 0xff];
  return ~value;
}

}  // namespace voxgrad::io
