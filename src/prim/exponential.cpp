// Rows of exponentials and logarithms.
//
// e^x: x = n ln 2 + r with |r| <= ln(2)/2, by a two-part ln 2 and fused multiply-adds; a polynomial
// for (e^r - 1 - r)/r^2; the exponent set by integer additions. log x: x = 2^k (1 + f) with 1 + f
// in [sqrt(1/2), sqrt(2)); a polynomial (Float32) or the series of the inverse hyperbolic tangent
// (Float64, as in fdlibm). The coefficients are minimax for the relative error of the result.

#include "prim/exponential.h"

#include <limits>
#include <numbers>

#include "prim/complex.h"
#include "prim/row.h"

namespace flambeau::prim {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kLn2 = std::numbers::ln2;

double pick(const Value& x, double of_float32, double of_float64) {
  return x.is_double() ? of_float64 : of_float32;
}

/// (e^r - 1 - r) / r^2 for |r| <= 0.35.
Value expm1_quotient(const Value& r) {
  return r.is_double()
             ? horner(r, {0x1p-1, 0x1.5555555555559p-3, 0x1.5555555555558p-5, 0x1.111111110f71cp-7,
                          0x1.6c16c16c17632p-10, 0x1.a01a01af98fafp-13, 0x1.a01a0198e2720p-16,
                          0x1.71ddf93420979p-19, 0x1.27e505443e5d9p-22, 0x1.af5d23c6daf1cp-26,
                          0x1.1f250c356b28fp-29})
             : horner(r,
                      {0x1.fffffep-2, 0x1.5554aap-3, 0x1.55579ap-5, 0x1.122c3ap-7, 0x1.6ac09ap-10});
}

/// x = n ln 2 + r.
struct Reduced {
  Value shifted;  ///< n + shifter
  Value n;
  Value r;
};

Reduced reduce(const Value& x) {
  const double shifter = format_of(x).shifter;
  const Value shifted = fma(x, std::numbers::log2e, shifter);
  const Value n = shifted - shifter;
  return {shifted, n, fma(n, -ln2_low(x), fma(n, -ln2_high(x), x))};
}

/// Here e^x is 0, and still is if a number is multiplied by it.
double least_exponent(const Value& x) { return pick(x, -112, -754); }

/// x cut to where e^x overflows and vanishes.
Value clamp_exponent(const Value& x) {
  return at_least(at_most(x, pick(x, 89, 710)), least_exponent(x));
}

/// p * 2^n, or 0 if x <= least: products that round to 0 would take many times as long as others on
/// some CPUs, and masks make many.
Value scale_or_vanish(const Value& p, const Value& n, const Value& x, double least) {
  return scale(select(x <= least, 0, p), n);
}

Value exp2_value(const Value& x) {
  const double shifter = format_of(x).shifter;
  const double least = pick(x, -162, -1088);
  const Value clamped = at_least(at_most(x, pick(x, 129, 1025)), least);
  const Value n = (clamped + shifter) - shifter;
  return scale_or_vanish(expm1_kernel((clamped - n) * kLn2) + 1, n, x, least);
}

Value expm1_value(const Value& x) {
  const Value clamped = at_least(at_most(x, pick(x, 89, 710)), pick(x, -18, -38));
  const Value y = expm1_scaled(clamped, 1) * 2;
  // There e^x - 1 rounds to x; scaling would lose -0 and a bit of denormals.
  return select(abs(x) < pick(x, 0x1p-60, 0x1p-100), x, y);
}

/// `y` where log is finite, else log's value.
Value log_edges(const Value& x, double pole, const Value& y) {
  const Value outside = select(x == pole, x.number(-kInfinity), kNaN);
  return select(x <= pole, outside, select(x < kInfinity, y, x));
}

/// k * ln 2 + log(1 + f).
Value log_sum(const Value& k, const Value& f) {
  return fma(k, ln2_high(f), f + fma(k, ln2_low(f), log1p_rest(f)));
}

/// A logarithm to another base: 1 / ln(base) and the base's log of 2 in two parts each.
struct Base {
  double scale_high, scale_low, two_high, two_low;
};

Value log_to_base(const Value& x, const Base& base) {
  const auto [k, f] = log_parts(x);
  const Value small = fma(f, base.scale_low, log1p_rest(f) * base.scale_high);
  const Value rest = base.two_low == 0 ? small : fma(k, base.two_low, small);
  const Value y = fma(f, base.scale_high, rest);
  return log_edges(x, 0, fma(k, base.two_high, y));
}

Value log2_value(const Value& x) {
  static constexpr Base kFloat{0x1.715476p+0, 0x1.4ae0bep-26, 1, 0};
  static constexpr Base kDouble{0x1.71547652b82fep+0, 0x1.777d0ffda0d24p-56, 1, 0};
  return log_to_base(x, x.is_double() ? kDouble : kFloat);
}

Value log10_value(const Value& x) {
  static constexpr Base kFloat{0x1.bcb7b2p-2, -0x1.5b235ep-27, 0x1.344136p-2, -0x1.ec10c0p-27};
  static constexpr Base kDouble{0x1.bcb7b1526e50ep-2, 0x1.95355baaafad3p-57, 0x1.34413509f79ffp-2,
                                -0x1.9dc1da994fd21p-59};
  return log_to_base(x, x.is_double() ? kDouble : kFloat);
}

}  // namespace

double ln2_high(const Value& x) { return pick(x, 0x1.62e430p-1, 0x1.62e42fefa39efp-1); }
double ln2_low(const Value& x) { return pick(x, -0x1.05c610p-29, 0x1.abc9e3b39803fp-56); }

Value expm1_kernel(const Value& r) { return fma(r * r, expm1_quotient(r), r); }

LogParts log_parts(const Value& x) {
  const FloatFormat& format = format_of(x);
  const Value is_denormal = x < format.least_normal;
  const double offset = exponent_offset(format);
  const Value normal = select(is_denormal, x * 0x1p54, x);
  const Parts parts = split(normal, select(is_denormal, x.number(offset + 54), x.number(offset)));
  return {parts.exponent, parts.significand - 1};
}

Value exp_value(const Value& x) {
  const Reduced reduced = reduce(clamp_exponent(x));
  return scale_or_vanish(expm1_kernel(reduced.r) + 1, reduced.n, x, least_exponent(x));
}

Value exp_times(const Value& x, const Value& tail, const Value& factor) {
  const Reduced reduced = reduce(clamp_exponent(x));
  return scale_or_vanish(fma(factor, expm1_kernel(reduced.r + tail), factor), reduced.n, x,
                         least_exponent(x));
}

Value expm1_scaled(const Value& x, int divisor) {
  const auto [shifted, n, r] = reduce(x);
  const Value power = power_of_two(shifted, -divisor);
  // r and the rest of the kernel apart: near |r| = ln(2)/2 their sum's rounding would be doubled.
  const Value main = fma(power, r, power - (divisor == 1 ? 0.5 : 0.25));
  return fma(power, r * r * expm1_quotient(r), main);
}

Value half_expm1(const Value& x) { return expm1_scaled(at_most(x, pick(x, 89.7, 710.7)), 2) * 2; }

Value half_exp(const Value& x) {
  const auto [shifted, n, r] = reduce(at_most(x, pick(x, 89.7, 710.7)));
  return power_of_two(shifted, -2) * (expm1_kernel(r) + 1) * 2;
}

Value log1p_rest(const Value& f) {
  if (!f.is_double()) {
    const Value g = horner(f, {0x1.555546p-2, -0x1p-2, 0x1.99a578p-3, -0x1.555ffcp-3, 0x1.232a76p-3,
                               -0x1.fb8778p-4, 0x1.e7158ep-4, -0x1.e20a62p-4, 0x1.18b738p-4});
    return f * f * fma(f, g, -0.5);
  }
  const Value s = f / (f + 2);
  const Value z = s * s;
  const Value half_square = f * f * 0.5;
  const Value series = horner(
      z, {0x1.5555555555593p-1, 0x1.999999997f98bp-2, 0x1.2492494234214p-2, 0x1.c71c51cd7da79p-3,
          0x1.74664c2f91282p-3, 0x1.39a04c96eaf65p-3, 0x1.2f14a9d4584b3p-3});
  return fma(s, fma(z, series, half_square), -half_square);
}

Value log_value(const Value& x) {
  const auto [k, f] = log_parts(x);
  return log_edges(x, 0, log_sum(k, f));
}

Value log1p_value(const Value& x) {
  const FloatFormat& format = format_of(x);
  const Parts parts = split(x + 1, x.number(exponent_offset(format)));
  // f = (1 + x) 2^-k - 1 rounded once; for large x the 1 no longer counts.
  const Value& biased = parts.biased_exponent;
  const Value inverse_power =
      float_of(format, (integer(biased, 2 * static_cast<uint64_t>(format.bias)) - biased)
                           << integer(biased, static_cast<uint64_t>(format.mantissa)));
  const Value f =
      select(x > 0x1p60, parts.significand - 1, fma(x, inverse_power, inverse_power - 1));
  const Value y = log_edges(x, -1, log_sum(parts.exponent, f));
  return select(abs(x) < pick(x, 0x1p-60, 0x1p-100), x, y);
}

namespace {

const RegisterPrimitive kExp{float_row<"exp", exp_value>(
    "e^a.", [](const VjpContext& c) { return Cotangents{c.cotangent * c.result}; },
    split_unary<complex_exp>)};

const RegisterPrimitive kExp2{float_row<"exp2", exp2_value>(
    "2^a.", [](const VjpContext& c) { return Cotangents{c.cotangent * c.result * kLn2}; },
    split_unary<complex_exp2>)};

const RegisterPrimitive kExpm1{float_row<"expm1", expm1_value>(
    "e^a - 1, accurate near 0.",
    [](const VjpContext& c) { return Cotangents{c.cotangent * (c.result + 1)}; },
    split_unary<complex_expm1>)};

const RegisterPrimitive kLog{float_row<"log", log_value>(
    "The natural logarithm.",
    [](const VjpContext& c) { return Cotangents{c.cotangent / c.arguments[0]}; },
    split_unary<complex_log>)};

const RegisterPrimitive kLog2{float_row<"log2", log2_value>(
    "The logarithm to base 2.",
    [](const VjpContext& c) { return Cotangents{c.cotangent / (c.arguments[0] * kLn2)}; },
    split_unary<complex_log2>)};

const RegisterPrimitive kLog10{float_row<"log10", log10_value>(
    "The logarithm to base 10.",
    [](const VjpContext& c) {
      return Cotangents{c.cotangent / (c.arguments[0] * std::numbers::ln10)};
    },
    split_unary<complex_log10>)};

const RegisterPrimitive kLog1p{float_row<"log1p", log1p_value>(
    "log(1 + a), accurate near 0.",
    [](const VjpContext& c) { return Cotangents{c.cotangent / (c.arguments[0] + 1)}; },
    split_unary<complex_log1p>)};

}  // namespace
}  // namespace flambeau::prim
