// Special functions of one or two numbers that have no short composition: computed in float64 by
// host kernels.

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "ops/functions.h"
#include "ops/index/rows.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;
using std::numbers::pi;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Element `position` of a result of `sizes`, read from an operand that broadcasts to it.
class Operand {
 public:
  Operand(HostCall& host, std::string_view name, const Ints& sizes) : sizes_(sizes) {
    if (const auto* number = std::get_if<Scalar>(&host.call()[name])) {
      number_ = number->to_double();
      return;
    }
    tensor_ = host.input(name);
    strides_ = contiguous_strides(tensor_.info.sizes);
  }
  double operator()(int64_t position) const {
    if (tensor_.data == nullptr) return number_;
    int64_t place = 0;
    for (size_t i = sizes_.size(), own = tensor_.info.sizes.size(); i-- > 0;) {
      const int64_t index = position % sizes_[i];
      position /= sizes_[i];
      if (own == 0) continue;
      --own;
      if (tensor_.info.sizes[own] != 1) place += index * strides_[own];
    }
    return number_at(tensor_, place);
  }

 private:
  const Ints& sizes_;
  HostTensor tensor_;
  Ints strides_;
  double number_ = 0;
};

/// The number as the result's dtype computes with it: float32 rounds its operands.
double as_operand(DType dtype, double value) {
  return dtype == DType::Float64 ? value : static_cast<double>(static_cast<float>(value));
}

template <double (*kFunction)(double)>
void run_unary(HostCall& host) {
  const HostTensor out = host.output(0);
  const Operand x(host, "self", out.info.sizes);
  for (int64_t i = 0; i < out.info.numel(); ++i)
    store(out, i, ir::container_of(out.info.dtype, kFunction(as_operand(out.info.dtype, x(i)))));
}
template <double (*kFunction)(double)>
Definition unary(std::string_view schema, std::string_view doc, std::vector<std::string> aliases,
                 void (*vjp)(VjpLowering&) = nullptr, SampleList (*samples)() = positive_samples) {
  return {.schema = schema,
          .doc = doc,
          .variants = {.function = aliases.size() > 1,
                       .method = aliases.size() > 1,
                       .out = true,
                       .aliases = std::move(aliases)},
          .promotion = Promotion::ToFloat,
          .vjp = vjp,
          .kernel = run_unary<kFunction>,
          .differentiable = vjp != nullptr,
          .samples = samples};
}
template <double (*kFunction)(double, double)>
Definition binary(std::string_view schema, std::string_view doc, std::string alias,
                  void (*vjp)(VjpLowering&) = nullptr,
                  SampleList (*samples)() = positive_binary_samples) {
  return {
      .schema = schema,
      .doc = doc,
      .variants = {.function = false, .method = false, .out = true, .aliases = {std::move(alias)}},
      .promotion = Promotion::ToFloat,
      .numbers = {"self", "other"},
      .vjp = vjp,
      .kernel =
          [](HostCall& host) {
            const HostTensor out = host.output(0);
            const Operand x(host, "self", out.info.sizes);
            const Operand y(host, "other", out.info.sizes);
            const DType dtype = out.info.dtype;
            for (int64_t i = 0; i < out.info.numel(); ++i)
              store(out, i,
                    ir::container_of(dtype,
                                     kFunction(as_operand(dtype, x(i)), as_operand(dtype, y(i)))));
          },
      .differentiable = vjp != nullptr,
      .samples = samples};
}

// ---- Bessel functions
// ------------------------------------------------------------------------------
double bessel_j0(double x) { return ::j0(x); }
double bessel_j1(double x) { return ::j1(x); }
double bessel_y0(double x) { return x < 0 ? kNan : x == 0 ? -kInfinity : ::y0(x); }
double bessel_y1(double x) { return x < 0 ? kNan : x == 0 ? -kInfinity : ::y1(x); }
double scaled_k(int n, double x) {
  if (std::isnan(x) || x < 0) return kNan;
  if (x == 0) return kInfinity;
  if (x < 100) return std::cyl_bessel_k(n, x) * std::exp(x);
  const double mu = 4.0 * n * n;
  const double z = 8 * x;
  return (1 + (mu - 1) / z + (mu - 1) * (mu - 9) / (2 * z * z)) * std::sqrt(pi / (2 * x));
}
double scaled_k0(double x) { return scaled_k(0, x); }
double scaled_k1(double x) { return scaled_k(1, x); }
double k0(double x) { return scaled_k(0, x) * std::exp(-x); }
double k1(double x) { return scaled_k(1, x) * std::exp(-x); }
double spherical_j0(double x) {
  if (std::isinf(x)) return 0;
  return std::abs(x) < 1e-8 ? 1 : std::sin(x) / x;
}
double airy_ai(double x) {
  if (std::isnan(x) || x == 0) return x == 0 ? 0.35502805388781723926 : x;
  const double a = std::abs(x);
  const double zeta = 2.0 / 3 * a * std::sqrt(a);
  if (x > 0) return x > 100 ? 0 : std::sqrt(a / 3) / pi * std::cyl_bessel_k(1.0 / 3, zeta);
  const double j = std::cyl_bessel_j(1.0 / 3, zeta);
  const double y = std::cyl_neumann(1.0 / 3, zeta);
  return std::sqrt(a) / 3 * (j * 1.5 - std::sqrt(3.0) / 2 * y);
}
const Register kJ0(unary<bessel_j0>("special_bessel_j0(Tensor self) -> Tensor",
                                    "The Bessel function J0.", {"special.bessel_j0"}));
const Register kJ1(unary<bessel_j1>("special_bessel_j1(Tensor self) -> Tensor",
                                    "The Bessel function J1.", {"special.bessel_j1"}));
const Register kY0(unary<bessel_y0>("special_bessel_y0(Tensor self) -> Tensor",
                                    "The Bessel function Y0.", {"special.bessel_y0"}));
const Register kY1(unary<bessel_y1>("special_bessel_y1(Tensor self) -> Tensor",
                                    "The Bessel function Y1.", {"special.bessel_y1"}));
const Register kK0(unary<k0>("special_modified_bessel_k0(Tensor self) -> Tensor",
                             "The modified Bessel function K0.", {"special.modified_bessel_k0"}));
const Register kK1(unary<k1>("special_modified_bessel_k1(Tensor self) -> Tensor",
                             "The modified Bessel function K1.", {"special.modified_bessel_k1"}));
const Register kScaledK0(
    unary<scaled_k0>("special_scaled_modified_bessel_k0(Tensor self) -> Tensor",
                     "exp(self) * K0(self).", {"special.scaled_modified_bessel_k0"}));
const Register kScaledK1(
    unary<scaled_k1>("special_scaled_modified_bessel_k1(Tensor self) -> Tensor",
                     "exp(self) * K1(self).", {"special.scaled_modified_bessel_k1"}));
const Register kSphericalJ0(
    unary<spherical_j0>("special_spherical_bessel_j0(Tensor self) -> Tensor",
                        "sin(self) / self, 1 at 0.", {"special.spherical_bessel_j0"}));
const Register kAiry(unary<airy_ai>("special_airy_ai(Tensor self) -> Tensor",
                                    "The Airy function Ai.", {"special.airy_ai"}));
// ---- error functions
// -------------------------------------------------------------------------------
double erfcx(double x) {
  if (x < 25) return std::exp(x * x) * std::erfc(x);
  const double z = 1 / (2 * x * x);
  return (1 - z * (1 - 3 * z * (1 - 5 * z))) / (x * std::sqrt(pi));
}
double log_ndtr(double x) {
  const double t = -x / std::numbers::sqrt2;
  return t > 1 ? std::log(erfcx(t) / 2) - t * t : std::log1p(-std::erfc(-t) / 2);
}
const Register kErfcx(unary<erfcx>("special_erfcx(Tensor self) -> Tensor",
                                   "exp(self^2) * erfc(self).", {"special.erfcx"},
                                   [](VjpLowering& v) {
                                     const Expr slope = v.forward["self"] * v.results[0] * 2.0 -
                                                        2 * std::numbers::inv_sqrtpi;
                                     v.gradients[0] = v.cotangents[0] * slope;
                                   }));
const Register kLogNdtr(unary<log_ndtr>(
    "special_log_ndtr(Tensor self) -> Tensor",
    "The logarithm of the distribution function of the standard normal.", {"special.log_ndtr"},
    [](VjpLowering& v) {
      const Expr x = v.forward["self"];
      v.gradients[0] = v.cotangents[0] * exp(x * x * -0.5 - v.results[0]) *
                       (std::numbers::inv_sqrtpi / std::numbers::sqrt2);
    },
    unary_samples));

// ---- incomplete gamma functions and the zeta function
// ----------------------------------------------
/// The lower regularised incomplete gamma function by its series (x < a + 1) or one minus the upper
/// one by its continued fraction.
double upper_gamma(double a, double x);
double lower_gamma(double a, double x) {
  if (std::isnan(a) || std::isnan(x) || a < 0 || x < 0) return kNan;
  if (a == 0) return x > 0 ? 1 : kNan;
  if (x == 0) return 0;
  if (std::isinf(a)) return std::isinf(x) ? kNan : 0;
  if (std::isinf(x)) return 1;
  if (x >= a + 1) return 1 - upper_gamma(a, x);
  double term = 1 / a;
  double total = term;
  for (int n = 1; n < 2000 && std::abs(term) > 1e-17 * std::abs(total); ++n) {
    term *= x / (a + n);
    total += term;
  }
  return total * std::exp(-x + a * std::log(x) - std::lgamma(a));
}
double upper_gamma(double a, double x) {
  if (std::isnan(a) || std::isnan(x) || a < 0 || x < 0) return kNan;
  if (a == 0) return x > 0 ? 0 : kNan;
  if (x == 0) return 1;
  if (std::isinf(a)) return std::isinf(x) ? kNan : 1;
  if (std::isinf(x)) return 0;
  if (x < a + 1) return 1 - lower_gamma(a, x);
  // Lentz's method.
  constexpr double kTiny = 1e-300;
  double b = x + 1 - a;
  double c = 1 / kTiny;
  double d = 1 / b;
  double h = d;
  for (int n = 1; n < 2000; ++n) {
    const double factor = -n * (n - a);
    b += 2;
    d = factor * d + b;
    if (std::abs(d) < kTiny) d = kTiny;
    c = b + factor / c;
    if (std::abs(c) < kTiny) c = kTiny;
    d = 1 / d;
    h *= d * c;
    if (std::abs(d * c - 1) < 1e-16) break;
  }
  return h * std::exp(-x + a * std::log(x) - std::lgamma(a));
}
/// Hurwitz's zeta function by Euler and Maclaurin's formula.
double hurwitz_zeta(double s, double q) {
  if (s == 1) return kInfinity;
  if (s < 1) return kNan;
  if (q <= 0 && q == std::floor(q)) return kInfinity;
  if (q <= 0 && s != std::floor(s)) return kNan;
  // The terms of numbers below 0 are no part of the series that follows.
  const double terms = 12 + std::ceil(std::max(-q, 0.0));
  double total = 0;
  for (double n = 0; n < terms; ++n) {
    const double term = std::pow(q + n, -s);
    if (term == 0) return total;
    total += term;
  }
  const double w = q + terms;
  total += std::pow(w, 1 - s) / (s - 1) + 0.5 * std::pow(w, -s);
  // Bernoulli numbers over factorials.
  constexpr double kFactors[] = {1.0 / 12, -1.0 / 720, 1.0 / 30240, -1.0 / 1209600, 1.0 / 47900160};
  double rising = s;
  for (int n = 0; n < 5; ++n) {
    total += kFactors[n] * rising * std::pow(w, -s - 2 * n - 1);
    rising *= (s + 2 * n + 1) * (s + 2 * n + 2);
  }
  return total;
}
/// The density of the gamma distribution, the slope of both in x; none is known in a.
Expr gamma_density(VjpLowering& v) {
  const Expr a = v.forward["self"];
  const Expr x = v.forward["other"];
  return exp((a - 1.0) * log(x) - x - lgamma(a));
}
SampleList gamma_samples() {
  SampleTensor a = t({2, 3}, 0.5, 3);
  a.grad = false;
  return {{{a, t({2, 3}, 0.3, 4)}}};
}
Definition missing(Definition d, std::vector<std::string_view> gradients) {
  d.missing_gradients = std::move(gradients);
  return d;
}
Definition gamma_definition(Definition d, std::string name) {
  d.missing_gradients = {"self"};
  d.variants.function = true;
  d.variants.method = true;
  d.variants.in_place = true;
  d.variants.aliases.push_back(std::move(name));
  return d;
}
const Register kIgamma(gamma_definition(
    binary<lower_gamma>(
        "igamma(Tensor self, Tensor other) -> Tensor",
        "The lower regularised incomplete gamma function P(self, other).", "special.gammainc",
        [](VjpLowering& v) { v.gradients[1] = v.cotangents[0] * gamma_density(v); }, gamma_samples),
    "Tensor.gammainc"));
const Register kIgammac(gamma_definition(
    binary<upper_gamma>(
        "igammac(Tensor self, Tensor other) -> Tensor",
        "The upper regularised incomplete gamma function Q(self, other).", "special.gammaincc",
        [](VjpLowering& v) { v.gradients[1] = -v.cotangents[0] * gamma_density(v); },
        gamma_samples),
    "Tensor.gammaincc"));
const Register kZeta(missing(
    binary<hurwitz_zeta>("special_zeta(Tensor self, Tensor other) -> Tensor",
                         "Hurwitz's zeta function: the sum of 1 / (k + other)^self over k from 0.",
                         "special.zeta", nullptr,
                         [] { return SampleList{{{t({2, 3}, 1.5, 4), t({2, 3}, 0.5, 3)}}}; }),
    {"self", "other"}));

// ---- orthogonal polynomials
// ------------------------------------------------------------------------
/// p_0 = 1, p_1 = first, p_(k+1) from the two before by kNext(x, k, p_k, p_(k-1)).
template <class Next>
double recurrence(double degree, double first, const Next& next) {
  const auto n = static_cast<int64_t>(degree);
  if (n < 0) return 0;
  double previous = 1;
  double value = n == 0 ? 1 : first;
  for (int64_t k = 1; k < n; ++k) {
    const double after = next(static_cast<double>(k), value, previous);
    previous = value;
    value = after;
  }
  return value;
}
double chebyshev(double x, double n, double first) {
  return recurrence(n, first, [x](double, double q, double p) { return 2 * x * q - p; });
}
double chebyshev_t(double x, double n) { return chebyshev(x, n, x); }
double chebyshev_u(double x, double n) { return chebyshev(x, n, 2 * x); }
double chebyshev_v(double x, double n) { return chebyshev(x, n, 2 * x - 1); }
double chebyshev_w(double x, double n) { return chebyshev(x, n, 2 * x + 1); }
double shifted_t(double x, double n) { return chebyshev_t(2 * x - 1, n); }
double shifted_u(double x, double n) { return chebyshev_u(2 * x - 1, n); }
double shifted_v(double x, double n) { return chebyshev_v(2 * x - 1, n); }
double shifted_w(double x, double n) { return chebyshev_w(2 * x - 1, n); }
double hermite_h(double x, double n) {
  return recurrence(n, 2 * x, [x](double k, double q, double p) { return 2 * x * q - 2 * k * p; });
}
double hermite_he(double x, double n) {
  return recurrence(n, x, [x](double k, double q, double p) { return x * q - k * p; });
}
double laguerre_l(double x, double n) {
  return recurrence(n, 1 - x, [x](double k, double q, double p) {
    return ((2 * k + 1 - x) * q - k * p) / (k + 1);
  });
}
double legendre_p(double x, double n) {
  return recurrence(
      n, x, [x](double k, double q, double p) { return ((2 * k + 1) * x * q - k * p) / (k + 1); });
}
SampleList polynomial_samples() {
  return {{{t({2, 3}), indices({2, 3}, 6)}}, {{t({2, 3}), Scalar(3)}}};
}
template <double (*kFunction)(double, double)>
struct Polynomial : Register {
  Polynomial(std::string_view schema, std::string_view doc, std::string alias)
      : Register(definition(schema, doc, std::move(alias))) {}
  static Definition definition(std::string_view schema, std::string_view doc, std::string alias) {
    Definition d = binary<kFunction>(schema, doc, std::move(alias), nullptr, polynomial_samples);
    d.numbers = {"self", "other"};
    return d;
  }
};
const Polynomial<chebyshev_t> kChebyshevT(
    "special_chebyshev_polynomial_t(Tensor self, Tensor other) -> Tensor",
    "Chebyshev's polynomial of the first kind of degree `other`.",
    "special.chebyshev_polynomial_t");
const Polynomial<chebyshev_u> kChebyshevU(
    "special_chebyshev_polynomial_u(Tensor self, Tensor other) -> Tensor",
    "Chebyshev's polynomial of the second kind of degree `other`.",
    "special.chebyshev_polynomial_u");
const Polynomial<chebyshev_v> kChebyshevV(
    "special_chebyshev_polynomial_v(Tensor self, Tensor other) -> Tensor",
    "Chebyshev's polynomial of the third kind of degree `other`.",
    "special.chebyshev_polynomial_v");
const Polynomial<chebyshev_w> kChebyshevW(
    "special_chebyshev_polynomial_w(Tensor self, Tensor other) -> Tensor",
    "Chebyshev's polynomial of the fourth kind of degree `other`.",
    "special.chebyshev_polynomial_w");
const Polynomial<shifted_t> kShiftedT(
    "special_shifted_chebyshev_polynomial_t(Tensor self, Tensor other) -> Tensor",
    "chebyshev_polynomial_t at 2 * self - 1.", "special.shifted_chebyshev_polynomial_t");
const Polynomial<shifted_u> kShiftedU(
    "special_shifted_chebyshev_polynomial_u(Tensor self, Tensor other) -> Tensor",
    "chebyshev_polynomial_u at 2 * self - 1.", "special.shifted_chebyshev_polynomial_u");
const Polynomial<shifted_v> kShiftedV(
    "special_shifted_chebyshev_polynomial_v(Tensor self, Tensor other) -> Tensor",
    "chebyshev_polynomial_v at 2 * self - 1.", "special.shifted_chebyshev_polynomial_v");
const Polynomial<shifted_w> kShiftedW(
    "special_shifted_chebyshev_polynomial_w(Tensor self, Tensor other) -> Tensor",
    "chebyshev_polynomial_w at 2 * self - 1.", "special.shifted_chebyshev_polynomial_w");
const Polynomial<hermite_h> kHermiteH(
    "special_hermite_polynomial_h(Tensor self, Tensor other) -> Tensor",
    "The physicists' Hermite polynomial of degree `other`.", "special.hermite_polynomial_h");
const Polynomial<hermite_he> kHermiteHe(
    "special_hermite_polynomial_he(Tensor self, Tensor other) -> Tensor",
    "The statisticians' Hermite polynomial of degree `other`.", "special.hermite_polynomial_he");
const Polynomial<laguerre_l> kLaguerre(
    "special_laguerre_polynomial_l(Tensor self, Tensor other) -> Tensor",
    "Laguerre's polynomial of degree `other`.", "special.laguerre_polynomial_l");
const Polynomial<legendre_p> kLegendre(
    "special_legendre_polynomial_p(Tensor self, Tensor other) -> Tensor",
    "Legendre's polynomial of degree `other`.", "special.legendre_polynomial_p");

// ---- compositions
// ----------------------------------------------------------------------------------
const Register kMvlgamma({
    .schema = "mvlgamma(Tensor self, int p) -> Tensor",
    .doc = "The logarithm of the multivariate gamma function of dimension p.",
    .variants = {.in_place = true, .out = true, .aliases = {"special.multigammaln"}},
    .promotion = Promotion::ToFloat,
    .canonical =
        [](const Call& call, Arguments&) {
          check(call.integer("p") >= 1, [&] {
            return concat(call.name(), ": p has to be greater than or equal to 1, got ",
                          call.integer("p"));
          });
        },
    .lower =
        [](Lowering& l) {
          const auto p = static_cast<double>(l.call().integer("p"));
          const Expr x = l["self"];
          Expr total = full_like(x, p * (p - 1) / 4 * std::log(pi));
          for (int64_t i = 0; i < l.call().integer("p"); ++i)
            total = total + lgamma(x - static_cast<double>(i) / 2);
          l.result(total);
        },
    .samples =
        [] { return SampleList{{{t({2, 3}, 2, 4), Scalar(1)}}, {{t({2, 3}, 2, 4), Scalar(3)}}}; },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2}), Scalar(0)}}, "RuntimeError", "greater than or equal to 1"}};
        },
});
}  // namespace
}  // namespace flambeau::ops
