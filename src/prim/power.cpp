// The row of powers.
//
// |x|^y = 2^(y log2 |x|) in Float64 for Float32; for Float64 e^(y ln |x|) with the logarithm and
// its product in pairs of floats, so that an exponent of 700 still has 60 good bits. The special
// cases are those of IEEE 754 and C.

#include <limits>

#include "prim/complex.h"
#include "prim/exponential.h"
#include "prim/row.h"

namespace flambeau::prim {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// high + low with |low| at most about half a unit in the last place of high.
struct Pair {
  Value high, low;
};

Pair product(const Value& a, const Value& b) {
  const Value high = a * b;
  return {high, fma(a, b, -high)};
}

/// Of |a| >= |b|, or a == 0.
Pair ordered_sum(const Value& a, const Value& b) {
  const Value high = a + b;
  return {high, b - (high - a)};
}

/// The natural logarithm of x > 0 to about 66 bits.
Pair precise_log(const Value& x) {
  const auto [k, f] = log_parts(x);
  // log(1 + f) = 2 atanh(s), s = f / (2 + f).
  const Pair denominator = ordered_sum(f.number(2), f);
  const Value s = f / denominator.high;
  const Value remainder = fma(-s, denominator.low, fma(-s, denominator.high, f));
  const Value s_low = remainder / denominator.high;
  const Pair square = product(s, s);
  const Value z_low = fma(s + s, s_low, square.low);
  const Value& z = square.high;
  // 2/3 + z (2/5 + ...)
  const Value series =
      z * horner(z, {0x1.9999999999b31p-2, 0x1.2492492457b5ep-2, 0x1.c71c722d95f12p-3,
                     0x1.745ce9d22faadp-3, 0x1.3b1eef478ab6fp-3, 0x1.0f7f9b219f2a4p-3,
                     0x1.0e459f4ae7bf0p-3});
  const Pair t = ordered_sum(z.number(0x1.5555555555555p-1), series);
  const Value t_low = t.low + 0x1.5555555555555p-55;
  // s z t, the logarithm's part beyond 2s.
  const Pair w = product(z, t.high);
  const Value w_low = w.low + fma(z, t_low, z_low * t.high);
  const Pair v = product(s, w.high);
  const Value v_low = v.low + fma(s, w_low, s_low * w.high);
  const Pair kln2 = product(k, k.number(0x1.62e42fefa39efp-1));
  const Value kln2_low = fma(k, 0x1.abc9e3b39803fp-56, kln2.low);
  const Pair first = ordered_sum(kln2.high, s + s);
  const Pair second = ordered_sum(first.high, v.high);
  const Value low = (first.low + second.low) + (kln2_low + (s_low + s_low + v_low));
  return ordered_sum(second.high, low);
}

/// a^y for finite a > 0 and finite y.
Value power_double(const Value& a, const Value& y) {
  const Pair log = precise_log(a);
  const Pair exponent = product(y, log.high);
  const Value low = fma(y, log.low, exponent.low);
  const Value is_large = abs(exponent.high) > 800;
  return exp_times(exponent.high, select(is_large, 0, low), a.number(1));
}

/// The same for values of Float32 in Float64; the result is not yet rounded to Float32.
Value power_wide(const Value& a, const Value& y) {
  const FloatFormat& format = kFloat64Format;
  const Parts parts = split(a, a.number(exponent_offset(format)));
  const Value s = (parts.significand - 1) / (parts.significand + 1);
  const Value log2 =
      fma(s,
          horner(s * s, {0x1.71547652b8251p+1, 0x1.ec709dc53c992p-1, 0x1.2776c29303b07p-1,
                         0x1.a61a2ee986bf5p-2, 0x1.479553cc7342ep-2, 0x1.21b0eaf5797fcp-2}),
          parts.exponent);
  const Value exponent = at_least(at_most(y * log2, 200), -200);
  const Value shifted = exponent + format.shifter;
  const Value r = exponent - (shifted - format.shifter);
  const Value q = horner(
      r, {0x1.62e42ff0e208ep-1, 0x1.ebfbe077ac2f2p-3, 0x1.c6b08ac04782dp-5, 0x1.3b29f37722a25p-7,
          0x1.5d8a85d05ab75p-10, 0x1.445ca5d42f43fp-13, 0x1.fde689ee2caa7p-17});
  return fma(r, q, 1) * power_of_two(shifted);
}

Value power_of_magnitude(const Value& a, const Value& y) {
  if (a.is_double()) return power_double(a, y);
  return power_wide(a.convert(DType::Float64), y.convert(DType::Float64)).convert(a.dtype());
}

Value pow_value(const Value& x, const Value& y) {
  const Value a = abs(x);
  const Value grows = (a > 1) ^ (y < 0);  // towards infinity as |y| does
  // Magnitudes at the ends of either operand.
  const Value is_end = (a == 0) | (a == kInfinity) | (abs(y) == kInfinity);
  const Value end = select(a == 1, 1, select(grows, x.number(kInfinity), 0));
  const Value magnitude = select(is_end, end, power_of_magnitude(a, y));

  const Value is_integer = floor(y) == y;
  const Value half = y * 0.5;
  const Value is_odd = is_integer & (floor(half) != half);
  const Value signed_result = select(is_odd, flip_sign_of(magnitude, x), magnitude);
  const Value is_undefined = (x < 0) & !is_integer & (a != kInfinity) & (abs(y) != kInfinity);
  const Value has_none = is_nan(x) | is_nan(y) | is_undefined;
  return select((x == 1) | (y == 0), 1, select(has_none, kNaN, signed_result));
}

/// PyTorch's: no gradient to the base where the exponent is 0, none to the exponent where the base
/// is 0 and the exponent not negative.
Cotangents pow_vjp(const VjpContext& c) {
  const Expr& x = c.arguments[0];
  const Expr& y = c.arguments[1];
  const Expr of_base = c.cotangent * (y * pow(x, y - 1));
  const Expr of_exponent = c.cotangent * (c.result * log(x));
  const Expr not_negative =
      is_complex(y.dtype()) ? logical_and(eq(imag(y), 0), ge(real(y), 0)) : ge(y, 0);
  return {select(eq(y, 0), 0, of_base),
          select(logical_and(eq(x, 0), not_negative), 0, of_exponent)};
}

const RegisterPrimitive kPow{{
    .name = "pow",
    .cls = PrimitiveClass::Elementwise,
    .arity = 2,
    .doc = "a to the power b, with the special cases of C's pow.",
    .infer = infer_same<"pow", Operands::Floats>,
    .emit = emit_binary<pow_value>,
    .vjp = pow_vjp,
    .on_complex = split_binary<complex_pow>,
}};

}  // namespace
}  // namespace flambeau::prim
