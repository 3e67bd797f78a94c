// Functions of one number with a float result: powers, logarithms, trigonometry, error functions.

#include <cmath>
#include <numbers>

#include "ops/definition.h"
#include "ops/functions.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;
using Aliases = std::vector<std::string>;

/// A function of one tensor in its float dtype (integers become the default one).
Definition function(std::string_view schema, std::string_view doc, void (*lower)(Lowering&),
                    SampleList (*samples)() = unary_samples, Aliases aliases = {}) {
  return {.schema = schema,
          .doc = doc,
          .variants = {.in_place = true, .out = true, .aliases = std::move(aliases)},
          .promotion = Promotion::ToFloat,
          .lower = lower,
          .samples = samples};
}

/// `definition` with a gradient from the result, which PyTorch keeps instead of the input.
Definition from_result(Definition definition) {
  definition.saves_result = true;
  return definition;
}

SampleList above_one_samples() { return unary_samples_in(1.1, 3); }

const Register kSqrt(from_result(function(
    "sqrt(Tensor self) -> Tensor", "The square root; NaN below 0.",
    [](Lowering& l) { l.result(sqrt(l["self"])); }, positive_samples)));
const Register kRsqrt(function(
    "rsqrt(Tensor self) -> Tensor", "1 / sqrt(self).",
    [](Lowering& l) { l.result(1.0 / sqrt(l["self"])); }, positive_samples));
const Register kReciprocal(function(
    "reciprocal(Tensor self) -> Tensor", "1 / self.",
    [](Lowering& l) { l.result(1.0 / l["self"]); }, positive_samples));
const Register kExp(from_result(function("exp(Tensor self) -> Tensor", "e to the power of self.",
                                         [](Lowering& l) { l.result(exp(l["self"])); })));
const Register kExp2(function("exp2(Tensor self) -> Tensor", "2 to the power of self.",
                              [](Lowering& l) { l.result(exp2(l["self"])); }, unary_samples,
                              {"special.exp2"}));
const Register kExpm1(function("expm1(Tensor self) -> Tensor", "exp(self) - 1, exact near 0.",
                               [](Lowering& l) { l.result(expm1(l["self"])); }, unary_samples,
                               {"special.expm1"}));
const Register kLog(function(
    "log(Tensor self) -> Tensor", "The natural logarithm.",
    [](Lowering& l) { l.result(log(l["self"])); }, positive_samples));
const Register kLog2(function(
    "log2(Tensor self) -> Tensor", "The logarithm to base 2.",
    [](Lowering& l) { l.result(log2(l["self"])); }, positive_samples));
const Register kLog10(function(
    "log10(Tensor self) -> Tensor", "The logarithm to base 10.",
    [](Lowering& l) { l.result(log10(l["self"])); }, positive_samples));
const Register kLog1p(function("log1p(Tensor self) -> Tensor", "log(1 + self), exact near 0.",
                               [](Lowering& l) { l.result(log1p(l["self"])); }, positive_samples,
                               {"special.log1p"}));
const Register kSin(function("sin(Tensor self) -> Tensor", "The sine of an angle in radians.",
                             [](Lowering& l) { l.result(sin(l["self"])); }));
const Register kCos(function("cos(Tensor self) -> Tensor", "The cosine of an angle in radians.",
                             [](Lowering& l) { l.result(cos(l["self"])); }));
const Register kTan(function(
    "tan(Tensor self) -> Tensor", "The tangent of an angle in radians.",
    [](Lowering& l) { l.result(tan(l["self"])); }, unit_samples));
const Register kAsin(function("asin(Tensor self) -> Tensor",
                              "The angle in [-pi/2, pi/2] whose sine is self.",
                              [](Lowering& l) { l.result(asin(l["self"])); }, unit_samples,
                              {"arcsin", "Tensor.arcsin"}));
const Register kAcos(function("acos(Tensor self) -> Tensor",
                              "The angle in [0, pi] whose cosine is self.",
                              [](Lowering& l) { l.result(acos(l["self"])); }, unit_samples,
                              {"arccos", "Tensor.arccos"}));
const Register kAtan(function("atan(Tensor self) -> Tensor",
                              "The angle in (-pi/2, pi/2) whose tangent is self.",
                              [](Lowering& l) { l.result(atan(l["self"])); }, unary_samples,
                              {"arctan", "Tensor.arctan"}));
const Register kSinh(function("sinh(Tensor self) -> Tensor", "(exp(self) - exp(-self)) / 2.",
                              [](Lowering& l) { l.result(sinh(l["self"])); }));
const Register kCosh(function("cosh(Tensor self) -> Tensor", "(exp(self) + exp(-self)) / 2.",
                              [](Lowering& l) { l.result(cosh(l["self"])); }));
Definition tanh_definition() {
  Definition d = function("tanh(Tensor self) -> Tensor", "sinh(self) / cosh(self).",
                          [](Lowering& l) { l.result(tanh(l["self"])); });
  d.saves_result = true;
  return d;
}
const Register kTanh(tanh_definition());
const Register kAsinh(function("asinh(Tensor self) -> Tensor", "The number whose sinh is self.",
                               [](Lowering& l) { l.result(asinh(l["self"])); }, unary_samples,
                               {"arcsinh", "Tensor.arcsinh"}));
const Register kAcosh(function("acosh(Tensor self) -> Tensor",
                               "The number >= 0 whose cosh is self.",
                               [](Lowering& l) { l.result(acosh(l["self"])); }, above_one_samples,
                               {"arccosh", "Tensor.arccosh"}));
const Register kAtanh(function("atanh(Tensor self) -> Tensor", "The number whose tanh is self.",
                               [](Lowering& l) { l.result(atanh(l["self"])); }, unit_samples,
                               {"arctanh", "Tensor.arctanh"}));
const Register kErf(function("erf(Tensor self) -> Tensor",
                             "2 / sqrt(pi) times the integral of exp(-t^2) from 0 to self.",
                             [](Lowering& l) { l.result(erf(l["self"])); }, unary_samples,
                             {"special.erf"}));
const Register kErfc(function("erfc(Tensor self) -> Tensor",
                              "1 - erf(self), exact where that is small.",
                              [](Lowering& l) { l.result(erfc(l["self"])); }, unary_samples,
                              {"special.erfc"}));
const Register kErfinv(function("erfinv(Tensor self) -> Tensor",
                                "The number whose erf is self, which is in (-1, 1).",
                                [](Lowering& l) { l.result(erfinv(l["self"])); }, unit_samples,
                                {"special.erfinv"}));
const Register kLgamma(function("lgamma(Tensor self) -> Tensor",
                                "The logarithm of the absolute value of the gamma function.",
                                [](Lowering& l) { l.result(lgamma(l["self"])); }, positive_samples,
                                {"special.gammaln"}));
const Register kDigamma(function("digamma(Tensor self) -> Tensor", "The derivative of lgamma.",
                                 [](Lowering& l) { l.result(digamma(l["self"])); },
                                 positive_samples, {"special.digamma", "special.psi"}));
/// Poles at 0 and the negative integers.
Expr polygamma_at(int order, const Expr& x) {
  if (order == 0) return digamma(x);
  const Expr pole = logical_and(eq(x, floor(x)), logical_and(le(x, 0.0), gt(x, -INFINITY)));
  return select(pole, order % 2 == 0 ? -INFINITY : INFINITY, polygamma(order, x));
}
const Register kPolygamma({
    .schema = "polygamma(int n, Tensor self) -> Tensor",
    .doc = "Derivative number n (at most 20) of digamma.",
    .variants = {.in_place = true, .out = true, .aliases = {"special.polygamma"}},
    .promotion = Promotion::ToFloat,
    .accepts = Accepts::Real,
    .canonical =
        [](const Call& call, Arguments&) {
          constexpr int64_t kMost = 20;
          const int64_t n = call.integer("n");
          check(n >= 0, [] { return "polygamma(n, x) does not support negative n."; });
          check<NotImplementedError>(n <= kMost, [&] {
            return concat(call.name(), ": n is at most ", kMost, ", but got ", n);
          });
        },
    .lower =
        [](Lowering& l) {
          l.result(polygamma_at(static_cast<int>(l.call().integer("n")), l["self"]));
        },
    .samples =
        [] {
          return SampleList{{{Scalar(0), t({2, 3}, 0.5, 3)}},
                            {{Scalar(1), t({2, 3}, 0.5, 3)}},
                            {{Scalar(4), t({3}, 0.5, 3)}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{Scalar(-1), t({2})}}, "RuntimeError", "does not support negative n"},
              {{{Scalar(21), t({2})}}, "NotImplementedError", "n is at most 20"}};
        },
});
const Register kDeg2rad(function("deg2rad(Tensor self) -> Tensor",
                                 "Degrees as radians: self * pi / 180.", [](Lowering& l) {
                                   l.result(l["self"] * (std::numbers::pi / 180));
                                 }));
const Register kRad2deg(function("rad2deg(Tensor self) -> Tensor",
                                 "Radians as degrees: self * 180 / pi.", [](Lowering& l) {
                                   l.result(l["self"] * (180 / std::numbers::pi));
                                 }));

// sin(x) / x has no value at 0, where both it and its slope are continued.
Definition sinc_definition() {
  Definition d = function("sinc(Tensor self) -> Tensor", "sin(pi * self) / (pi * self), 1 at 0.",
                          [](Lowering& l) {
                            const Expr x = l["self"] * std::numbers::pi;
                            const Expr zero = eq(x, 0.0);
                            const Expr safe = replace_where(zero, x, 1.0);
                            l.result(select(zero, 1.0, sin(safe) / safe));
                          },
                          unary_samples, {"special.sinc"});
  // The quotient's rule would subtract two numbers near 1 / x, whose difference is near 0.
  d.vjp = [](VjpLowering& v) {
    const Expr x = v.forward["self"] * std::numbers::pi;
    const Expr zero = eq(square(x), 0.0);
    const Expr safe = replace_where(zero, x, 1.0);
    const Expr slope = (safe * cos(safe) - sin(safe)) / square(safe) * std::numbers::pi;
    v.gradients[0] = select(zero, 0.0, v.cotangents[0] * slope);
  };
  return d;
}
const Register kSinc(sinc_definition());

// The derivative from the result needs neither the exponential nor the input again.
Definition sigmoid_definition() {
  Definition d = function("sigmoid(Tensor self) -> Tensor", "1 / (1 + exp(-self)).",
                          [](Lowering& l) { l.result(sigmoid(l["self"])); }, unary_samples,
                          {"special.expit", "nn.functional.sigmoid"});
  d.saves_result = true;
  d.vjp = [](VjpLowering& v) {
    const Expr& s = v.results[0];
    v.gradients[0] = v.cotangents[0] * (s * (1.0 - s));
  };
  return d;
}
const Register kSigmoid(sigmoid_definition());

const Register kLogit({
    .schema = "logit(Tensor self, float? eps=None) -> Tensor",
    .doc = "log(self / (1 - self)); with eps, self is first clamped to [eps, 1 - eps].",
    .variants = {.in_place = true, .out = true, .aliases = {"special.logit"}},
    .promotion = Promotion::ToFloat,
    .lower =
        [](Lowering& l) {
          Expr x = l["self"];
          if (!l.call().is_none("eps")) {
            const Expr low = l["eps"];
            const Expr high = 1.0 - low;
            x = select(lt(x, low), low, select(gt(x, high), high, x));
          }
          l.result(log(x / (1.0 - x)));
        },
    // Infinite at the poles; outside of them there is no function, but a constant with eps.
    .vjp =
        [](VjpLowering& v) {
          const Expr x = v.forward["self"];
          const bool clamps = !v.forward.call().is_none("eps");
          const Expr low = clamps ? v.forward["eps"] : full_like(x, 0.0);
          const Expr outside = logical_or(lt(x, low), gt(x, 1.0 - low));
          const Expr safe = replace_where(outside, x, 0.5);
          const Expr slope = v.cotangents[0] / (safe * (1.0 - safe));
          v.gradients[0] = select(outside, clamps ? 0.0 : NAN, slope);
        },
    .samples = [] { return SampleList{{{t({2, 3}, 0.1, 0.9)}}, {{t({4}, 0.1, 0.9), 0.2}}}; },
});

Definition entr_definition() {
  Definition d =
      function("special_entr(Tensor self) -> Tensor", "-self * log(self), 0 at 0 and -inf below.",
               [](Lowering& l) {
                 const Expr x = l["self"];
                 const Expr value = -x * log(replace_where(le(x, 0.0), x, 1.0));
                 l.result(select(gt(x, 0.0), value,
                                 select(eq(x, 0.0), 0.0, select(is_nan(x), x, -INFINITY))));
               },
               positive_samples, {"special.entr"});
  // Where the value is continued, at 0 and below, the slope is the logarithm's: infinite or NaN.
  d.vjp = [](VjpLowering& v) {
    v.gradients[0] = v.cotangents[0] * (-1.0 - log(v.forward["self"]));
  };
  return d;
}
const Register kEntr(entr_definition());
const Register kNdtr(function("special_ndtr(Tensor self) -> Tensor",
                              "The distribution function of the standard normal.",
                              [](Lowering& l) {
                                l.result(erfc(l["self"] * -std::numbers::sqrt2 * 0.5) * 0.5);
                              },
                              unary_samples, {"special.ndtr"}));
const Register kNdtri(function(
    "special_ndtri(Tensor self) -> Tensor", "The number whose special.ndtr is self.",
    [](Lowering& l) { l.result(erfinv(l["self"] * 2.0 - 1.0) * std::numbers::sqrt2); },
    [] { return unary_samples_in(0.1, 0.9); }, {"special.ndtri"}));

}  // namespace
}  // namespace flambeau::ops
