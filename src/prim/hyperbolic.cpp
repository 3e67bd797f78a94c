// Rows of hyperbolic functions and their inverses.

#include <limits>
#include <numbers>

#include "prim/exponential.h"
#include "prim/row.h"

namespace flambeau::prim {
namespace {

/// Odd, by h = (e^(2|x|) - 1) / 2: tanh |x| = h / (1 + h).
Value tanh_value(const Value& x) {
  // Beyond the bound the quotient rounds to 1.
  const Value magnitude = at_most(abs(x), x.is_double() ? 20 : 10);
  const Value h = expm1_scaled(magnitude + magnitude, 1);
  const Value d = h + 1;
  const Value quotient = h / d;
  // What rounding took from d, taken out of the quotient while it counts: 1/d is 1 - quotient.
  const Value lost = select(h < 1, (1 - d) + h, 0);
  return with_sign_of(fma(-quotient * lost, 1 - quotient, quotient), x);
}

/// Odd, by h = (e^|x| - 1) / 2: sinh |x| = h + h / (2h + 1).
Value sinh_value(const Value& x) {
  const Value h = half_expm1(abs(x));
  const Value d = fma(h, 2, 1);
  const Value quotient = h / d;
  // As in tanh; 1/d is 1 - 2 quotient.
  const Value lost = fma(h, 2, 1 - d);
  const Value exact = fma(-quotient * lost, fma(quotient, -2, 1), quotient);
  const Value y = select(h < 0x1p100, h + exact, h);
  return select(abs(x) < (x.is_double() ? 0x1p-100 : 0x1p-60), x, with_sign_of(y, x));
}

Value cosh_value(const Value& x) {
  const Value h = half_exp(abs(x));
  return h + 0.25 / h;
}

/// Where asinh and acosh are log(2x) to the last bit, and x * x could overflow.
double large(const Value& x) { return x.is_double() ? 0x1p60 : 0x1p30; }

/// Odd, by log1p(a + a^2 / (1 + sqrt(1 + a^2))) of a = |x|.
Value asinh_value(const Value& x) {
  const Value a = abs(x);
  const Value is_large = a > large(x);
  const Value square = a * a;
  const Value argument = a + square / (sqrt(square + 1) + 1);
  const Value y = log1p_value(select(is_large, a, argument));
  return with_sign_of(y + select(is_large, x.number(std::numbers::ln2), 0), x);
}

/// log1p(t + sqrt(2t + t^2)) of t = x - 1.
Value acosh_value(const Value& x) {
  const Value t = x - 1;
  const Value is_large = x > large(x);
  const Value argument = t + sqrt(fma(t, t, t + t));
  const Value y = log1p_value(select(is_large, t, argument));
  const Value sum = y + select(is_large, x.number(std::numbers::ln2), 0);
  return select(x < 1, std::numeric_limits<double>::quiet_NaN(), sum);
}

/// Odd, by log1p(2a / (1 - a)) / 2 of a = |x|.
Value atanh_value(const Value& x) {
  const Value a = abs(x);
  const Value y = log1p_value((a + a) / (1 - a)) * 0.5;
  return select(a < (x.is_double() ? 0x1p-100 : 0x1p-60), x, with_sign_of(y, x));
}

const RegisterPrimitive kTanh{float_row<"tanh", tanh_value>(
    "The hyperbolic tangent.",
    [](const VjpContext& c) { return Cotangents{c.cotangent * (1 - c.result * c.result)}; })};

const RegisterPrimitive kSinh{float_row<"sinh", sinh_value>(
    "The hyperbolic sine.",
    [](const VjpContext& c) { return Cotangents{c.cotangent * cosh(c.arguments[0])}; })};

const RegisterPrimitive kCosh{float_row<"cosh", cosh_value>(
    "The hyperbolic cosine.",
    [](const VjpContext& c) { return Cotangents{c.cotangent * sinh(c.arguments[0])}; })};

const RegisterPrimitive kAsinh{
    float_row<"asinh", asinh_value>("The inverse hyperbolic sine.", [](const VjpContext& c) {
      const Expr& x = c.arguments[0];
      return Cotangents{c.cotangent / sqrt(x * x + 1)};
    })};

const RegisterPrimitive kAcosh{float_row<"acosh", acosh_value>(
    "The inverse hyperbolic cosine; NaN below 1.", [](const VjpContext& c) {
      const Expr& x = c.arguments[0];
      return Cotangents{c.cotangent / sqrt(x * x - 1)};
    })};

const RegisterPrimitive kAtanh{float_row<"atanh", atanh_value>(
    "The inverse hyperbolic tangent; NaN beyond +-1.", [](const VjpContext& c) {
      const Expr& x = c.arguments[0];
      return Cotangents{c.cotangent / (1 - x * x)};
    })};

}  // namespace
}  // namespace flambeau::prim
