// Rows of the error function.

#include <limits>
#include <numbers>

#include "prim/exponential.h"
#include "prim/row.h"

namespace flambeau::prim {
namespace {

/// 2^-q as -minus * 2^n, in Float32: `minus` is in [-sqrt(2), -sqrt(1/2)], `shifted` n + shifter.
struct PowerParts {
  Value minus, shifted;
  Value scale() const { return power_of_two(shifted); }
};
PowerParts power_of_minus(const Value& q) {
  const double shifter = kFloat32Format.shifter;
  const Value shifted = shifter - q;
  const Value r = q - (shifter - shifted);
  const Value minus = fma(
      r, horner(r, {0x1.62e42ap-1, -0x1.ebf9a0p-3, 0x1.c6b586p-5, -0x1.3cf5a2p-7, 0x1.5ccac6p-10}),
      -1);
  return {minus, shifted};
}

/// Float32: x + x P(x^2) up to 0.875; 1 - 2^-Q(|x|) above, cut where that rounds to 1.
Value erf_float(const Value& x) {
  const Value a = at_most(abs(x), 4);
  const Value z = x * x;
  const Value p = horner(z, {0x1.06eba6p-3, -0x1.8126ecp-2, 0x1.ce1b86p-4, -0x1.b69b8cp-6,
                             0x1.479bd6p-8, -0x1.3ba30cp-11});
  const Value q = horner(a, {0x1.943600p-13, 0x1.a0949ep+0, 0x1.d65516p-1, 0x1.343fe6p-3,
                             -0x1.08f936p-5, 0x1.245e74p-8, -0x1.300ec8p-12});
  const PowerParts power = power_of_minus(q);
  const Value outer = fma(power.minus, power.scale(), 1);
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

/// |x|, cut where P(-|x|), P the distribution function of the standard normal, is below 1e-23, or
/// in Float64 vanishes.
Value normal_magnitude(const Value& x) {
  return at_most(abs(x), x.is_double() ? kVanishes * std::numbers::sqrt2 : 10);
}
/// P(-a) of a normal_magnitude in Float32, as 2^-Q(a). To what rounding costs that adds an error of
/// 2^-24 sqrt(P): where P is small it is exact enough not to be seen beside 1.
PowerParts normal_tail(const Value& a) {
  return power_of_minus(horner(
      a, {1, 0x1.26aedap+0, 0x1.d63a60p-2, 0x1.adfa74p-5, -0x1.cc213ep-8, 0x1.127e66p-14,
          0x1.014ceap-12, -0x1.12c630p-14, 0x1.29d37cp-17, -0x1.574346p-21, 0x1.48b354p-26}));
}
Value normal_tail_double(const Value& a) {
  return erfc_of_magnitude(a * (1 / std::numbers::sqrt2)) * 0.5;
}

Value ndtr_value(const Value& x) {
  const Value a = normal_magnitude(x);
  if (x.is_double()) {
    const Value tail = normal_tail_double(a);
    return select(x < 0, tail, 1 - tail);
  }
  const PowerParts tail = normal_tail(a);
  const Value scale = tail.scale();
  return select(x < 0, -tail.minus * scale, fma(tail.minus, scale, 1));
}

/// x P(x) = max(x, 0) - |x| P(-|x|).
Value gelu_value(const Value& x) {
  const Value a = normal_magnitude(x);
  const Value positive = at_least(x, 0);
  if (x.is_double()) return fma(-a, normal_tail_double(a), positive);
  const PowerParts tail = normal_tail(a);
  // Where x is no number, neither is a.
  return fma(a, times_power_of_two(tail.minus, tail.shifted), positive);
}

constexpr double kTwoOverSqrtPi = 2 * std::numbers::inv_sqrtpi;

/// Odd. First a polynomial in w = -log(1 - a^2), a = |x|, or in sqrt(w) (Giles, "Approximating the
/// erfinv function", 2010), to about 22 bits; then one step of Halley's method, on erf or erfc.
Value erfinv_double(const Value& x) {
  const Value a = abs(x);
  const Value w = -log_value((1 - a) * (1 + a));
  const Value central =
      horner(w - 2.5, {0x1.805c5e2d53fb9p+0, 0x1.f91ec5faaa710p-3, -0x1.11ca4db26d3c6p-8,
                       -0x1.48a6ece90d80bp-10, 0x1.ca70f0d9710b8p-13, -0x1.270d6d7da49f8p-18,
                       -0x1.d99e00334b2cfp-19, 0x1.710f3e4994960p-22, 0x1.ea03cd69598b9p-26});
  const Value outer =
      horner(sqrt(w) - 4, {0x1.eb7e0d9b45f41p+1, 0x1.026e2cfacf420p+0, 0x1.4772423a6e189p-10,
                           -0x1.c967402e9a001p-11, 0x1.752c158477bbep-12, -0x1.d7b03838e0d8fp-14,
                           0x1.c5f22f4a50cbdp-17, -0x1.17fcf81547adbp-15, 0x1.5eef53024a5bcp-15,
                           -0x1.8187cbd65d61ap-17, -0x1.5e9fde37749dbp-19, 0x1.2b34b65dbc601p-20});
  const Value first = a * select(w < 5, central, outer);
  const Value excess =
      select(a < 0.75, erf_near_zero(first) - a, (1 - a) - erfc_of_magnitude(first));
  const Value error = excess / (exp_value(-(first * first)) * kTwoOverSqrtPi);
  const Value y = first - error / fma(first, error, 1);
  const double infinity = std::numeric_limits<double>::infinity();
  const Value inside = select(a > 1, std::numeric_limits<double>::quiet_NaN(), y);
  return with_sign_of(select(a == 1, infinity, inside), x);
}

Value erfinv_value(const Value& x) {
  return x.is_double() ? erfinv_double(x) : through_double<erfinv_double>(x);
}

/// 2 / sqrt(pi) e^-(x^2).
Expr erf_slope(const Expr& x) { return exp(-(x * x)) * kTwoOverSqrtPi; }

const RegisterPrimitive kErf{float_row<"erf", erf_value>(
    "The error function.",
    [](const VjpContext& c) { return Cotangents{c.cotangent * erf_slope(c.arguments[0])}; })};

const RegisterPrimitive kErfc{float_row<"erfc", erfc_value>(
    "1 - erf(a), accurate for large a.",
    [](const VjpContext& c) { return Cotangents{-c.cotangent * erf_slope(c.arguments[0])}; })};

/// The density of the standard normal.
Expr normal_density(const Expr& x) {
  return exp(x * x * -0.5) * (0.5 * std::numbers::sqrt2 * std::numbers::inv_sqrtpi);
}

const RegisterPrimitive kNdtr{float_row<"ndtr", ndtr_value>(
    "The distribution function of the standard normal; in Float32 with an error of 2^-24 of its "
    "root, down to 1e-23.",
    [](const VjpContext& c) { return Cotangents{c.cotangent * normal_density(c.arguments[0])}; })};

const RegisterPrimitive kGelu{float_row<"gelu", gelu_value>(
    "a times ndtr(a) (Hendrycks and Gimpel, \"Gaussian error linear units\", 2016).",
    [](const VjpContext& c) {
      const Expr& x = c.arguments[0];
      return Cotangents{c.cotangent * (ndtr(x) + x * normal_density(x))};
    })};

const RegisterPrimitive kErfinv{float_row<"erfinv", erfinv_value>(
    "The inverse of erf; infinite at +-1, NaN beyond.", [](const VjpContext& c) {
      const Expr square = c.result * c.result;
      return Cotangents{c.cotangent * (exp(square) * (1 / kTwoOverSqrtPi))};
    })};

}  // namespace
}  // namespace flambeau::prim
