// Signs and rounding: functions of one number in its own dtype.

#include <array>
#include <cmath>

#include "ops/functions.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;
using Aliases = std::vector<std::string>;

Definition function(std::string_view schema, std::string_view doc, void (*lower)(Lowering&),
                    Accepts accepts = Accepts::NumbersNoBool, Aliases aliases = {}) {
  return {.schema = schema,
          .doc = doc,
          .variants = {.in_place = true, .out = true, .aliases = std::move(aliases)},
          .promotion = Promotion::Promote,
          .accepts = accepts,
          .lower = lower,
          .samples = accepts != Accepts::NumbersNoBool ? unary_samples : [] {
            SampleList list = unary_samples();
            list.push_back({{indices({4}, 9)}});
            return list;
          }};
}

Definition abs_definition() {
  Definition d =
      function("abs(Tensor self) -> Tensor", "The absolute value; of complex numbers a real one.",
               [](Lowering& l) { l.result(abs(l["self"])); }, Accepts::NumbersNoBool,
               {"absolute", "Tensor.absolute", "Tensor.__abs__"});
  d.real_result = true;
  return d;
}
const Register kAbs(abs_definition());

Definition neg_definition() {
  Definition d =
      function("neg(Tensor self) -> Tensor", "-self.", [](Lowering& l) { l.result(-l["self"]); },
               Accepts::All, {"negative", "Tensor.negative", "Tensor.__neg__"});
  d.canonical = [](const Call& call, Arguments&) {
    check(!is_bool(call.tensor("self").dtype), [&] {
      return concat(call.name(),
                    ": Negation, the `-` operator, on a bool tensor is not supported. If you are "
                    "trying to invert a mask, use the `~` or `logical_not()` operator instead.");
    });
  };
  d.errors = [] {
    return std::vector<ErrorSample>{{{{mask({2})}}, "RuntimeError", "on a bool tensor"}};
  };
  return d;
}
const Register kNeg(neg_definition());

/// A step function has slope 0, which is a gradient and not none.
Definition step_function(std::string_view schema, std::string_view doc) {
  Definition d =
      function(schema, doc, [](Lowering& l) { l.result(sign(l["self"])); }, Accepts::All);
  d.vjp = [](VjpLowering& v) { v.gradients[0] = full_like(v.cotangents[0], 0.0); };
  return d;
}
Definition sign_definition() {
  Definition d = step_function("sign(Tensor self) -> Tensor", "-1, 0 or 1; 0 for NaN.");
  d.canonical = [](const Call& call, Arguments&) {
    check(!is_complex(call.tensor("self").dtype), [&] {
      return concat(call.name(),
                    ": Unlike NumPy, torch.sign is not intended to support complex numbers. Please "
                    "use torch.sgn instead.");
    });
  };
  return d;
}
const Register kSign(sign_definition());
/// The point of the unit circle in the direction of a complex x; 0 at 0.
Expr direction(const Expr& x) {
  const Expr size = abs(x);
  const Expr zero = eq(size, 0.0);
  const Expr safe = replace_where(zero, size, 1.0);
  return complex(replace_where(zero, real(x) / safe, 0.0),
                 replace_where(zero, imag(x) / safe, 0.0));
}
const Register kSgn(function(
    "sgn(Tensor self) -> Tensor", "self / |self|, 0 at 0: the sign of a real number.",
    [](Lowering& l) {
      const Expr x = l["self"];
      // A step has slope 0, which is a gradient and not none.
      const Expr never = broadcast_to(constant(x, DType::Bool, false), x.shape());
      l.result(is_complex(x.dtype()) ? direction(x) : select(never, x, sign(x)));
    },
    Accepts::All));
const Register kSquare({
    .schema = "square(Tensor self) -> Tensor",
    .doc = "self * self; bool becomes int64.",
    .variants = {.in_place = true, .out = true},
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& self = call.tensor("self");
          results.push_back({is_bool(self.dtype) ? DType::Int64 : self.dtype, self.sizes, {}});
        },
    .strides =
        [](const Call& call, ResultInfos& results) {
          const std::array<const TensorInfo*, 1> inputs{&call.tensor("self")};
          results[0].strides = elementwise_strides(inputs, results[0].sizes, false);
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          l.result(is_bool(x.dtype()) ? convert(x, DType::Int64) : x * x);
        },
    .samples = unary_samples,
});

/// Rounding keeps integers as they are.
template <class Fn>
void round_with(Lowering& l, const Fn& fn) {
  const Expr x = l["self"];
  l.result(is_inexact(x.dtype()) ? fn(x) : x);
}
const Register kFloor(function("floor(Tensor self) -> Tensor", "The largest integer <= self.",
                               [](Lowering& l) {
                                 round_with(l, [](const Expr& x) { return floor(x); });
                               }));
const Register kCeil(function("ceil(Tensor self) -> Tensor", "The smallest integer >= self.",
                              [](Lowering& l) {
                                round_with(l, [](const Expr& x) { return ceil(x); });
                              }));
const Register kTrunc(function("trunc(Tensor self) -> Tensor", "The integer part.",
                               [](Lowering& l) {
                                 round_with(l, [](const Expr& x) { return trunc(x); });
                               },
                               Accepts::NumbersNoBool, {"fix", "Tensor.fix"}));
const Register kFrac(function(
    "frac(Tensor self) -> Tensor", "self - trunc(self).",
    [](Lowering& l) {
      const Expr x = l["self"];
      l.result(x - trunc(x));
    },
    Accepts::Floats));
const Register kRound(
    function("round(Tensor self) -> Tensor", "The nearest integer, the even one of two.",
             [](Lowering& l) { round_with(l, [](const Expr& x) { return round(x); }); },
             Accepts::NumbersNoBool, {"special.round"}));
const Register kRoundDecimals({
    .schema = "round.decimals(Tensor self, *, int decimals) -> Tensor",
    .doc = "The nearest multiple of 10^-decimals.",
    .variants = {.in_place = true, .out = true, .aliases = {"special.round"}},
    .promotion = Promotion::Promote,
    .accepts = Accepts::Floats,
    .lower =
        [](Lowering& l) {
          const int64_t decimals = l.call().integer("decimals");
          const double ten = std::pow(10.0, static_cast<double>(std::abs(decimals)));
          const Expr x = l["self"];
          if (decimals == 0) return l.result(round(x));
          l.result(decimals > 0 ? round(x * ten) / ten : round(x / ten) * ten);
        },
    .samples =
        [] {
          return SampleList{{{t({2, 3})}, {{"decimals", Scalar(2)}}},
                            {{t({5}, -200, 200)}, {{"decimals", Scalar(-1)}}},
                            {{t({5})}, {{"decimals", Scalar(0)}}}};
        },
});
const Register kPositive({
    .schema = "positive(Tensor(a) self) -> Tensor(a)",
    .doc = "self itself; refused for bool.",
    .variants = {.aliases = {"Tensor.__pos__"}},
    .returns = Returns::View,
    .canonical =
        [](const Call& call, Arguments&) {
          check(!is_bool(call.tensor("self").dtype), [&] {
            return concat(call.name(), ": The `+` operator, on a bool tensor is not supported.");
          });
        },
    .shape = [](const Call& call, ResultInfos& results) { results.push_back(call.tensor("self")); },
    .lower = [](Lowering& l) { l.result(l["self"]); },
    .samples = [] { return SampleList{{{t({2, 3})}}}; },
});

const Register kNanToNum({
    .schema = "nan_to_num(Tensor self, float? nan=None, float? posinf=None, float? neginf=None) "
              "-> Tensor",
    .doc = "NaN and the infinities replaced: by 0 and the largest and smallest finite numbers of "
           "the dtype where nothing is given.",
    .variants = {.in_place = true, .out = true},
    .promotion = Promotion::Promote,
    .lower =
        [](Lowering& l) {
          const Expr self = l["self"];
          if (!is_inexact(self.dtype())) return l.result(self);
          const DType dtype = real_dtype(l.common());
          const double largest = dtype == DType::Float64    ? 1.7976931348623157e308
                                 : dtype == DType::BFloat16 ? 3.3895313892515355e38
                                 : dtype == DType::Float16  ? 65504.0
                                                            : 3.4028234663852886e38;
          const auto finite = [&](const Expr& x) {
            const auto given = [&](const char* name, double otherwise) {
              return l.call().is_none(name)
                         ? full_like(x, otherwise)
                         : broadcast_to(convert(l.number(name), x.dtype()), x.shape());
            };
            const Expr infinite = select(eq(x, INFINITY), given("posinf", largest),
                                         select(eq(x, -INFINITY), given("neginf", -largest), x));
            return select(is_nan(x), given("nan", 0.0), infinite);
          };
          l.result(is_complex(self.dtype()) ? complex(finite(real(self)), finite(imag(self)))
                                            : finite(self));
        },
    .samples =
        [] {
          return SampleList{
              {{t({2, 3})}}, {{special_values({17})}}, {{special_values({17}), 1.0, 2.0, -2.0}}};
        },
});

}  // namespace
}  // namespace flambeau::ops
