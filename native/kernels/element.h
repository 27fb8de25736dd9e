// The number formats of activations, for code that must not include libtorch's headers: float32, bfloat16 and float16,
// read and written as float32. Host and device compile this same code; the bits are those of at::BFloat16 and at::Half.
#pragma once
#include <cstdint>
#include <cstring>

#include "kernels/draw.h"

namespace voxgrad {

struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

VOXGRAD_HOST_DEVICE inline uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
VOXGRAD_HOST_DEVICE inline float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/// x = (1 + rest) * 2^exponent, from sqrt(1/2) to sqrt(2); log(1 + rest) = rest - rest^2 / 2 + tail. x: above 0,
/// normal. Source: Cephes' logf (S. L. Moshier).
struct LogParts {
  float exponent, rest, tail;

  VOXGRAD_HOST_DEVICE static LogParts of(float x) {
    const int32_t power = static_cast<int32_t>(bits_of(x) - 0x3F3504F3u) >> 23;
    const float f = float_of(bits_of(x) - (static_cast<uint32_t>(power) << 23)) - 1.0f;
    float sum = 7.0376836292e-2f;
    sum = sum * f - 1.1514610310e-1f;
    sum = sum * f + 1.1676998740e-1f;
    sum = sum * f - 1.2420140846e-1f;
    sum = sum * f + 1.4249322787e-1f;
    sum = sum * f - 1.6668057665e-1f;
    sum = sum * f + 2.0000714765e-1f;
    sum = sum * f - 2.4999993993e-1f;
    sum = sum * f + 3.3333331174e-1f;
    return {static_cast<float>(power), f, sum * f * (f * f)};
  }
};

VOXGRAD_HOST_DEVICE inline float to_float(float value) { return value; }
VOXGRAD_HOST_DEVICE inline float to_float(BFloat16 value) { return float_of(static_cast<uint32_t>(value.bits) << 16); }
VOXGRAD_HOST_DEVICE inline float to_float(Float16 value) {
  const uint32_t sign = (value.bits & 0x8000u) << 16, rest = value.bits & 0x7FFFu;
  if (rest >= 0x7C00u) return float_of(sign | 0x7F800000u | (rest & 0x3FFu) << 13);  // infinite or not a number
  // Shifted into float32's fields the exponent is 112 too small; the product also makes subnormals normal.
  return float_of(sign | bits_of(float_of(rest << 13) * 0x1.0p112f));
}

template <class Element>
VOXGRAD_HOST_DEVICE Element from_float(float value);

template <>
VOXGRAD_HOST_DEVICE inline float from_float<float>(float value) {
  return value;
}

/// Rounds half to even.
template <>
VOXGRAD_HOST_DEVICE inline BFloat16 from_float<BFloat16>(float value) {
  const uint32_t bits = bits_of(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return {0x7FC0u};
  return {static_cast<uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16)};
}

/// Rounds half to even; what is too large becomes infinite.
template <>
VOXGRAD_HOST_DEVICE inline Float16 from_float<Float16>(float value) {
  const uint32_t sign = bits_of(value) >> 16 & 0x8000u, rest = bits_of(value) & 0x7FFFFFFFu;
  if (rest > 0x7F800000u) return {static_cast<uint16_t>(sign | 0x7E00u)};
  if (rest >= 0x477FF000u) return {static_cast<uint16_t>(sign | 0x7C00u)};
  // Below 2^-14 adding a half moves the wanted bits to the end of the sum, rounded by the addition itself.
  if (rest < 0x38800000u)
    return {static_cast<uint16_t>(sign | ((bits_of(float_of(rest) + 0.5f) - 0x3F000000u) & 0xFFFFu))};
  return {static_cast<uint16_t>(sign | (rest - 0x38000000u + 0xFFFu + (rest >> 13 & 1u)) >> 13)};
}

}  // namespace voxgrad
