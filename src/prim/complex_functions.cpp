// Elementary functions of complex values. The inverse functions are Kahan's ("Branch cuts for
// complex elementary functions", 1987); where single precision would cancel, they go through
// Float64.

#include <limits>
#include <numbers>

#include "prim/complex.h"

namespace flambeau::prim {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// |magnitude| with the sign of `sign`, that of a zero included.
Expr with_sign(const Expr& magnitude, const Expr& sign) {
  const Expr negative = lt(select(eq(sign, 0), 1.0 / sign, sign), 0);
  return select(negative, -abs(magnitude), abs(magnitude));
}

/// z in Float64, and back.
ComplexValue widened(const ComplexValue& z) {
  return {convert(z.re, DType::Float64), convert(z.im, DType::Float64)};
}
template <ComplexValue (*fn)(const ComplexValue&)>
ComplexValue through_float64(const ComplexValue& z) {
  const ComplexValue wide = fn(widened(z));
  return {convert(wide.re, z.re.dtype()), convert(wide.im, z.re.dtype())};
}

/// x * y, and 0 where x is: so that an infinite y of a real operand gives no NaN.
Expr times_or_zero(const Expr& x, const Expr& y) { return select(eq(x, 0), x, x * y); }

ComplexValue times_i(const ComplexValue& z) { return {-z.im, z.re}; }
ComplexValue over_i(const ComplexValue& z) { return {z.im, -z.re}; }
/// 1 + z and 1 - z, with the imaginary part as it is.
ComplexValue one_plus(const ComplexValue& z) { return {1.0 + z.re, z.im}; }
ComplexValue one_minus(const ComplexValue& z) { return {1.0 - z.re, -z.im}; }

/// log |z|, accurate where |z| is near 1.
Expr log_abs(const ComplexValue& z) {
  const Expr x = abs(z.re);
  const Expr y = abs(z.im);
  const Expr larger = maximum(x, y);
  const Expr smaller = minimum(x, y);
  const Expr excess = (larger - 1.0) * (larger + 1.0) + smaller * smaller;
  const Expr near_one = logical_and(gt(excess, -0.5), lt(excess, 2));
  return select(near_one, 0.5 * log1p(select(near_one, excess, 0)), log(hypot_of(x, y)));
}

ComplexValue log_wide(const ComplexValue& z) { return {log_abs(z), atan2(z.im, z.re)}; }

ComplexValue log1p_wide(const ComplexValue& z) {
  const Expr excess = (2.0 + z.re) * z.re + z.im * z.im;
  const Expr small = logical_and(gt(excess, -0.5), lt(excess, 2));
  const ComplexValue shifted = one_plus(z);
  return {select(small, 0.5 * log1p(select(small, excess, 0)), log_abs(shifted)),
          atan2(shifted.im, shifted.re)};
}

ComplexValue sqrt_wide(const ComplexValue& z) {
  const Expr x = abs(z.re);
  const Expr y = abs(z.im);
  const Expr root = sqrt(0.5 * x + 0.5 * hypot_of(x, y));
  const Expr zero = eq(root, 0);
  const Expr other = select(zero, 0, y / (2.0 * select(zero, 1, root)));
  const Expr finite_other = select(eq(y, kInfinity), kInfinity, select(eq(x, kInfinity), 0, other));
  const Expr negative = lt(select(zero, 1, z.re), 0);
  return {select(negative, finite_other, root),
          with_sign(select(negative, root, finite_other), z.im)};
}

ComplexValue acos_wide(const ComplexValue& z) {
  const ComplexValue a = sqrt_wide(one_minus(z));
  const ComplexValue b = sqrt_wide(one_plus(z));
  return {2.0 * atan2(a.re, b.re), asinh(b.re * a.im - b.im * a.re)};
}

ComplexValue asin_wide(const ComplexValue& z) {
  const ComplexValue a = sqrt_wide(one_minus(z));
  const ComplexValue b = sqrt_wide(one_plus(z));
  return {atan2(z.re, a.re * b.re - a.im * b.im), asinh(a.re * b.im - a.im * b.re)};
}

ComplexValue acosh_wide(const ComplexValue& z) {
  const ComplexValue a = sqrt_wide({z.re - 1.0, z.im});
  const ComplexValue b = sqrt_wide(one_plus(z));
  return {asinh(a.re * b.re + a.im * b.im), 2.0 * atan2(a.im, b.re)};
}

ComplexValue atanh_wide(const ComplexValue& z) {
  const Expr x = z.re;
  const Expr y = z.im;
  const Expr y2 = y * y;
  const Expr gap = 1.0 - x;
  const Expr re = 0.25 * log1p(4.0 * x / (gap * gap + y2));
  // Far out the quotient is infinity over infinity, and the result a signed zero.
  const Expr far = gt(maximum(abs(x), abs(y)), 1e150);
  const Expr angle = 0.5 * atan2(2.0 * y, gap * (1.0 + x) - y2);
  return {select(far, with_sign(filled_like(x, 0), x), re),
          select(far, with_sign(filled_like(y, std::numbers::pi / 2), y), angle)};
}

ComplexValue asinh_wide(const ComplexValue& z) { return over_i(asin_wide(times_i(z))); }
ComplexValue atan_wide(const ComplexValue& z) { return over_i(atanh_wide(times_i(z))); }

ComplexValue pow_wide(const ComplexValue& a, const ComplexValue& b) {
  const ComplexValue result = complex_exp(b * log_wide(a));
  const Expr base_zero = logical_and(eq(a.re, 0), eq(a.im, 0));
  const Expr exponent_zero = logical_and(eq(b.re, 0), eq(b.im, 0));
  const Expr to_positive = logical_and(base_zero, gt(b.re, 0));
  return {select(exponent_zero, 1, select(to_positive, 0, result.re)),
          select(logical_or(exponent_zero, to_positive), 0, result.im)};
}

}  // namespace

ComplexValue complex_sqrt(const ComplexValue& z) { return through_float64<sqrt_wide>(z); }
ComplexValue complex_log(const ComplexValue& z) { return through_float64<log_wide>(z); }
ComplexValue complex_log1p(const ComplexValue& z) { return through_float64<log1p_wide>(z); }
ComplexValue complex_asin(const ComplexValue& z) { return through_float64<asin_wide>(z); }
ComplexValue complex_acos(const ComplexValue& z) { return through_float64<acos_wide>(z); }
ComplexValue complex_atan(const ComplexValue& z) { return through_float64<atan_wide>(z); }
ComplexValue complex_asinh(const ComplexValue& z) { return through_float64<asinh_wide>(z); }
ComplexValue complex_acosh(const ComplexValue& z) { return through_float64<acosh_wide>(z); }
ComplexValue complex_atanh(const ComplexValue& z) { return through_float64<atanh_wide>(z); }

ComplexValue complex_log2(const ComplexValue& z) {
  return complex_log(z) * (1 / std::numbers::ln2);
}
ComplexValue complex_log10(const ComplexValue& z) {
  return complex_log(z) * (1 / std::numbers::ln10);
}

ComplexValue complex_exp(const ComplexValue& z) {
  const Expr size = exp(z.re);
  const Expr real_axis = eq(z.im, 0);
  return {select(real_axis, size, times_or_zero(size, cos(z.im))),
          select(real_axis, z.im, times_or_zero(size, sin(z.im)))};
}
ComplexValue complex_exp2(const ComplexValue& z) { return complex_exp(z * std::numbers::ln2); }

ComplexValue complex_expm1(const ComplexValue& z) {
  const Expr half_sine = sin(0.5 * z.im);
  return {expm1(z.re) * cos(z.im) - 2.0 * half_sine * half_sine, exp(z.re) * sin(z.im)};
}

ComplexValue complex_pow(const ComplexValue& a, const ComplexValue& b) {
  const ComplexValue wide = pow_wide(widened(a), widened(b));
  return {convert(wide.re, a.re.dtype()), convert(wide.im, a.re.dtype())};
}

ComplexValue complex_sinh(const ComplexValue& z) {
  return {times_or_zero(sinh(z.re), cos(z.im)), times_or_zero(sin(z.im), cosh(z.re))};
}
ComplexValue complex_cosh(const ComplexValue& z) {
  return {cosh(z.re) * cos(z.im), times_or_zero(sin(z.im), sinh(z.re))};
}
ComplexValue complex_tanh(const ComplexValue& z) {
  // Beyond 20 the denominator is the square of the numerator's factor to every digit.
  const Expr far = gt(abs(z.re), 20);
  const Expr x = select(far, 0, z.re);
  const Expr s = sinh(x);
  const Expr sine = sin(z.im);
  const Expr cosine = cos(z.im);
  const Expr denominator = s * s + cosine * cosine;
  const Expr near_re = s * cosh(x) / denominator;
  const Expr near_im = sine * cosine / denominator;
  const Expr tail = 4.0 * sine * cosine * exp(-2.0 * abs(z.re));
  return {select(far, with_sign(filled_like(x, 1), z.re), near_re), select(far, tail, near_im)};
}
ComplexValue complex_sin(const ComplexValue& z) { return over_i(complex_sinh(times_i(z))); }
ComplexValue complex_cos(const ComplexValue& z) { return complex_cosh(times_i(z)); }
ComplexValue complex_tan(const ComplexValue& z) { return over_i(complex_tanh(times_i(z))); }

}  // namespace flambeau::prim
