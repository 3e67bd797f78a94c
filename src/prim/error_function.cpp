// Rows of the error function.

#include <numbers>

#include "prim/exponential.h"
#include "prim/row.h"

namespace flambeau::prim {
namespace {

/// Float32: x + x P(x^2) up to 0.875; 1 - 2^-Q(|x|) above, cut where that rounds to 1.
Value erf_float(const Value& x) {
  const Value a = at_most(abs(x), 4);
  const Value z = x * x;
  const Value p = horner(z, {0x1.06eba6p-3, -0x1.8126ecp-2, 0x1.ce1b86p-4, -0x1.b69b8cp-6,
                             0x1.479bd6p-8, -0x1.3ba30cp-11});
  const Value q = horner(a, {0x1.943600p-13, 0x1.a0949ep+0, 0x1.d65516p-1, 0x1.343fe6p-3,
                             -0x1.08f936p-5, 0x1.245e74p-8, -0x1.300ec8p-12});
  const double shifter = kFloat32Format.shifter;
  const Value shifted = shifter - q;
  const Value r = (shifter - shifted) - q;
  const Value power = fma(
      r, horner(r, {0x1.62e42ap-1, 0x1.ebf9a0p-3, 0x1.c6b586p-5, 0x1.3cf5a2p-7, 0x1.5ccac6p-10}),
      1);
  const Value outer = fma(-power, power_of_two(shifted), 1);
  return select(a < 0.875, fma(x, p, x), with_sign_of(outer, x));
}

/// e^(a^2) erfc(a) (1 + 2a) for a >= 0: a polynomial in (a - 4) / (a + 4), over 1 + 2a (the
/// transformation of Shepherd and Laframboise, 1981).
Value erfc_of_magnitude(const Value& a) {
  const Value t = (a - 4) / (a + 4);
  const Value g = horner(t, {0x1.dd2c8b74febf6p-3,   -0x1.1df1ad154a2a0p-3,  0x1.f7f5df66fded7p-7,
                             0x1.16ecefcfa637fp-4,   -0x1.9ddb23c3ec00ep-4,  0x1.7fee004df0026p-4,
                             -0x1.0fb06dfe10e8fp-4,  0x1.3079edfad236ep-5,   -0x1.0962388c96001p-6,
                             0x1.49c67150f93f9p-8,   -0x1.8d4a96a013194p-11, -0x1.a1de53188e5e9p-13,
                             0x1.3be049b7058dep-13,  -0x1.996fbcaa1f441p-16, -0x1.78958bba12664p-17,
                             0x1.7fe8cab9c8133p-18,  0x1.4156d80ba509fp-22,  -0x1.c2a76414abb30p-21,
                             0x1.1168c580a3a50p-24,  0x1.fedf57b1e36cap-24,  -0x1.f0b45a1fd676fp-28,
                             -0x1.01410168ecfa8p-26, -0x1.3ff0c15ac86d0p-29});
  // (1 + g) / d, with what rounding took from d and from the quotient put back.
  const Value d = fma(a, 2, 1);
  const Value lost = fma(a, 2, 1 - d);
  const Value inverse = 1 / d;
  const Value quotient = (g + 1) * inverse;
  const Value remainder = fma(-quotient, lost, fma(-quotient, d, 1) + g);
  const Value scaled = fma(remainder, inverse, quotient);
  const Value square = a * a;
  const Value tail = fma(a, a, -square);
  return exp_times(-square, -tail, scaled);
}

/// Beyond this erfc is 0 in Float64.
constexpr double kVanishes = 27.5;

/// Float64: x + x P(x^2) up to 1.
Value erf_near_zero(const Value& x) {
  const Value p =
      horner(x * x, {0x1.06eba8214db68p-3, -0x1.812746b03799dp-2, 0x1.ce2f21a03f8c4p-4,
                     -0x1.b82ce311a9d95p-6, 0x1.565bcceeeb63ep-8, -0x1.c02daeba257f5p-11,
                     0x1.f9a29704351bep-14, -0x1.f4c8337390fa7p-17, 0x1.b96b78e6a12b6p-20,
                     -0x1.5b8ccded1708cp-23, 0x1.d3dc3762ddb51p-27, -0x1.a22a4fef6eeccp-31});
  return fma(x, p, x);
}

Value erf_double(const Value& x) {
  const Value a = at_most(abs(x), 6);
  const Value outer = with_sign_of(1 - erfc_of_magnitude(a), x);
  return select(a < 1, erf_near_zero(x), outer);
}

Value erf_value(const Value& x) { return x.is_double() ? erf_double(x) : erf_float(x); }

Value erfc_double(const Value& x) {
  const Value y = erfc_of_magnitude(at_most(abs(x), kVanishes));
  return select(abs(x) < 0.5, 1 - erf_near_zero(x), select(x < 0, 2 - y, y));
}

Value erfc_value(const Value& x) {
  return x.is_double() ? erfc_double(x) : through_double<erfc_double>(x);
}

constexpr double kTwoOverSqrtPi = 2 * std::numbers::inv_sqrtpi;

/// 2 / sqrt(pi) e^-(x^2).
Expr erf_slope(const Expr& x) { return exp(-(x * x)) * kTwoOverSqrtPi; }

const RegisterPrimitive kErf{float_row<"erf", erf_value>(
    "The error function.",
    [](const VjpContext& c) { return Cotangents{c.cotangent * erf_slope(c.arguments[0])}; })};

const RegisterPrimitive kErfc{float_row<"erfc", erfc_value>(
    "1 - erf(a), accurate for large a.",
    [](const VjpContext& c) { return Cotangents{-c.cotangent * erf_slope(c.arguments[0])}; })};

}  // namespace
}  // namespace flambeau::prim
