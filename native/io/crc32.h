// CRC-32 as zip files use it (polynomial 0xEDB88320, reflected).
#pragma once
#include <cstddef>
#include <cstdint>

namespace voxgrad::io {

/// The checksum of what `checksum` covers followed by these bytes; start with 0.
uint32_t crc32(uint32_t checksum, const void* bytes, size_t count);

}  // namespace voxgrad::io
