// Rows of the gamma function's logarithm and its derivatives. All compute in Float64.

#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "prim/exponential.h"
#include "prim/row.h"
#include "prim/trigonometric.h"

namespace flambeau::prim {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kPi = std::numbers::pi;

/// sin(pi a) and cos(pi a) up to one common sign, exact zeros at integers and halves.
struct SineCosine {
  Value sine, cosine;
};

SineCosine of_half_turns(const Value& a) {
  const Value r = a - round_even(a);
  const Value magnitude = abs(r);
  const Value is_steep = magnitude > 0.25;
  const Value angle = select(is_steep, 0.5 - magnitude, magnitude);
  const Value t = angle * kPi;
  const Value tail = fma(angle, kPi, -t);
  const Value sine = sin_kernel(t, tail);
  const Value cosine = cos_kernel(t, tail);
  return {flip_sign_of(select(is_steep, cosine, sine), r), select(is_steep, sine, cosine)};
}

/// log Gamma(a) for a >= 0: the recurrence to [1.5, 2.5] and a polynomial there, Stirling's series
/// from 7.5 on.
Value lgamma_of_magnitude(const Value& a) {
  // Down by steps of one: Gamma(a) = Gamma(y) * factor.
  Value y = a;
  Value factor = a.number(1);
  for (int step = 0; step < 5; ++step) {
    const Value is_high = y > 2.5;
    const Value lower = y - 1;
    factor = select(is_high, factor * lower, factor);
    y = select(is_high, lower, y);
  }
  // Up by one or two: Gamma(a) = Gamma(y) / factor. d = y - 2 without rounding y.
  const Value is_low = a < 1.5;
  const Value is_tiny = a < 0.5;
  factor = select(is_low, select(is_tiny, fma(a, a, a), a), factor);
  const Value d = select(is_low, select(is_tiny, a, a - 1), y - 2);
  const Value near_two = horner(
      d,
      {0x1.b0ee6072093cep-2, 0x1.4a34cc4a60fa8p-2, -0x1.13e001a557520p-4, 0x1.51322ac7d6f82p-6,
       -0x1.e404fc21eebc4p-8, 0x1.7add6eb013dccp-9, -0x1.38ac5bef661a7p-10, 0x1.0b36ae8d5931cp-11,
       -0x1.d3fd72e6564acp-13, 0x1.a1282025f84e5p-14, -0x1.78d7882a65a6bp-15, 0x1.57ff34f612496p-16,
       -0x1.3d720d4368f04p-17, 0x1.26bf70dac550bp-18, -0x1.06d00fdea2204p-19, 0x1.e538fe4f45f3cp-21,
       -0x1.497d25954aca9p-21, 0x1.3b1f9b2e221d8p-22, 0x1.d350d39421aa3p-26});
  const Value is_large = a >= 7.5;
  const Value log = log_value(select(is_large, a, factor));
  const Value moderate = fma(d, near_two, select(is_low, -log, log));
  const Value inverse = 1 / a;
  const Value series =
      inverse *
      horner(inverse * inverse, {0x1.5555555555554p-4, -0x1.6c16c16c027cap-9, 0x1.a01a00ed9827ep-11,
                                 -0x1.3812d353cd77ap-11, 0x1.b8fa4e72f02c0p-11,
                                 -0x1.eaac03fb94380p-10, 0x1.348df0c019a47p-8});
  constexpr double kHalfLogTwoPiLessHalf = 0x1.acfe390c97d69p-2;
  const Value stirling = fma(a - 0.5, log - 1, series + kHalfLogTwoPiLessHalf);
  return select(is_large, stirling, moderate);
}

/// Below zero by reflection: log |pi / (a sin(pi a))| - log Gamma(a), a = -x.
Value lgamma_double(const Value& x) {
  const Value a = abs(x);
  const Value positive = lgamma_of_magnitude(a);
  const Value sine = abs(of_half_turns(a).sine);
  const Value finite = -(log_value(a * sine * std::numbers::inv_pi) + positive);
  const Value reflected = select(sine == 0, kInfinity, finite);
  const Value is_reflected = (x < 0) & (a > 0x1p-60);
  return select(a == kInfinity, a, select(is_reflected, reflected, positive));
}

Value lgamma_value(const Value& x) {
  return x.is_double() ? lgamma_double(x) : through_double<lgamma_double>(x);
}

/// The sum of 1/(a + i) for i below 10 (from 1 on for negative x), then the asymptotic series;
/// digamma(-a) = digamma(a + 1) + pi cot(pi a).
Value digamma_double(const Value& x) {
  const Value a = abs(x);
  const Value is_negative = x < 0;
  Value numerator = select(is_negative, x.number(0), 1);
  Value denominator = select(is_negative, 1, a);
  for (int i = 1; i < 10; ++i) {
    const Value term = a + i;
    numerator = fma(numerator, term, denominator);
    denominator = denominator * term;
  }
  const Value is_shifted = a < 10;
  const Value unshifted = select(is_negative, -1 / a, 0);
  const Value recurrence = select(is_shifted, numerator / denominator, unshifted);
  const Value b = select(is_shifted, a + 10, a);
  const Value inverse = 1 / b;
  const Value w = inverse * inverse;
  const Value series = w * horner(w, {1.0 / 12, -1.0 / 120, 1.0 / 252, -1.0 / 240, 1.0 / 132,
                                      -691.0 / 32760, 1.0 / 12, -3617.0 / 8160});
  const Value positive = log_value(b) - fma(inverse, 0.5, series) - recurrence;
  const auto [sine, cosine] = of_half_turns(a);
  const Value reflected = select(sine == 0, kNaN, fma(cosine / sine, kPi, positive));
  const Value pole = -with_sign_of(x.number(kInfinity), x);
  return select(x == 0, pole, select(is_negative, reflected, positive));
}

Value digamma_value(const Value& x) {
  return x.is_double() ? digamma_double(x) : through_double<digamma_double>(x);
}

/// x^exponent of an integer exponent >= 1.
Value integer_power(const Value& x, int exponent) {
  Value result = x;
  for (int i = 1; i < exponent; ++i) result = result * x;
  return result;
}

/// (-1)^(n+1) polygamma(n, a) for a > 0: n! times the sum of (a + i)^-(n+1), the tail by the
/// Euler-Maclaurin series.
Value hurwitz_sum(int n, const Value& a) {
  const int shift = 12 + n;
  Value sum = a.number(0);
  for (int i = shift - 1; i >= 0; --i) sum = sum + integer_power(1 / (a + i), n + 1);
  const Value inverse = 1 / (a + shift);
  const Value w = inverse * inverse;
  static constexpr double kBernoulli[] = {1.0 / 6,  -1.0 / 30,     1.0 / 42, -1.0 / 30,
                                          5.0 / 66, -691.0 / 2730, 7.0 / 6,  -3617.0 / 510};
  std::vector<double> coefficients;
  for (int k = 1; k <= 8; ++k)
    coefficients.push_back(
        kBernoulli[k - 1] *
        std::exp(std::lgamma(2 * k + n) - std::lgamma(n + 1) - std::lgamma(2 * k + 1)));
  const Value tail = fma(inverse, 0.5, 1.0 / n) + w * horner(w, coefficients);
  return (sum + integer_power(inverse, n) * tail) * std::tgamma(n + 1);
}

/// d^n/dt^n cot t as a polynomial in c = cot t: p_0 = c, p_(k+1) = -(1 + c^2) p_k'.
std::vector<double> cotangent_derivative(int n) {
  std::vector<double> p{0, 1};
  for (int k = 0; k < n; ++k) {
    std::vector<double> next(p.size() + 1);
    for (size_t i = 1; i < p.size(); ++i) {
      const double slope = p[i] * static_cast<double>(i);
      next[i - 1] -= slope;
      next[i + 1] -= slope;
    }
    p = next;
  }
  return p;
}

/// Below 1/2 by reflection: polygamma(n, x) = (-1)^n polygamma(n, 1 - x) - pi^(n+1) cot^(n)(pi x).
Value polygamma_double(int n, const Value& x) {
  const Value is_reflected = x < 0.5;
  const Value sum = hurwitz_sum(n, select(is_reflected, 1 - x, x));
  const double sign = n % 2 == 0 ? -1 : 1;
  const auto [sine, cosine] = of_half_turns(x);
  const Value cotangent = cosine / sine;
  const Value slope =
      horner(cotangent, cotangent_derivative(n)) * std::pow(kPi, static_cast<double>(n + 1));
  // (-1)^n times hurwitz's sign (-1)^(n+1) is -1.
  const Value reflected = -(sum + slope);
  return select(is_reflected, reflected, sum * sign);
}

const RegisterPrimitive kLgamma{float_row<"lgamma", lgamma_value>(
    "log |Gamma(a)|.",
    [](const VjpContext& c) { return Cotangents{c.cotangent * digamma(c.arguments[0])}; })};

const RegisterPrimitive kDigamma{float_row<"digamma", digamma_value>(
    "The derivative of lgamma; of +-0 -+inf, NaN at negative integers.",
    [](const VjpContext& c) { return Cotangents{c.cotangent * polygamma(1, c.arguments[0])}; })};

const RegisterPrimitive kPolygamma{{
    .name = "polygamma",
    .cls = PrimitiveClass::Elementwise,
    .arity = 1,
    .doc = "Derivative number `index` (1 to 24) of digamma.",
    .infer =
        [](std::span<const Type> arguments, const Attributes& attributes) {
          check<InternalError>(attributes.index >= 1 && attributes.index <= 24, [&] {
            return concat("polygamma: order ", attributes.index, "; wanted 1 to 24");
          });
          return common_type("polygamma", arguments, Operands::Floats);
        },
    .emit =
        [](Emitter& emitter, DType, std::span<const Operand> a, const Attributes& attributes) {
          const Value x(emitter, a[0]);
          const Value y = polygamma_double(attributes.index, x.convert(DType::Float64));
          return y.convert(x.dtype()).operand();
        },
    .vjp = [](const VjpContext& c) -> Cotangents {
      return {c.cotangent * polygamma(c.node.attributes.index + 1, c.arguments[0])};
    },
}};

}  // namespace
}  // namespace flambeau::prim
