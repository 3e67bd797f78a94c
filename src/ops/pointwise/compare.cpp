// Comparisons, logic and bits.

#include <limits>

#include "ops/checks.h"
#include "ops/functions.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;
using Aliases = std::vector<std::string>;

Definition comparison(std::string_view schema, std::string_view doc, void (*lower)(Lowering&),
                      Aliases aliases) {
  return {.schema = schema,
          .doc = doc,
          .variants = {.in_place = true, .out = true, .aliases = std::move(aliases)},
          .promotion = Promotion::Compare,
          .numbers = {"other"},
          .lower = lower,
          .differentiable = false,
          .samples = binary_samples};
}

const Register kEq(comparison("eq.Tensor(Tensor self, Tensor other) -> Tensor",
                              "True where self equals other.",
                              [](Lowering& l) { l.result(eq(l["self"], l["other"])); },
                              {"Tensor.__eq__"}));
const Register kNe(comparison("ne.Tensor(Tensor self, Tensor other) -> Tensor",
                              "True where self differs from other; NaN differs from itself.",
                              [](Lowering& l) { l.result(ne(l["self"], l["other"])); },
                              {"not_equal", "Tensor.not_equal", "Tensor.__ne__"}));
const Register kLt(comparison("lt.Tensor(Tensor self, Tensor other) -> Tensor",
                              "True where self is less than other.",
                              [](Lowering& l) { l.result(lt(l["self"], l["other"])); },
                              {"less", "Tensor.less", "Tensor.__lt__"}));
const Register kLe(comparison("le.Tensor(Tensor self, Tensor other) -> Tensor",
                              "True where self is less than or equal to other.",
                              [](Lowering& l) { l.result(le(l["self"], l["other"])); },
                              {"less_equal", "Tensor.less_equal", "Tensor.__le__"}));
const Register kGt(comparison("gt.Tensor(Tensor self, Tensor other) -> Tensor",
                              "True where self is greater than other.",
                              [](Lowering& l) { l.result(gt(l["self"], l["other"])); },
                              {"greater", "Tensor.greater", "Tensor.__gt__"}));
const Register kGe(comparison("ge.Tensor(Tensor self, Tensor other) -> Tensor",
                              "True where self is greater than or equal to other.",
                              [](Lowering& l) { l.result(ge(l["self"], l["other"])); },
                              {"greater_equal", "Tensor.greater_equal", "Tensor.__ge__"}));

/// A logical function: any dtype counts as true where it is not 0.
Definition logical(std::string_view schema, std::string_view doc, void (*lower)(Lowering&)) {
  return {.schema = schema,
          .doc = doc,
          .variants = {.in_place = true, .out = true},
          .promotion = Promotion::Compare,
          .lower = lower,
          .differentiable = false,
          .samples = binary_samples};
}
Expr truth(const Expr& x) { return convert(x, DType::Bool); }

const Register kLogicalAnd(logical("logical_and(Tensor self, Tensor other) -> Tensor",
                                   "True where both are not 0.", [](Lowering& l) {
                                     l.result(logical_and(truth(l["self"]), truth(l["other"])));
                                   }));
const Register kLogicalOr(logical("logical_or(Tensor self, Tensor other) -> Tensor",
                                  "True where one of the two is not 0.", [](Lowering& l) {
                                    l.result(logical_or(truth(l["self"]), truth(l["other"])));
                                  }));
const Register kLogicalXor(logical("logical_xor(Tensor self, Tensor other) -> Tensor",
                                   "True where exactly one is not 0.", [](Lowering& l) {
                                     l.result(logical_xor(truth(l["self"]), truth(l["other"])));
                                   }));
const Register kLogicalNot({
    .schema = "logical_not(Tensor self) -> Tensor",
    .doc = "True where self is 0.",
    .variants = {.in_place = true, .out = true},
    .promotion = Promotion::Compare,
    .lower = [](Lowering& l) { l.result(logical_not(truth(l["self"]))); },
    .differentiable = false,
    .samples = unary_samples,
});

SampleList integer_samples() {
  return {{{indices({2, 3}, 9), indices({2, 3}, 9)}},
          {{indices({2, 1}, 9), indices({3}, 9)}},
          {{mask({4}), mask({4})}}};
}

Definition bitwise(std::string_view schema, std::string_view doc, void (*lower)(Lowering&),
                   Aliases aliases, Accepts accepts = Accepts::Integers) {
  // What Python has an operator for takes a number first, too.
  const std::vector<std::string_view> numbers =
      aliases.empty() ? std::vector<std::string_view>{"other"}
                      : std::vector<std::string_view>{"self", "other"};
  return {.schema = schema,
          .doc = doc,
          .variants = {.in_place = true, .out = true, .aliases = std::move(aliases)},
          .promotion = Promotion::Promote,
          .accepts = accepts,
          .numbers = numbers,
          .lower = lower,
          .differentiable = false,
          .samples = accepts == Accepts::Integers
                         ? integer_samples
                         : [] { return SampleList{{{indices({2, 3}, 9), indices({3}, 5)}}}; },
          .errors =
              [] {
                return std::vector<ErrorSample>{
                    {{{typed({2}, DType::Float32, 0, 1), typed({2}, DType::Float32, 0, 1)}},
                     "RuntimeError",
                     "not implemented for 'Float'"}};
              }};
}
const Register kBitwiseAnd(
    bitwise("bitwise_and.Tensor(Tensor self, Tensor other) -> Tensor", "The bits that both have.",
            [](Lowering& l) { l.result(logical_and(l["self"], l["other"])); },
            {"Tensor.__and__", "Tensor.__rand__", "Tensor.__iand__"}));
const Register kBitwiseOr(bitwise("bitwise_or.Tensor(Tensor self, Tensor other) -> Tensor",
                                  "The bits that one of the two has.",
                                  [](Lowering& l) { l.result(logical_or(l["self"], l["other"])); },
                                  {"Tensor.__or__", "Tensor.__ror__", "Tensor.__ior__"}));
const Register kBitwiseXor(bitwise("bitwise_xor.Tensor(Tensor self, Tensor other) -> Tensor",
                                   "The bits that exactly one has.",
                                   [](Lowering& l) {
                                     l.result(logical_xor(l["self"], l["other"]));
                                   },
                                   {"Tensor.__xor__", "Tensor.__rxor__", "Tensor.__ixor__"}));
const Register kLeftShift(bitwise(
    "bitwise_left_shift.Tensor(Tensor self, Tensor other) -> Tensor", "self * 2^other.",
    [](Lowering& l) {
      const Expr bits = l["other"];
      const double width = static_cast<double>(8 * size_of(bits.dtype()));
      const Expr fits = logical_and(ge(bits, 0.0), lt(bits, width));
      l.result(select(fits, shift_left(l["self"], bits), 0.0));
    },
    {"Tensor.__lshift__", "Tensor.__ilshift__"}, Accepts::IntegersNoBool));
const Register kRightShift(bitwise(
    "bitwise_right_shift.Tensor(Tensor self, Tensor other) -> Tensor",
    "floor(self / 2^other): the sign is kept.",
    [](Lowering& l) {
      const Expr bits = l["other"];
      const double last = static_cast<double>(8 * size_of(bits.dtype()) - 1);
      const Expr fits = logical_and(ge(bits, 0.0), le(bits, last));
      l.result(shift_right(l["self"], select(fits, bits, last)));
    },
    {"Tensor.__rshift__", "Tensor.__irshift__"}, Accepts::IntegersNoBool));
const Register kBitwiseNot({
    .schema = "bitwise_not(Tensor self) -> Tensor",
    .doc = "Every bit inverted; the logical not of bool.",
    .variants = {.in_place = true, .out = true},
    .promotion = Promotion::Promote,
    .accepts = Accepts::Integers,
    .lower = [](Lowering& l) { l.result(logical_not(l["self"])); },
    .differentiable = false,
    .samples = [] { return SampleList{{{indices({2, 3}, 9)}}, {{mask({4})}}}; },
});
const Register kInvert({
    .schema = "__invert__(Tensor self) -> Tensor",
    .doc = "~self: every bit inverted; the logical not of bool.",
    .variants = {.function = false},
    .promotion = Promotion::Promote,
    .canonical =
        [](const Call& call, Arguments&) {
          check<TypeError>(!is_inexact(call.tensor("self").dtype), [&] {
            return concat(call.name(),
                          ": ~ (operator.invert) is only implemented on integer and "
                          "Boolean-type tensors");
          });
        },
    .lower = [](Lowering& l) { l.result(logical_not(l["self"])); },
    .differentiable = false,
    .samples = [] { return SampleList{{{indices({2, 3}, 9)}}, {{mask({4})}}}; },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{typed({2}, DType::Float32, 0, 1)}}, "TypeError", "only implemented on integer"}};
        },
});

/// Euclid's algorithm with as many steps as numbers of 64 bits can need.
Expr greatest_common_divisor(const Expr& a, const Expr& b) {
  constexpr int kSteps = 92;
  Expr x = abs(a);
  Expr y = abs(b);
  for (int i = 0; i < kSteps; ++i) {
    const Expr done = eq(y, 0.0);
    const Expr rest = remainder(x, select(done, full_like(y, 1.0), y));
    x = select(done, x, y);
    y = select(done, y, rest);
  }
  return x;
}
const Register kGcd(bitwise(
    "gcd(Tensor self, Tensor other) -> Tensor", "The greatest common divisor; gcd(0, 0) is 0.",
    [](Lowering& l) { l.result(greatest_common_divisor(l["self"], l["other"])); }, {},
    Accepts::IntegersNoBool));
const Register kLcm(bitwise(
    "lcm(Tensor self, Tensor other) -> Tensor", "The least common multiple.",
    [](Lowering& l) {
      const Expr a = l["self"];
      const Expr b = l["other"];
      const Expr g = greatest_common_divisor(a, b);
      const Expr none = eq(g, 0.0);
      l.result(select(none, 0.0, abs(a / select(none, full_like(g, 1.0), g) * b)));
    },
    {}, Accepts::IntegersNoBool));

/// Questions about one number.
Definition question(std::string_view schema, std::string_view doc, void (*lower)(Lowering&),
                    bool out = false) {
  return {.schema = schema,
          .doc = doc,
          .variants = {.out = out},
          .promotion = Promotion::Compare,
          .lower = lower,
          .differentiable = false,
          .samples = unary_samples};
}
constexpr double kInfinity = std::numeric_limits<double>::infinity();
Expr never(const Expr& x) { return broadcast_to(constant(x, DType::Bool, false), x.shape()); }

const Register kIsnan(question("isnan(Tensor self) -> Tensor", "True for NaN.", [](Lowering& l) {
  const Expr x = l["self"];
  l.result(is_inexact(x.dtype()) ? is_nan(x) : never(x));
}));
const Register kIsinf(
    question("isinf(Tensor self) -> Tensor", "True for the two infinities.", [](Lowering& l) {
      const Expr x = l["self"];
      const auto infinite = [](const Expr& part) { return eq(abs(part), kInfinity); };
      if (is_complex(x.dtype())) return l.result(logical_or(infinite(real(x)), infinite(imag(x))));
      l.result(is_float(x.dtype()) ? infinite(x) : never(x));
    }));
const Register kIsfinite(question(
    "isfinite(Tensor self) -> Tensor", "True for all but NaN and the infinities.", [](Lowering& l) {
      const Expr x = l["self"];
      const auto finite = [](const Expr& part) { return lt(abs(part), kInfinity); };
      if (is_complex(x.dtype())) return l.result(logical_and(finite(real(x)), finite(imag(x))));
      l.result(is_float(x.dtype()) ? finite(x) : logical_not(never(x)));
    }));
const Register kIsposinf(question(
    "isposinf(Tensor self) -> Tensor", "True for plus infinity.",
    [](Lowering& l) {
      const Expr x = l["self"];
      l.result(is_float(x.dtype()) ? eq(x, kInfinity) : never(x));
    },
    true));
const Register kIsneginf(question(
    "isneginf(Tensor self) -> Tensor", "True for minus infinity.",
    [](Lowering& l) {
      const Expr x = l["self"];
      l.result(is_float(x.dtype()) ? eq(x, -kInfinity) : never(x));
    },
    true));
const Register kIsreal(question("isreal(Tensor self) -> Tensor",
                                "True where the imaginary part is 0.", [](Lowering& l) {
                                  const Expr x = l["self"];
                                  l.result(is_complex(x.dtype()) ? eq(imag(x), 0.0)
                                                                 : logical_not(never(x)));
                                }));
const Register kSignbit(question(
    "signbit(Tensor self) -> Tensor", "True where the sign bit is set, -0 included.",
    [](Lowering& l) {
      const Expr x = l["self"];
      if (!is_float(x.dtype())) return l.result(is_bool(x.dtype()) ? never(x) : lt(x, 0.0));
      const DType bits = x.dtype() == DType::Float64 ? DType::Int64 : DType::Int32;
      l.result(lt(bitcast(x, bits), 0.0));
    },
    true));

const Register kIsclose({
    .schema = "isclose(Tensor self, Tensor other, float rtol=1e-05, float atol=1e-08, bool "
              "equal_nan=False) -> Tensor",
    .doc = "True where |self - other| <= atol + rtol * |other|, or both are the same infinity.",
    .promotion = Promotion::Compare,
    .canonical =
        [](const Call& call, Arguments&) {
          check_same_dtype(call, {"self", "other"});
          for (const char* name : {"rtol", "atol"})
            check(call.real(name) >= 0, [&] {
              return concat(call.name(), ": ", name,
                            " must be greater than or equal to zero, but "
                            "got ",
                            call.real(name));
            });
        },
    .lower =
        [](Lowering& l) {
          const Expr a = l["self"];
          const Expr b = l["other"];
          Expr close = eq(a, b);
          if (l.call().boolean("equal_nan") && is_inexact(a.dtype()))
            close = logical_or(close, logical_and(is_nan(a), is_nan(b)));
          const DType wide = is_inexact(a.dtype()) ? a.dtype() : default_dtype();
          const DType narrow = real_dtype(wide);
          const Expr x = convert(a, wide);
          const Expr y = convert(b, wide);
          const Expr allowed =
              convert(l.number("atol"), narrow) + abs(convert(l.number("rtol"), narrow) * abs(y));
          const Expr error = abs(x - y);
          const Expr finite = lt(error, kInfinity);
          l.result(logical_or(close, logical_and(finite, le(error, allowed))));
        },
    .differentiable = false,
    .samples = binary_samples,
});

}  // namespace
}  // namespace flambeau::ops
