#pragma once
// Taking floats apart and together by their bits, the same for Float32 and Float64.

#include "prim/scalar.h"

namespace flambeau::prim {

/// The layout of a float dtype.
struct FloatFormat {
  DType dtype;
  DType integer;   ///< of the same size
  int mantissa;    ///< stored bits of the significand
  int bias;        ///< of the exponent
  double shifter;  ///< 1.5 * 2^mantissa: x + shifter has round(x) in its low bits
  double least_normal;
  uint64_t one;        ///< bits of 1
  uint64_t sqrt_half;  ///< bits of the float below the square root of 1/2
  uint64_t sign;       ///< the sign bit

  uint64_t mantissa_mask() const { return (uint64_t{1} << mantissa) - 1; }
};

inline constexpr FloatFormat kFloat32Format{
    DType::Float32, DType::Int32, 23, 127, 0x1.8p23, 0x1p-126, 0x3f800000, 0x3f3504f3, 0x80000000};
inline constexpr FloatFormat kFloat64Format{
    DType::Float64,     DType::Int64,      52, 1023, 0x1.8p52, 0x1p-1022, 0x3ff0000000000000,
    0x3fe6a09e667f3bcc, 0x8000000000000000};

inline const FloatFormat& format_of(const Value& x) {
  return x.is_double() ? kFloat64Format : kFloat32Format;
}

/// A float's bits as an integer, and back.
inline Value bits_of(const Value& x) { return x.bitcast(format_of(x).integer); }
inline Value float_of(const FloatFormat& format, const Value& bits) {
  return bits.bitcast(format.dtype);
}

/// The integer constant `value` of the dtype of `bits`.
inline Value integer(const Value& like, uint64_t value) { return like.bits(like.dtype(), value); }

/// 2^n for a `shifted` = n + shifter whose n + `offset` is a normal exponent.
inline Value power_of_two(const Value& shifted, int offset = 0) {
  const FloatFormat& format = format_of(shifted);
  const Value bits = bits_of(shifted);
  const auto exponent = static_cast<uint64_t>(format.bias + offset) << format.mantissa;
  return float_of(format, (bits << integer(bits, static_cast<uint64_t>(format.mantissa))) +
                              integer(bits, exponent));
}

/// p * 2^n for a `shifted` = n + shifter; the product is normal, as p is. What is no number stays
/// none only if no bit but the highest of the significand is set in `shifted`.
inline Value times_power_of_two(const Value& p, const Value& shifted) {
  const FloatFormat& format = format_of(shifted);
  const Value bits = bits_of(shifted);
  return float_of(format,
                  bits_of(p) + (bits << integer(bits, static_cast<uint64_t>(format.mantissa))));
}

/// p * 2^n rounded once, n integral; overflow and denormal results included.
inline Value scale(const Value& p, const Value& n) { return p.apply(CoreOp::Scale, n); }

/// x = significand * 2^exponent, significand in [sqrt(1/2), sqrt(2)).
struct Parts {
  Value significand;
  Value exponent;         ///< a float
  Value biased_exponent;  ///< an integer, exponent + bias, before `more` was subtracted
};

/// Of a positive normal x; `more` is subtracted from the exponent.
inline Parts split(const Value& x, const Value& more) {
  const FloatFormat& format = format_of(x);
  const Value bits = bits_of(x);
  const Value moved = bits + integer(bits, format.one - format.sqrt_half);
  const Value biased = moved >> integer(bits, static_cast<uint64_t>(format.mantissa));
  const Value significand = float_of(
      format, (moved & integer(bits, format.mantissa_mask())) + integer(bits, format.sqrt_half));
  // The integer as the low bits of 2^mantissa: exact, and no conversion instruction.
  const auto top = static_cast<uint64_t>(format.bias + format.mantissa) << format.mantissa;
  const Value exponent = float_of(format, biased | integer(bits, top)) - more;
  return {significand, exponent, biased};
}

/// What `split` must subtract to give the plain exponent.
inline double exponent_offset(const FloatFormat& format) {
  return static_cast<double>((uint64_t{1} << format.mantissa) + static_cast<uint64_t>(format.bias));
}

/// `magnitude` >= +0 with the sign bit of `sign`.
inline Value with_sign_of(const Value& magnitude, const Value& sign) {
  const FloatFormat& format = format_of(sign);
  const Value bits = bits_of(magnitude);
  return float_of(format, bits | (bits_of(sign) & integer(bits, format.sign)));
}

/// `x` negated where the sign bit of `sign` is set.
inline Value flip_sign_of(const Value& x, const Value& sign) {
  const FloatFormat& format = format_of(sign);
  const Value bits = bits_of(x);
  return float_of(format, bits ^ (bits_of(sign) & integer(bits, format.sign)));
}

}  // namespace flambeau::prim
