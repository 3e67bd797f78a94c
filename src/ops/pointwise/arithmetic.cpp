// Sums, products, quotients, powers.

#include <cmath>
#include <optional>

#include "ops/checks.h"
#include "ops/definition.h"
#include "ops/derived_gradients.h"
#include "ops/functions.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

void check_alpha(const Call& call, Arguments&) {
  const Scalar alpha = call.number("alpha");
  const DType common = common_dtype(call);
  check(alpha.category() != DTypeCategory::Bool || is_bool(common),
        [&] { return concat(call.name(), ": Boolean alpha only supported for Boolean results."); });
  check(is_inexact(common) || !alpha.is_float(), [&] {
    return concat(call.name(),
                  ": For integral input tensors, argument alpha must not be a floating point "
                  "number.");
  });
}

void refuse_bools(const Call& call, Arguments& arguments) {
  for (const char* name : {"self", "other"}) {
    const Argument& operand = call[name];
    const auto* tensor = std::get_if<const TensorInfo*>(&operand);
    const bool is_boolean = tensor != nullptr
                                ? is_bool((*tensor)->dtype)
                                : std::get<Scalar>(operand).category() == DTypeCategory::Bool;
    check(!is_boolean, [&] {
      return concat(call.name(), ": Subtraction, the `-` operator, with ",
                    is_bool(common_dtype(call)) ? "two bool tensors" : "a bool tensor",
                    " is not supported. Use the `^` or `logical_xor()` operator, or `~` or "
                    "`logical_not()` of a mask, instead.");
    });
  }
  check_alpha(call, arguments);
}

Expr scaled_by_alpha(Lowering& l, std::string_view parameter) {
  const Scalar alpha = l.call().number("alpha");
  return l.call().definition().is_special("alpha", alpha) ? l[parameter]
                                                          : l[parameter] * l["alpha"];
}

SampleList alpha_samples() {
  SampleList list = binary_samples();
  list.push_back({{t({2, 3}), t({3})}, {{"alpha", Scalar(2)}}});
  list.push_back({{t({2, 3}), Scalar(3)}, {}});
  return list;
}

const Register kAdd({
    .schema = "add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor",
    .doc = "self + alpha * other, broadcast.",
    .variants = {.in_place = true,
                 .out = true,
                 .aliases = {"Tensor.__add__", "Tensor.__radd__", "Tensor.__iadd__"}},
    .promotion = Promotion::Promote,
    .numbers = {"self", "other"},
    .fitting = {"alpha"},
    .numbers_alone = true,
    .canonical = check_alpha,
    .lower = [](Lowering& l) { l.result(l["self"] + scaled_by_alpha(l, "other")); },
    .special = {{"alpha", {1}}},
    .samples = alpha_samples,
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2, 3}), t({4})}}, "RuntimeError", "must match the size of tensor b (4)"}};
        },
});
const Register kSub({
    .schema = "sub.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor",
    .doc = "self - alpha * other, broadcast.",
    .variants = {.in_place = true,
                 .out = true,
                 .aliases = {"subtract", "Tensor.subtract", "Tensor.__sub__", "Tensor.__isub__"}},
    .promotion = Promotion::Promote,
    .numbers = {"self", "other"},
    .fitting = {"alpha"},
    .numbers_alone = true,
    .canonical = refuse_bools,
    .lower = [](Lowering& l) { l.result(l["self"] - scaled_by_alpha(l, "other")); },
    .special = {{"alpha", {1}}},
    .samples = alpha_samples,
    .errors =
        [] {
          return std::vector<ErrorSample>{{{{mask({2}), mask({2})}}, "RuntimeError", "two bool"}};
        },
});
const Register kRsub({
    .schema = "rsub.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor",
    .doc = "other - alpha * self, broadcast.",
    .variants = {.method = false, .aliases = {"Tensor.__rsub__"}},
    .promotion = Promotion::Promote,
    .numbers = {"other"},
    .fitting = {"alpha"},
    .canonical = refuse_bools,
    .lower = [](Lowering& l) { l.result(l["other"] - scaled_by_alpha(l, "self")); },
    .special = {{"alpha", {1}}},
    .samples = alpha_samples,
});
const Register kMul({
    .schema = "mul.Tensor(Tensor self, Tensor other) -> Tensor",
    .doc = "self * other, broadcast.",
    .variants = {.in_place = true,
                 .out = true,
                 .aliases = {"multiply", "Tensor.multiply", "Tensor.__mul__", "Tensor.__rmul__",
                             "Tensor.__imul__"}},
    .promotion = Promotion::Promote,
    .numbers = {"self", "other"},
    .numbers_alone = true,
    .lower = [](Lowering& l) { l.result(l["self"] * l["other"]); },
    .samples = binary_samples,
});

void check_mode(const Call& call, Arguments&) {
  const Argument& mode = call["rounding_mode"];
  const bool known = call.is_none("rounding_mode") || std::get<std::string>(mode) == "trunc" ||
                     std::get<std::string>(mode) == "floor";
  check(known, [&] {
    return concat(call.name(),
                  ": expected rounding_mode to be one of None, 'trunc', or 'floor' but found '",
                  std::get<std::string>(mode), "'");
  });
}

// Before the overload without a mode, which every call fits that gives none.
const Register kDivMode({
    .schema = "div.Tensor_mode(Tensor self, Tensor other, *, str rounding_mode) -> Tensor",
    .doc =
        "self / other rounded towards zero (\"trunc\") or down (\"floor\"), in the common dtype.",
    .variants = {.in_place = true, .out = true, .aliases = {"divide", "Tensor.divide"}},
    .promotion = Promotion::Promote,
    .accepts = Accepts::NumbersNoBool,
    .numbers = {"self", "other"},
    .numbers_alone = true,
    .canonical = check_mode,
    .lower =
        [](Lowering& l) {
          const Expr a = l["self"];
          const Expr b = l["other"];
          if (l.call().string("rounding_mode") == "floor") return l.result(floor_divide(a, b));
          // Of halves the quotient is rounded before it is truncated, as PyTorch has it.
          l.result(is_float(a.dtype()) ? trunc(convert(convert(a / b, l.common()), a.dtype()))
                                       : a / b);
        },
    .checks = check_divisor,
    .samples =
        [] {
          return SampleList{
              {{t({2, 3}), t({2, 3}, 0.5, 2)}, {{"rounding_mode", std::string("floor")}}},
              {{t({2, 3}), t({3}, 0.5, 2)}, {{"rounding_mode", std::string("trunc")}}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2}), t({2})}, {{"rounding_mode", std::string("up")}}},
               "RuntimeError",
               "but found 'up'"}};
        },
});
const Register kDiv({
    .schema = "div.Tensor(Tensor self, Tensor other, *, str? rounding_mode=None) -> Tensor",
    .doc = "self / other, broadcast; integers become floats.",
    .variants = {.in_place = true,
                 .out = true,
                 .aliases = {"divide", "true_divide", "Tensor.divide", "Tensor.true_divide",
                             "Tensor.__truediv__", "Tensor.__itruediv__"}},
    .promotion = Promotion::ToFloat,
    .numbers = {"self", "other"},
    .numbers_alone = true,
    .canonical = check_mode,
    .lower = [](Lowering& l) { l.result(l["self"] / l["other"]); },
    .samples =
        [] {
          SampleList list = positive_binary_samples();
          list.push_back({{special_values({17}), special_values({17})}});
          return list;
        },
});
const Register kRdiv({
    .schema = "__rdiv__(Tensor self, Tensor other) -> Tensor",
    .doc = "other / self, what Python calls for `other / self` when other is a number.",
    .variants = {.function = false, .aliases = {"Tensor.__rtruediv__"}},
    .promotion = Promotion::ToFloat,
    .numbers = {"other"},
    .lower = [](Lowering& l) { l.result(l["other"] / l["self"]); },
    .samples = positive_binary_samples,
});
const Register kFloorDivide({
    .schema = "floor_divide(Tensor self, Tensor other) -> Tensor",
    .doc = "floor(self / other) in the common dtype.",
    .variants = {.in_place = true,
                 .out = true,
                 .aliases = {"Tensor.__floordiv__", "Tensor.__ifloordiv__"}},
    .promotion = Promotion::Promote,
    .accepts = Accepts::NumbersNoBool,
    .numbers = {"self", "other"},
    .numbers_alone = true,
    .lower = [](Lowering& l) { l.result(floor_divide(l["self"], l["other"])); },
    .checks = check_divisor,
    .differentiable = false,
    .missing_gradients = {"self", "other"},
    .samples = positive_binary_samples,
});
const Register kRfloordiv({
    .schema = "__rfloordiv__(Tensor self, Tensor other) -> Tensor",
    .doc = "floor(other / self).",
    .variants = {.function = false},
    .promotion = Promotion::Promote,
    .accepts = Accepts::NumbersNoBool,
    .numbers = {"other"},
    .lower = [](Lowering& l) { l.result(floor_divide(l["other"], l["self"])); },
    .differentiable = false,
    .missing_gradients = {"self", "other"},
    .samples = positive_binary_samples,
});
const Register kFmod({
    .schema = "fmod.Tensor(Tensor self, Tensor other) -> Tensor",
    .doc = "The remainder of self / other with the sign of self (C's).",
    .variants = {.in_place = true, .out = true},
    .promotion = Promotion::Promote,
    .accepts = Accepts::NumbersNoBool,
    .numbers = {"other"},
    .lower = [](Lowering& l) { l.result(remainder(l["self"], l["other"])); },
    .checks = check_divisor,
    .samples = positive_binary_samples,
});
const Register kRemainder({
    .schema = "remainder.Tensor(Tensor self, Tensor other) -> Tensor",
    .doc = "The remainder of self / other with the sign of other (Python's).",
    .variants = {.in_place = true, .out = true, .aliases = {"Tensor.__mod__", "Tensor.__imod__"}},
    .promotion = Promotion::Promote,
    .accepts = Accepts::NumbersNoBool,
    .numbers = {"self", "other"},
    .lower = [](Lowering& l) { l.result(modulo(l["self"], l["other"])); },
    .checks = check_divisor,
    .samples = positive_binary_samples,
});
const Register kRmod({
    .schema = "__rmod__(Tensor self, Tensor other) -> Tensor",
    .doc = "remainder(other, self).",
    .variants = {.function = false},
    .promotion = Promotion::Promote,
    .accepts = Accepts::NumbersNoBool,
    .numbers = {"other"},
    .lower = [](Lowering& l) { l.result(modulo(l["other"], l["self"])); },
    .samples = positive_binary_samples,
});

Expr integer_power(const Expr& given_base, const Expr& given_exponent) {
  const Shape shape = (given_base + given_exponent).shape();
  const Expr base = broadcast_to(given_base, shape);
  const Expr exponent = broadcast_to(given_exponent, shape);
  // Squaring, one bit of the exponent at a time; products wrap. Bits above the sixth matter only
  // to odd bases, whose powers repeat.
  const Expr one = full_like(base, 1.0);
  Expr result = one;
  Expr square_power = base;
  Expr rest = exponent;
  constexpr int kBits = 62;
  for (int bit = 0; bit < kBits; ++bit) {
    const Expr odd = ne(logical_and(rest, full_like(rest, 1.0)), 0.0);
    result = result * select(odd, square_power, one);
    square_power = square_power * square_power;
    rest = shift_right(rest, full_like(rest, 1.0));
  }
  // 1 / base truncated: only 1 and -1 have an inverse.
  const Expr parity = ne(logical_and(exponent, full_like(exponent, 1.0)), 0.0);
  const Expr inverse =
      select(eq(base, 1.0), one, select(eq(base, -1.0), select(parity, -one, one), 0.0));
  return select(lt(exponent, 0.0), inverse, result);
}

/// The exponent if the program is for it alone.
std::optional<double> special_exponent(const Call& call, std::string_view exponent_name) {
  const auto* number = std::get_if<Scalar>(&call[exponent_name]);
  if (number == nullptr || !call.definition().is_special(exponent_name, *number)) return {};
  return number->to_double();
}
/// Small whole exponents and halves are products and roots; so is their gradient. Invalid for
/// others.
Expr special_power(Lowering& l, const Expr& base, std::string_view exponent_name) {
  const std::optional<double> e = special_exponent(l.call(), exponent_name);
  if (!e) return {};
  if (e == 0) return full_like(base, 1.0);
  if (e == 1) return base;
  if (e == 2) return base * base;
  if (e == 3) return base * base * base;
  if (e == 0.5) return sqrt(base);
  if (e == -0.5) return 1.0 / sqrt(base);
  if (e == -1) return 1.0 / base;
  return 1.0 / (base * base);
}
/// The quotients' rules would give NaN at 0 and infinity to the base of an inverse square, and at
/// -infinity to that of an inverse root.
void power_vjp(VjpLowering& v) {
  const std::optional<double> e = special_exponent(v.forward.call(), "exponent");
  std::vector<Expr> operands;
  for (const char* name : {"self", "exponent"})
    if (std::holds_alternative<const TensorInfo*>(v.forward.call()[name]))
      operands.push_back(v.forward[name]);
  if (e != -2 && e != -0.5) {
    v.gradients = derived_gradients(v, operands);
    return;
  }
  const Expr base = convert(operands[0], v.results[0].dtype());
  v.gradients[0] = v.cotangents[0] * (pow(base, full_like(base, *e - 1)) * *e);
}
Expr power(Lowering& l, std::string_view base_name, std::string_view exponent_name) {
  const Expr base = l[base_name];
  if (const Expr result = special_power(l, base, exponent_name); result.valid()) return result;
  return is_inexact(base.dtype()) ? pow(base, l[exponent_name])
                                  : integer_power(base, l[exponent_name]);
}

void check_exponent(const Call& call, Arguments& arguments) {
  if (is_inexact(common_dtype(call))) return;
  const auto* exponent = std::get_if<Scalar>(&call["exponent"]);
  check(exponent == nullptr || exponent->to_double() >= 0, [&] {
    return concat(call.name(), ": Integers to negative integer powers are not allowed.");
  });
  (void)arguments;
}

const std::vector<double> kSpecialExponents = {0, 1, 2, 3, 0.5, -0.5, -1, -2};

const Register kPow({
    .schema = "pow.Tensor_Tensor(Tensor self, Tensor exponent) -> Tensor",
    .doc = "self to the power of exponent, broadcast.",
    .variants = {.in_place = true, .out = true, .aliases = {"Tensor.__pow__", "Tensor.__ipow__"}},
    .promotion = Promotion::Promote,
    .accepts = Accepts::NumbersNoBool,
    .numbers = {"exponent"},
    .canonical = check_exponent,
    .lower = [](Lowering& l) { l.result(power(l, "self", "exponent")); },
    .vjp = power_vjp,
    .special = {{"exponent", kSpecialExponents}},
    .samples =
        [] {
          SampleList list = positive_binary_samples();
          for (const double e : kSpecialExponents) list.push_back({{t({2, 3}, 0.5, 2), e}});
          list.push_back({{t({2, 3}, 0.5, 2), 1.7}});
          list.push_back({{special_values({17}), Scalar(2)}});
          return list;
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{indices({3}, 4), Scalar(-1)}}, "RuntimeError", "negative integer powers"}};
        },
});
const Register kPowScalar({
    .schema = "pow.Scalar(Scalar self, Tensor exponent) -> Tensor",
    .doc = "The number self to the power of exponent.",
    .variants = {.method = false, .out = true},
    .promotion = Promotion::Promote,
    .accepts = Accepts::NumbersNoBool,
    .numbers = {"self"},
    .lower =
        [](Lowering& l) {
          const Expr base = l["self"];
          const Expr exponent = l["exponent"];
          l.result(is_inexact(base.dtype()) ? pow(base, exponent) : integer_power(base, exponent));
        },
    .samples = [] { return SampleList{{{1.5, t({2, 3})}}}; },
});
const Register kRpow({
    .schema = "__rpow__(Tensor self, Tensor other) -> Tensor",
    .doc = "other to the power of self.",
    .variants = {.function = false},
    .promotion = Promotion::Promote,
    .accepts = Accepts::NumbersNoBool,
    .numbers = {"other"},
    .lower =
        [](Lowering& l) {
          const Expr base = l["other"];
          const Expr exponent = l["self"];
          l.result(is_inexact(base.dtype()) ? pow(base, exponent) : integer_power(base, exponent));
        },
    .samples = positive_binary_samples,
});
/// Float64, or complex128 if an operand is complex.
DType widest_power(const Call& call) {
  for (const char* name : {"self", "exponent"}) {
    const Argument& operand = call[name];
    const auto* tensor = std::get_if<const TensorInfo*>(&operand);
    if (tensor != nullptr ? is_complex((*tensor)->dtype) : std::get<Scalar>(operand).is_complex())
      return DType::Complex128;
  }
  return DType::Float64;
}
const Register kFloatPower({
    .schema = "float_power.Tensor_Tensor(Tensor self, Tensor exponent) -> Tensor",
    .doc = "self to the power of exponent in float64.",
    .variants = {.in_place = true, .out = true},
    .numbers = {"self", "exponent"},
    .broadcasts = true,
    .shape =
        [](const Call& call, ResultInfos& results) {
          TensorInfo info;
          info.dtype = widest_power(call);
          SmallVector<Ints, 2> shapes;
          for (const char* name : {"self", "exponent"})
            if (const auto* tensor = std::get_if<const TensorInfo*>(&call[name]))
              shapes.push_back((*tensor)->sizes);
          info.sizes = call.broadcast(shapes);
          results.push_back(info);
        },
    .lower =
        [](Lowering& l) {
          const DType dtype = widest_power(l.call());
          const Expr base = convert(l.number("self"), dtype);
          const Expr result = special_power(l, base, "exponent");
          l.result(result.valid() ? result : pow(base, convert(l.number("exponent"), dtype)));
        },
    .special = {{"exponent", kSpecialExponents}},
    .samples =
        [] {
          SampleList list = positive_binary_samples();
          for (const double e : kSpecialExponents) list.push_back({{t({2, 3}, 0.5, 2), e}});
          return list;
        },
});

// Ternary forms with a factor.
const Register kAddcmul({
    .schema = "addcmul(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor",
    .doc = "self + value * tensor1 * tensor2, broadcast.",
    .variants = {.in_place = true, .out = true},
    .promotion = Promotion::Promote,
    .fitting = {"value"},
    .lower = [](Lowering& l) { l.result(l["self"] + l["value"] * l["tensor1"] * l["tensor2"]); },
    .samples =
        [] {
          return SampleList{{{t({2, 3}), t({3}), t({2, 1})}},
                            {{t({2, 3}), t({2, 3}), t({2, 3})}, {{"value", 0.5}}}};
        },
});
const Register kAddcdiv({
    .schema = "addcdiv(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor",
    .doc = "self + value * tensor1 / tensor2, broadcast.",
    .variants = {.in_place = true, .out = true},
    .promotion = Promotion::Promote,
    .fitting = {"value"},
    .canonical =
        [](const Call& call, Arguments&) {
          check(is_inexact(common_dtype(call)), [&] {
            return concat(call.name(), ": Integer division with addcdiv is not supported; got ",
                          info(common_dtype(call)).name, " tensors");
          });
        },
    .lower = [](Lowering& l) { l.result(l["self"] + l["value"] * (l["tensor1"] / l["tensor2"])); },
    .samples =
        [] {
          return SampleList{{{t({2, 3}), t({3}), t({2, 1}, 0.5, 2)}},
                            {{t({2, 3}), t({2, 3}), t({2, 3}, 0.5, 2)}, {{"value", 0.5}}}};
        },
});
const Register kLerp({
    .schema = "lerp.Tensor(Tensor self, Tensor end, Tensor weight) -> Tensor",
    .doc = "self + weight * (end - self), taken from the nearer end.",
    .variants = {.in_place = true, .out = true},
    .promotion = Promotion::Promote,
    .accepts = Accepts::Inexact,
    .numbers = {"weight"},
    .canonical =
        [](const Call& call, Arguments&) {
          const DType start = call.tensor("self").dtype;
          const DType end = call.tensor("end").dtype;
          check(start == end, [&] {
            return concat(call.name(), ": expected dtype ", info(start).name,
                          " for `end` but got dtype ", info(end).name);
          });
        },
    .lower =
        [](Lowering& l) {
          const Expr a = l["self"];
          const Expr b = l["end"];
          const Expr w = l["weight"];
          l.result(select(lt(abs(w), 0.5), a + w * (b - a), b - (b - a) * (1.0 - w)));
        },
    .samples =
        [] {
          return SampleList{{{t({2, 3}), t({3}), t({2, 1}, 0, 1)}}, {{t({2, 3}), t({2, 3}), 0.3}}};
        },
});

}  // namespace
}  // namespace flambeau::ops
