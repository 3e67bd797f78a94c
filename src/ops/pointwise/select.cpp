// Choices between numbers: where, clamp, maximum, and other functions of two numbers.

#include <array>
#include <cmath>
#include <numbers>

#include "ops/checks.h"
#include "ops/functions.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;
using Aliases = std::vector<std::string>;

void check_condition(const Call& call, Arguments&) {
  const TensorInfo& condition = call.tensor("condition");
  check(is_bool(condition.dtype) || condition.dtype == DType::UInt8, [&] {
    return concat(call.name(),
                  ": expected condition to be a boolean tensor, but got a tensor "
                  "with dtype ",
                  info(condition.dtype).name);
  });
}
const Register kWhere({
    .schema = "where.self(Tensor condition, Tensor self, Tensor other) -> Tensor",
    .doc = "self where condition is true, other elsewhere, broadcast.",
    .variants = {.method = false, .out = true},
    .promotion = Promotion::Promote,
    .numbers = {"self", "other"},
    .fitting = {"self", "other"},
    .unpromoted = {"condition"},
    .canonical = check_condition,
    .lower =
        [](Lowering& l) {
          l.result(select(convert(l["condition"], DType::Bool), l["self"], l["other"]));
        },
    .samples =
        [] {
          return SampleList{{{mask({2, 3}), t({2, 3}), t({3})}},
                            {{mask({2, 1}), t({}), t({1, 3})}},
                            {{mask({3}), t({2, 3}), 0.5}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{{{{typed({2}, DType::Float32, 0, 1), t({2}), t({2})}},
                                           "RuntimeError",
                                           "condition to be a boolean tensor"}};
        },
});
// The method has the condition in the middle.
const Register kWhereMethod({
    .schema = "_where_method(Tensor self, Tensor condition, Tensor other) -> Tensor",
    .doc = "self where condition is true, other elsewhere: Tensor.where.",
    .variants = {.function = false, .method = false, .aliases = {"Tensor.where"}},
    .promotion = Promotion::Promote,
    .numbers = {"other"},
    .fitting = {"other"},
    .unpromoted = {"condition"},
    .canonical = check_condition,
    .lower =
        [](Lowering& l) {
          l.result(select(convert(l["condition"], DType::Bool), l["self"], l["other"]));
        },
    .samples = [] { return SampleList{{{t({2, 3}), mask({2, 3}), t({3})}}}; },
});

const Register kMaskedFill({
    .schema = "masked_fill.Tensor(Tensor self, Tensor mask, Tensor value) -> Tensor",
    .doc = "self with `value` (a number or a 0-dim tensor) where mask is true.",
    .variants = {.function = true, .in_place = true},
    .promotion = Promotion::None,
    .numbers = {"value"},
    .fitting = {"value"},
    .broadcasts = true,
    .canonical =
        [](const Call& call, Arguments&) {
          const DType dtype = call.tensor("mask").dtype;
          check(is_bool(dtype), [&] {
            return concat(call.name(), ": only supports boolean masks, but got mask with dtype ",
                          info(dtype).name);
          });
          const auto* value = std::get_if<const TensorInfo*>(&call["value"]);
          check(value == nullptr || (*value)->dim() == 0, [&] {
            return concat(call.name(),
                          ": only supports a 0-dimensional value tensor, but got "
                          "tensor with ",
                          (*value)->dim(), " dimension(s).");
          });
        },
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& self = call.tensor("self");
          TensorInfo info;
          info.dtype = self.dtype;
          info.sizes = call.broadcast(SmallVector<Ints, 2>{self.sizes, call.tensor("mask").sizes});
          const std::array<const TensorInfo*, 2> inputs{&self, &call.tensor("mask")};
          info.strides = elementwise_strides(inputs, info.sizes, false);
          results.push_back(info);
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          l.result(select(l["mask"], convert(l.number("value"), x.dtype()), x));
        },
    .samples =
        [] {
          return SampleList{{{t({2, 3}), mask({2, 3}), 0.5}},
                            {{t({2, 3}), mask({3}), t({})}},
                            {{t({3}), mask({2, 1}), Scalar(2)}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2}), indices({2}, 2), 1.0}}, "RuntimeError", "only supports boolean masks"}};
        },
});

Definition binary(std::string_view schema, std::string_view doc, void (*lower)(Lowering&),
                  Aliases aliases = {}, SampleList (*samples)() = binary_samples,
                  Promotion promotion = Promotion::Promote, Accepts accepts = Accepts::All) {
  return {.schema = schema,
          .doc = doc,
          .variants = {.in_place = false, .out = true, .aliases = std::move(aliases)},
          .promotion = promotion,
          .accepts = accepts,
          .lower = lower,
          .samples = samples};
}
Definition with_numbers(Definition d, std::vector<std::string_view> numbers, bool in_place) {
  d.numbers = std::move(numbers);
  d.variants.in_place = in_place;
  return d;
}

const Register kMaximum(
    binary("maximum(Tensor self, Tensor other) -> Tensor",
           "The larger of two numbers, NaN if one is NaN; the gradient is shared at ties.",
           [](Lowering& l) { l.result(maximum(l["self"], l["other"])); }));
const Register kMinimum(
    binary("minimum(Tensor self, Tensor other) -> Tensor",
           "The smaller of two numbers, NaN if one is NaN; the gradient is shared at ties.",
           [](Lowering& l) { l.result(minimum(l["self"], l["other"])); }));

Expr nan_of(const Expr& x) {
  return is_float(x.dtype()) ? is_nan(x) : broadcast_to(constant(x, DType::Bool, false), x.shape());
}
const Register kFmax(binary("fmax(Tensor self, Tensor other) -> Tensor",
                            "The larger of two numbers; the number if the other is NaN.",
                            [](Lowering& l) {
                              const Expr a = l["self"];
                              const Expr b = l["other"];
                              l.result(select(logical_or(ge(a, b), nan_of(b)), a, b));
                            }));
const Register kFmin(binary("fmin(Tensor self, Tensor other) -> Tensor",
                            "The smaller of two numbers; the number if the other is NaN.",
                            [](Lowering& l) {
                              const Expr a = l["self"];
                              const Expr b = l["other"];
                              l.result(select(logical_or(le(a, b), nan_of(b)), a, b));
                            }));

/// self between bounds, each of which may be missing; a NaN stays, a NaN bound wins.
void lower_clamp(Lowering& l, const char* min, const char* max) {
  Expr x = l["self"];
  if (min != nullptr && !l.call().is_none(min)) {
    const Expr low = l[min];
    x = select(logical_or(lt(x, low), nan_of(low)), low, x);
  }
  if (max != nullptr && !l.call().is_none(max)) {
    const Expr high = l[max];
    x = select(logical_or(gt(x, high), nan_of(high)), high, x);
  }
  l.result(x);
}
/// PyTorch's: what compares as outside of the bounds, as NaN does, gets nothing, and where the
/// bounds cross, the upper one gets all.
void clamp_vjp(VjpLowering& v, const char* min, const char* max) {
  const Lowering& l = v.forward;
  const Expr x = l["self"];
  const Expr low = min == nullptr ? Expr() : l[min];
  const Expr high = max == nullptr ? Expr() : l[max];
  size_t gradient = 0;
  const auto give = [&](const char* parameter, const Expr& condition) {
    if (std::holds_alternative<const TensorInfo*>(l.call()[parameter]))
      v.gradients[gradient++] = select(condition, v.cotangents[0], 0.0);
  };
  if (!high.valid()) {
    give("self", ge(x, low));
    return give(min, lt(x, low));
  }
  if (!low.valid()) {
    give("self", le(x, high));
    return give(max, gt(x, high));
  }
  give("self", logical_and(ge(x, low), le(x, high)));
  give(min, logical_and(lt(x, low), lt(low, high)));
  give(max, logical_or(gt(x, high), lt(high, low)));
}
const Register kClamp({
    .schema = "clamp(Tensor self, Tensor? min=None, Tensor? max=None) -> Tensor",
    .doc = "min(max(self, min), max): self limited to a range of which one end may be missing.",
    .variants = {.in_place = true, .out = true, .aliases = {"clip", "Tensor.clip"}},
    .promotion = Promotion::Promote,
    .numbers = {"min", "max"},
    .fitting = {"min", "max"},
    .canonical =
        [](const Call& call, Arguments&) {
          check(!call.is_none("min") || !call.is_none("max"), [&] {
            return concat(call.name(), ": At least one of 'min' or 'max' must not be None");
          });
        },
    .lower = [](Lowering& l) { lower_clamp(l, "min", "max"); },
    .vjp = [](VjpLowering& v) { clamp_vjp(v, "min", "max"); },
    .samples =
        [] {
          return SampleList{{{t({2, 3}), -0.5, 0.5}},
                            {{t({2, 3}), Scalar(0)}},
                            {{t({2, 3}), std::monostate(), t({3})}},
                            {{special_values({17}), -1.0, 1.0}}};
        },
    .errors =
        [] { return std::vector<ErrorSample>{{{{t({2})}}, "RuntimeError", "At least one of"}}; },
});
Definition with_bound(Definition d, std::string_view bound) {
  d.fitting = {bound};
  d.vjp = bound == "min" ? +[](VjpLowering& v) { clamp_vjp(v, "min", nullptr); }
                         : +[](VjpLowering& v) { clamp_vjp(v, nullptr, "max"); };
  return with_numbers(std::move(d), {bound}, true);
}
const Register kClampMin(with_bound(binary("clamp_min(Tensor self, Tensor min) -> Tensor",
                                           "max(self, min).",
                                           [](Lowering& l) { lower_clamp(l, "min", nullptr); }),
                                    "min"));
const Register kClampMax(with_bound(binary("clamp_max(Tensor self, Tensor max) -> Tensor",
                                           "min(self, max).",
                                           [](Lowering& l) { lower_clamp(l, nullptr, "max"); }),
                                    "max"));

// ---- functions of two numbers -----------------------------------------------------------------
const Register kAtan2(with_numbers(binary(
                                       "atan2(Tensor self, Tensor other) -> Tensor",
                                       "The angle of the point (other, self), in (-pi, pi].",
                                       [](Lowering& l) { l.result(atan2(l["self"], l["other"])); },
                                       {"arctan2", "Tensor.arctan2"}, positive_binary_samples,
                                       Promotion::ToFloat),
                                   {}, true));
const Register kHypot(with_numbers(binary(
                                       "hypot(Tensor self, Tensor other) -> Tensor",
                                       "sqrt(self^2 + other^2) without overflow in between.",
                                       [](Lowering& l) {
                                         const Expr a = abs(l["self"]);
                                         const Expr b = abs(l["other"]);
                                         const Expr big = stop_gradient(maximum(a, b));
                                         // Infinite whatever the other is, as C's.
                                         const Expr infinite =
                                             logical_or(eq(a, INFINITY), eq(b, INFINITY));
                                         const Expr plain = logical_or(eq(big, 0.0), infinite);
                                         const Expr scale = replace_where(plain, big, 1.0);
                                         const Expr sum = square(a / scale) + square(b / scale);
                                         l.result(select(infinite, INFINITY, scale * sqrt(sum)));
                                       },
                                       {}, positive_binary_samples, Promotion::Promote,
                                       Accepts::Floats),
                                   {}, true));
const Register kCopysign(
    with_numbers(binary(
                     "copysign.Tensor(Tensor self, Tensor other) -> Tensor",
                     "The magnitude of self with the sign of other.",
                     [](Lowering& l) {
                       const Expr a = l["self"];
                       const Expr b = l["other"];
                       const DType bits = b.dtype() == DType::Float64 ? DType::Int64 : DType::Int32;
                       const Expr flip = ne(lt(bitcast(a, bits), 0.0), lt(bitcast(b, bits), 0.0));
                       // At 0 there is no slope to give a sign to.
                       const Expr negated = select(eq(a, 0.0), stop_gradient(-a), -a);
                       const Expr kept = select(eq(a, 0.0), stop_gradient(a), a);
                       l.result(select(flip, negated, kept));
                     },
                     {}, binary_samples, Promotion::ToFloat),
                 {"other"}, true));

using Function = Expr (*)(const Expr&);
/// The gradient of the logarithm of kExp(self) + kExp(other): that of the quotients would be
/// inf / inf at infinity.
template <Function kExp>
void log_add_exp_vjp(VjpLowering& v) {
  const Expr difference = v.forward["other"] - v.forward["self"];
  v.gradients[0] = v.cotangents[0] / (kExp(difference) + 1.0);
  v.gradients[1] = v.cotangents[0] / (kExp(-difference) + 1.0);
}
Definition logaddexp_definition() {
  Definition d = binary(
      "logaddexp(Tensor self, Tensor other) -> Tensor",
      "log(exp(self) + exp(other)), computed without overflow.",
      [](Lowering& l) { l.result(log_add_exp(l["self"], l["other"])); }, {}, binary_samples,
      Promotion::Promote, Accepts::Inexact);
  d.vjp = log_add_exp_vjp<exp>;
  return d;
}
const Register kLogaddexp(logaddexp_definition());
Definition logaddexp2_definition() {
  Definition d = binary(
      "logaddexp2(Tensor self, Tensor other) -> Tensor",
      "log2(2^self + 2^other), computed without overflow.",
      [](Lowering& l) {
        const double ln2 = std::numbers::ln2;
        l.result(log_add_exp(l["self"] * ln2, l["other"] * ln2) / ln2);
      },
      {}, binary_samples, Promotion::Promote, Accepts::Floats);
  d.vjp = log_add_exp_vjp<exp2>;
  return d;
}
const Register kLogaddexp2(logaddexp2_definition());

/// a * fn(b), 0 where a is 0 and b no NaN.
template <Function kLog>
Expr times_log(const Expr& a, const Expr& b) {
  const Expr zero = logical_and(eq(a, 0.0), logical_not(is_nan(b)));
  return select(zero, 0.0, a * kLog(replace_where(zero, b, 1.0)));
}
/// The product's rule would give 0 times the logarithm's pole: where a is 0 and b not in the
/// logarithm's domain, a has the slope 0.
template <Function kLog, int kPole>
void times_log_vjp(VjpLowering& v) {
  const Expr a = v.forward["self"];
  const Expr b = v.forward["other"];
  const double pole = kPole;
  size_t gradient = 0;
  const auto is_tensor = [&](const char* parameter) {
    return std::holds_alternative<const TensorInfo*>(v.forward.call()[parameter]);
  };
  if (is_tensor("self")) {
    const Expr outside = logical_and(eq(a, 0.0), le(b, pole));
    v.gradients[gradient++] =
        select(outside, 0.0, times_log<kLog>(v.cotangents[0], replace_where(outside, b, 1.0)));
  }
  if (is_tensor("other")) v.gradients[gradient] = v.cotangents[0] * a / (b - pole);
}
template <Function kLog, int kPole>
Definition times_log_definition(std::string_view schema, std::string_view doc, std::string alias,
                                bool in_place) {
  Definition d = with_numbers(
      binary(
          schema, doc, [](Lowering& l) { l.result(times_log<kLog>(l["self"], l["other"])); },
          {std::move(alias)}, positive_binary_samples, Promotion::ToFloat),
      {"self", "other"}, in_place);
  d.vjp = times_log_vjp<kLog, kPole>;
  return d;
}
const Register kXlogy(
    times_log_definition<log, 0>("xlogy.Tensor(Tensor self, Tensor other) -> Tensor",
                                 "self * log(other), 0 where self is 0.", "special.xlogy", true));
const Register kXlog1py(times_log_definition<log1p, -1>(
    "special_xlog1py(Tensor self, Tensor other) -> Tensor",
    "self * log(1 + other), 0 where self is 0.", "special.xlog1py", false));
/// PyTorch has no derivative of these, and says so in a backward through them.
Definition without_gradient(Definition d, std::vector<std::string_view> parameters) {
  d.differentiable = false;
  d.missing_gradients = std::move(parameters);
  return d;
}
const Register kHeaviside(without_gradient(
    with_numbers(binary("heaviside(Tensor self, Tensor values) -> Tensor",
                        "1 where self is positive, values where it is 0, else 0.",
                        [](Lowering& l) {
                          const Expr x = l["self"];
                          const Expr step = select(gt(x, 0.0), full_like(x, 1.0), 0.0);
                          l.result(select(eq(x, 0.0), l["values"], step));
                        }),
                 {}, true),
    {"self", "values"}));
const Register kLdexp(with_numbers(binary(
                                       "ldexp.Tensor(Tensor self, Tensor other) -> Tensor",
                                       "self * 2^other.",
                                       [](Lowering& l) { l.result(l["self"] * exp2(l["other"])); },
                                       {}, binary_samples, Promotion::ToFloat),
                                   {}, true));

/// The neighbour of a towards b, by its bits taken as an integer.
Expr next_after(const Expr& a, const Expr& b) {
  const DType bits_type = a.dtype() == DType::Float64 ? DType::Int64 : DType::Int32;
  const Expr bits = bitcast(a, bits_type);
  const Expr one = full_like(bits, 1.0);
  const Expr away = select(gt(a, 0.0), gt(b, a), lt(b, a));
  const Expr moved = bitcast(select(away, bits + one, bits - one), a.dtype());
  const Expr tiny = bitcast(one, a.dtype());
  const Expr from_zero = select(gt(b, 0.0), tiny, -tiny);
  const Expr step = select(eq(a, 0.0), from_zero, moved);
  return select(is_nan(a), a, select(is_nan(b), b, select(eq(a, b), b, step)));
}
Definition nextafter_definition() {
  Definition d = binary(
      "nextafter(Tensor self, Tensor other) -> Tensor",
      "The next representable number after self towards other.",
      [](Lowering& l) {
        const Expr b = l["other"];
        const Expr a = l["self"];
        const Shape shape = (a + b).shape();
        l.result(next_after(broadcast_to(a, shape), broadcast_to(b, shape)));
      },
      {}, binary_samples, Promotion::Promote, Accepts::Floats);
  d.variants.in_place = true;
  return without_gradient(std::move(d), {"self", "other"});
}
const Register kNextafter(nextafter_definition());

}  // namespace
}  // namespace flambeau::ops
