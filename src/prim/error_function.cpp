// Rows of the error function.

#include <numbers>

#include "prim/exponential.h"
#include "prim/row.h"

namespace flambeau::prim {
namespace {

/// Float32: x P(x^2) / Q(x^2), minimax up to 3.925, where it rounds to 1.
Value erf_float(const Value& x) {
  const Value cut = at_least(at_most(x, 3.925), -3.925);
  const Value z = cut * cut;
  const Value p = horner(z, {0x1.20dd76p+0, 0x1.8a2744p-3, 0x1.c7540ap-5, 0x1.12e194p-8,
                             0x1.a96ee6p-12, 0x1.ba1336p-18});
  const Value q = horner(z, {0x1p+0, 0x1.01fe84p-1, 0x1.e024aap-4, 0x1.09a1bcp-6, 0x1.70f680p-10,
                             0x1.2a3c00p-14, 0x1.0b4dc6p-22});
  return cut * p / q;
}

/// e^(a^2) erfc(a) (1 + 2a) for a >= 0: a polynomial in (a - 4) / (a + 4), over 1 + 2a (the
/// transformation of Shepherd and Laframboise, 1981).
Value erfc_of_magnitude(const Value& a) {
  const Value t = (a - 4) / (a + 4);
  const Value g = horner(
      t, {0x1.dd2c8b74febf6p-3,  -0x1.1df1ad154a2a0p-3,  0x1.f7f5df66fded7p-7,
          0x1.16ecefcfa637fp-4,  -0x1.9ddb23c3ec00ep-4,  0x1.7fee004df0026p-4,
          -0x1.0fb06dfe10e8fp-4, 0x1.3079edfad236ep-5,   -0x1.0962388c96001p-6,
          0x1.49c67150f93f9p-8,  -0x1.8d4a96a013194p-11, -0x1.a1de53188e5e9p-13,
          0x1.3be049b7058dep-13, -0x1.996fbcaa1f441p-16, -0x1.78958bba12664p-17,
          0x1.7fe8cab9c8133p-18, 0x1.4156d80ba509fp-22,  -0x1.c2a76414abb30p-21,
          0x1.1168c580a3a50p-24, 0x1.fedf57b1e36cap-24,  -0x1.f0b45a1fd676fp-28,
          -0x1.01410168ecfa8p-26, -0x1.3ff0c15ac86d0p-29});
  // (1 + g) / d with the quotient's remainder put back, times e^-(a^2) with the square's tail.
  const Value d = fma(a, 2, 1);
  const Value quotient = (g + 1) / d;
  const Value remainder = fma(-quotient, d, 1) + g;
  const Value scaled = fma(remainder, 1 / d, quotient);
  const Value square = a * a;
  const Value tail = fma(a, a, -square);
  return exp_value(-square, -tail) * scaled;
}

/// Beyond this erfc is 0 in Float64.
constexpr double kVanishes = 27.5;

Value erf_double(const Value& x) {
  const Value a = at_most(abs(x), 6);
  const Value z = a * a;
  const Value p =
      horner(z, {0x1.06eba8214db68p-3, -0x1.812746b03799dp-2, 0x1.ce2f21a03f8c4p-4,
                 -0x1.b82ce311a9d95p-6, 0x1.565bcceeeb63ep-8, -0x1.c02daeba257f5p-11,
                 0x1.f9a29704351bep-14, -0x1.f4c8337390fa7p-17, 0x1.b96b78e6a12b6p-20,
                 -0x1.5b8ccded1708cp-23, 0x1.d3dc3762ddb51p-27, -0x1.a22a4fef6eeccp-31});
  const Value y = select(a < 1, fma(a, p, a), 1 - erfc_of_magnitude(a));
  return with_sign_of(y, x);
}

Value erf_value(const Value& x) { return x.is_double() ? erf_double(x) : erf_float(x); }

Value erfc_double(const Value& x) {
  const Value y = erfc_of_magnitude(at_most(abs(x), kVanishes));
  return select(x < 0, 2 - y, y);
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
