#pragma once
// The 16-bit floats: IEEE binary16 and bfloat16 (the upper half of a binary32), by their bits.

#include <bit>
#include <cmath>
#include <cstdint>

namespace flambeau::ir {

/// Bits of the float of `exponent_bits` and `mantissa_bits` nearest to `value`, ties to even;
/// subnormals kept, too large gives infinity, NaN a quiet NaN of the same sign.
uint16_t narrow_bits_of(double value, int exponent_bits, int mantissa_bits);

inline uint16_t half_bits_of(double value) { return narrow_bits_of(value, 5, 10); }
inline uint16_t bfloat_bits_of(double value) { return narrow_bits_of(value, 8, 7); }

/// The value of bits; exact.
float float_of_half_bits(uint16_t bits);
inline float float_of_bfloat_bits(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

}  // namespace flambeau::ir
