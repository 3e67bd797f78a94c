#include "ir/half.h"

namespace flambeau::ir {

uint16_t narrow_bits_of(double value, int exponent_bits, int mantissa_bits) {
  const uint64_t bits = std::bit_cast<uint64_t>(value);
  const auto sign = static_cast<uint64_t>((bits >> 63) << 15);
  const uint64_t infinity = ((uint64_t{1} << exponent_bits) - 1) << mantissa_bits;
  const uint64_t quiet = uint64_t{1} << (mantissa_bits - 1);
  if (std::isnan(value)) return static_cast<uint16_t>(sign | infinity | quiet);
  if (std::isinf(value)) return static_cast<uint16_t>(sign | infinity);
  const auto exponent = static_cast<int>((bits >> 52) & 0x7ff);
  // Below the smallest subnormal by far, and the subnormals of double, round to zero.
  if (exponent < 1023 - 200) return static_cast<uint16_t>(sign);

  const int bias = (1 << (exponent_bits - 1)) - 1;
  int target = exponent - 1023 + bias;
  const uint64_t mantissa = (bits & ((uint64_t{1} << 52) - 1)) | (uint64_t{1} << 52);
  int shift = 52 - mantissa_bits;
  if (target <= 0) {
    shift += 1 - target;
    target = 0;
  }
  if (shift > 54) return static_cast<uint16_t>(sign);
  const uint64_t rest = mantissa & ((uint64_t{1} << shift) - 1);
  const uint64_t tie = uint64_t{1} << (shift - 1);
  uint64_t kept = mantissa >> shift;
  if (rest > tie || (rest == tie && (kept & 1) != 0)) ++kept;
  // A normal number's hidden one adds one to the exponent field; so does a carry out of `kept`.
  const uint64_t out = kept + (target > 0 ? static_cast<uint64_t>(target - 1) << mantissa_bits : 0);
  return static_cast<uint16_t>(sign | (out < infinity ? out : infinity));
}

float float_of_half_bits(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000U) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1fU;
  const uint32_t mantissa = bits & 0x3ffU;
  if (exponent == 0) {
    const float magnitude = std::ldexp(static_cast<float>(mantissa), -24);
    return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
  }
  const uint32_t wide_exponent = exponent == 0x1f ? 0xff : exponent + (127 - 15);
  return std::bit_cast<float>(sign | (wide_exponent << 23) | (mantissa << 13));
}

}  // namespace flambeau::ir
