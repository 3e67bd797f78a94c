// Rows of hyperbolic functions and their inverses.

#include <limits>
#include <numbers>

#include "prim/complex.h"
#include "prim/exponential.h"
#include "prim/row.h"

namespace flambeau::prim {
namespace {

/// Odd: x + x^3 P(x^2) up to 0.5625; above by h = (e^(2|x|) - 1) / 2: tanh |x| = h / (h + 1).
Value tanh_value(const Value& x) {
  // Beyond the bound the quotient rounds to 1.
  const Value magnitude = at_most(abs(x), x.is_double() ? 20 : 10);
  const Value z = magnitude * magnitude;
  const Value p =
      x.is_double()
          ? horner(z, {-0x1.555555555554bp-2, 0x1.1111111110247p-3, -0x1.ba1ba1b92fba4p-5,
                       0x1.664f4847fcce0p-6, -0x1.226e2cd70f476p-7, 0x1.d6d240e39a19cp-9,
                       -0x1.7d8b41ac1211cp-10, 0x1.345e07f522fdcp-11, -0x1.e7f0573e934a6p-13,
                       0x1.59291d65992e9p-14, -0x1.3c77d2b335da5p-16})
          : horner(z,
                   {-0x1.555548p-2, 0x1.110c5ep-3, -0x1.b905c4p-5, 0x1.5811f6p-6, -0x1.9454eep-8});
  const Value h = expm1_scaled(magnitude + magnitude, 1);
  const Value inner = fma(magnitude * z, p, magnitude);
  return with_sign_of(select(magnitude < 0.5625, inner, h / (h + 1)), x);
}

/// Odd: x + x^3 P(x^2) up to 1; above by h = (e^|x| - 1) / 2: sinh |x| = h + h / (2h + 1).
Value sinh_value(const Value& x) {
  const Value z = x * x;
  const Value p =
      x.is_double() ? horner(z, {0x1.5555555555556p-3, 0x1.111111111101ep-7, 0x1.a01a01a037262p-13,
                                 0x1.71de3a3b07844p-19, 0x1.ae646ff412ac8p-26,
                                 0x1.6116f5241b2d8p-33, 0x1.b5c864f058ce3p-41})
                    : horner(z, {0x1.555556p-3, 0x1.1110e0p-7, 0x1.a022bcp-13, 0x1.756c20p-19});
  const Value h = half_expm1(abs(x));
  const Value outer = select(h < 0x1p100, h + h / fma(h, 2, 1), h);
  return select(abs(x) < 1, fma(x * z, p, x), with_sign_of(outer, x));
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
    [](const VjpContext& c) { return Cotangents{c.cotangent * (1 - c.result * c.result)}; },
    split_unary<complex_tanh>)};

const RegisterPrimitive kSinh{float_row<"sinh", sinh_value>(
    "The hyperbolic sine.",
    [](const VjpContext& c) { return Cotangents{c.cotangent * cosh(c.arguments[0])}; },
    split_unary<complex_sinh>)};

const RegisterPrimitive kCosh{float_row<"cosh", cosh_value>(
    "The hyperbolic cosine.",
    [](const VjpContext& c) { return Cotangents{c.cotangent * sinh(c.arguments[0])}; },
    split_unary<complex_cosh>)};

const RegisterPrimitive kAsinh{float_row<"asinh", asinh_value>(
    "The inverse hyperbolic sine.",
    [](const VjpContext& c) {
      const Expr& x = c.arguments[0];
      return Cotangents{c.cotangent / sqrt(x * x + 1)};
    },
    split_unary<complex_asinh>)};

const RegisterPrimitive kAcosh{float_row<"acosh", acosh_value>(
    "The inverse hyperbolic cosine; NaN below 1.",
    [](const VjpContext& c) {
      const Expr& x = c.arguments[0];
      // The root of the product would have its cuts elsewhere.
      const Expr slope = is_complex(x.dtype()) ? sqrt(x - 1) * sqrt(x + 1) : sqrt(x * x - 1);
      return Cotangents{c.cotangent / slope};
    },
    split_unary<complex_acosh>)};

const RegisterPrimitive kAtanh{float_row<"atanh", atanh_value>(
    "The inverse hyperbolic tangent; NaN beyond +-1.",
    [](const VjpContext& c) {
      const Expr& x = c.arguments[0];
      return Cotangents{c.cotangent / (1 - x * x)};
    },
    split_unary<complex_atanh>)};

}  // namespace
}  // namespace flambeau::prim
