// Rows of the inverse trigonometric functions.

#include <limits>
#include <numbers>

#include "prim/complex.h"
#include "prim/float_format.h"
#include "prim/row.h"

namespace flambeau::prim {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// pi times a power of two, in two parts of the dtype of `x`.
double pi_high(const Value& x) { return x.is_double() ? 0x1.921fb54442d18p+1 : 0x1.921fb6p+1; }
double pi_low(const Value& x) { return x.is_double() ? 0x1.1a62633145c07p-53 : -0x1.777a5cp-24; }

/// atan t for t in [0, 1].
Value atan_kernel(const Value& t) {
  const Value z = t * t;
  const Value p =
      t.is_double()
          ? horner(z, {-0x1.5555555555526p-2,  0x1.99999999955b1p-3,  -0x1.249249237f030p-3,
                       0x1.c71c717fa4f1fp-4,   -0x1.745d11a9ba644p-4, 0x1.3b13664bcc531p-4,
                       -0x1.110e4dcc6278fp-4,  0x1.e1bb729981bcbp-5,  -0x1.ae5d4e7e2107ep-5,
                       0x1.82d60b79a6819p-5,   -0x1.5994c6ce01519p-5, 0x1.2c099cfbe745ep-5,
                       -0x1.e9728e93a5bf1p-6,  0x1.677e78a3804d7p-6,  -0x1.c5fc02c085a3cp-7,
                       0x1.d53d854297caep-8,   -0x1.776a7152b7e15p-9, 0x1.afa98e6f86312p-11,
                       -0x1.3b2dafd329139p-13, 0x1.b50340a078f15p-17})
          : horner(z, {-0x1.55553ep-2, 0x1.9991e4p-3, -0x1.242084p-3, 0x1.c08c18p-4, -0x1.580808p-4,
                       0x1.da2492p-5, -0x1.fd6f3ap-6, 0x1.64104cp-7, -0x1.d32c8cp-10});
  return fma(t * z, p, t);
}

/// Odd; atan a = pi/2 - atan(1/a) above 1.
Value atan_value(const Value& x) {
  const Value a = abs(x);
  const Value inverted = a > 1;
  const Value y = atan_kernel(select(inverted, 1 / a, a));
  const Value complement = pi_high(x) / 2 - (y - pi_low(x) / 2);
  return with_sign_of(select(inverted, complement, y), x);
}

Value atan2_value(const Value& y, const Value& x) {
  const Value ay = abs(y);
  const Value ax = abs(x);
  const Value swapped = ay > ax;
  const Value numerator = select(swapped, ax, ay);
  const Value denominator = select(swapped, ay, ax);
  // 0/0 counts as 0, inf/inf as 1.
  const Value ratio = select(numerator == 0, 0, numerator / denominator);
  const Value angle = atan_kernel(select(numerator == kInfinity, 1, ratio));
  // base +- angle, by the octant. The sign bit of x counts, that of -0 too.
  const Value x_bits = bits_of(x);
  const Value is_left = (x_bits & integer(x_bits, format_of(x).sign)) != integer(x_bits, 0);
  const Value upright = x.number(0.5);
  const Value turns = select(swapped, upright, select(is_left, x.number(1), 0));
  const Value signed_angle = select(swapped ^ is_left, -angle, angle);
  const Value result = fma(turns, pi_high(x), fma(turns, pi_low(x), signed_angle));
  return select(is_nan(x) | is_nan(y), std::numeric_limits<double>::quiet_NaN(),
                with_sign_of(result, y));
}

/// What asin and acos share: s with s + s_low = sin of an angle up to pi/6, and the rest of that
/// angle beyond s + s_low.
struct Arc {
  Value is_outer;  ///< |x| > 1/2: the angle is half the angle from the pole
  Value s, rest;
};

Arc arc_of(const Value& x) {
  const Value a = abs(x);
  const Value is_outer = a > 0.5;
  const Value z = select(is_outer, (1 - a) * 0.5, a * a);
  const Value s = select(is_outer, sqrt(z), a);
  const Value p = x.is_double()
                      ? horner(z, {0x1.5555555555577p-3, 0x1.333333332e132p-4, 0x1.6db6db7212eb2p-5,
                                   0x1.f1c71a9475a45p-6, 0x1.6e8bdef7be021p-6, 0x1.1c49edfeb6c17p-6,
                                   0x1.ca1fd78e13b48p-7, 0x1.7582a035cc367p-7, 0x1.614fcf1a47523p-7,
                                   0x1.e4a7f033632a9p-9, 0x1.640e4a6b6b9cdp-6,
                                   -0x1.58af58d0e2a64p-6, 0x1.0b835dc528189p-5})
                      : horner(z, {0x1.55554cp-3, 0x1.3338acp-4, 0x1.6ca756p-5, 0x1.04d2bap-5,
                                   0x1.d527b2p-7, 0x1.34c2f0p-5});
  // What rounding took from the square root.
  const Value root_low = select(z > 0, fma(-s, s, z) / (s + s), 0);
  return {is_outer, s, fma(s * z, p, select(is_outer, root_low, 0))};
}

/// Odd; pi/2 less twice the half angle in the outer part.
Value asin_value(const Value& x) {
  const Arc arc = arc_of(x);
  const Value inner = arc.s + arc.rest;
  const Value outer = (pi_high(x) / 2 - (arc.s + arc.s)) + (pi_low(x) / 2 - (arc.rest + arc.rest));
  return with_sign_of(select(arc.is_outer, outer, inner), x);
}

Value acos_value(const Value& x) {
  const Arc arc = arc_of(x);
  const Value rest = flip_sign_of(arc.rest, x);
  const Value inner = pi_high(x) / 2 - (x - (pi_low(x) / 2 - rest));
  const Value twice = arc.s + arc.s;
  const Value twice_rest = arc.rest + arc.rest;
  const Value right = twice + twice_rest;
  const Value left = (pi_high(x) - twice) + (pi_low(x) - twice_rest);
  return select(arc.is_outer, select(x < 0, left, right), inner);
}

const RegisterPrimitive kAsin{float_row<"asin", asin_value>(
    "The inverse sine; NaN beyond +-1.",
    [](const VjpContext& c) {
      const Expr& x = c.arguments[0];
      return Cotangents{c.cotangent / sqrt(1 - x * x)};
    },
    split_unary<complex_asin>)};

const RegisterPrimitive kAcos{float_row<"acos", acos_value>(
    "The inverse cosine; NaN beyond +-1.",
    [](const VjpContext& c) {
      const Expr& x = c.arguments[0];
      return Cotangents{-c.cotangent / sqrt(1 - x * x)};
    },
    split_unary<complex_acos>)};

const RegisterPrimitive kAtan{float_row<"atan", atan_value>(
    "The inverse tangent.",
    [](const VjpContext& c) {
      const Expr& x = c.arguments[0];
      return Cotangents{c.cotangent / (x * x + 1)};
    },
    split_unary<complex_atan>)};

const RegisterPrimitive kAtan2{{
    .name = "atan2",
    .cls = PrimitiveClass::Elementwise,
    .arity = 2,
    .doc = "The angle of the point (operand 1, operand 0), in [-pi, pi].",
    .infer = infer_same<"atan2", Operands::Floats>,
    .emit = emit_binary<atan2_value>,
    .vjp =
        [](const VjpContext& c) {
          // NaN at the origin, as PyTorch's.
          const Expr& y = c.arguments[0];
          const Expr& x = c.arguments[1];
          const Expr scaled = c.cotangent / (x * x + y * y);
          return Cotangents{scaled * x, -scaled * y};
        },
}};

}  // namespace
}  // namespace flambeau::prim
