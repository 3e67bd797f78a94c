// Rows of arithmetic and of choosing: add, fma, minimum, select, convert, abs, floor ...

#include "prim/complex.h"
#include "prim/row.h"

namespace flambeau::prim {
namespace {

using enum Operands;

template <RowName name, CoreOp op, Operands allowed>
Primitive core_row(int arity, std::string_view doc, Cotangents (*vjp)(const VjpContext&),
                   OnComplex on_complex = nullptr) {
  return {.name = name.view(),
          .cls = PrimitiveClass::Elementwise,
          .arity = arity,
          .doc = doc,
          .infer = infer_same<name, allowed>,
          .emit = emit_core<op>,
          .vjp = vjp,
          .on_complex = on_complex};
}

const RegisterPrimitive kAdd{core_row<"add", CoreOp::Add, Every>(
    2, "a + b; integers wrap; of Bool: or.",
    [](const VjpContext& c) { return Cotangents{c.cotangent, c.cotangent}; }, ir::componentwise)};

const RegisterPrimitive kSub{core_row<"sub", CoreOp::Sub, Numbers>(
    2, "a - b; integers wrap.",
    [](const VjpContext& c) { return Cotangents{c.cotangent, -c.cotangent}; }, ir::componentwise)};

const RegisterPrimitive kMul{core_row<"mul", CoreOp::Mul, Every>(
    2, "a * b; integers wrap; of Bool: and.",
    [](const VjpContext& c) {
      return Cotangents{c.cotangent * c.arguments[1], c.cotangent * c.arguments[0]};
    },
    split_binary<operator*>)};

const RegisterPrimitive kDiv{core_row<"div", CoreOp::Div, Numbers>(
    2, "a / b; integers truncate, x/0 = 0.",
    [](const VjpContext& c) {
      const Expr& b = c.arguments[1];
      return Cotangents{c.cotangent / b, -c.cotangent * (c.result / b)};
    },
    split_binary<operator/ >)};

const RegisterPrimitive kNeg{core_row<"neg", CoreOp::Neg, Numbers>(
    1, "-a; a NaN is given as it is.", [](const VjpContext& c) { return Cotangents{-c.cotangent}; },
    ir::componentwise)};

const RegisterPrimitive kRemainder{core_row<"remainder", CoreOp::Rem, Numbers>(
    2, "C's remainder a - trunc(a/b)*b, with the sign of a; integers: a%0 = 0.",
    [](const VjpContext& c) {
      return Cotangents{c.cotangent, -c.cotangent * trunc(c.arguments[0] / c.arguments[1])};
    })};

const RegisterPrimitive kFma{
    core_row<"fma", CoreOp::Fma, Floats>(3, "a * b + c, rounded once.", [](const VjpContext& c) {
      return Cotangents{c.cotangent * c.arguments[1], c.cotangent * c.arguments[0], c.cotangent};
    })};

/// PyTorch's rule of both: the chosen operand gets the cotangent, equal ones half each.
Cotangents extremum_vjp(const VjpContext& c, const Expr& loses_a, const Expr& loses_b) {
  const Expr shared = select(eq(c.arguments[0], c.arguments[1]), c.cotangent * 0.5, c.cotangent);
  return {select(loses_a, 0, shared), select(loses_b, 0, shared)};
}

const RegisterPrimitive kMinimum{core_row<"minimum", CoreOp::Min, Every>(
    2, "The smaller; NaN if either is NaN; of zeros -0.", [](const VjpContext& c) {
      return extremum_vjp(c, gt(c.arguments[0], c.arguments[1]),
                          lt(c.arguments[0], c.arguments[1]));
    })};

const RegisterPrimitive kMaximum{core_row<"maximum", CoreOp::Max, Every>(
    2, "The larger; NaN if either is NaN; of zeros +0.", [](const VjpContext& c) {
      return extremum_vjp(c, lt(c.arguments[0], c.arguments[1]),
                          gt(c.arguments[0], c.arguments[1]));
    })};

const RegisterPrimitive kSelect{{
    .name = "select",
    .cls = PrimitiveClass::Elementwise,
    .arity = 3,
    .doc = "a where the condition (operand 0, Bool) is true, else b.",
    .infer =
        [](std::span<const Type> arguments, const Attributes&) {
          check<InternalError>(is_bool(arguments[0].dtype), [&] {
            return concat("select: a condition of dtype ", info(arguments[0].dtype).name,
                          "; wanted bool");
          });
          check_same_shape("select", arguments[0].shape, arguments[1].shape);
          return Type{common_type("select", arguments, Every, 1).dtype, arguments[0].shape};
        },
    .emit = [](Emitter& emitter, DType, std::span<const Operand> a,
               const Attributes&) { return emitter.select(a[0], a[1], a[2]); },
    .vjp = [](const VjpContext& c) -> Cotangents {
      return {Expr(), select(c.arguments[0], c.cotangent, 0),
              select(c.arguments[0], 0, c.cotangent)};
    },
    .on_complex = ir::componentwise,
}};

DType dtype_attribute(std::string_view name, const Attributes& attributes) {
  check<InternalError>(attributes.index >= 0 && attributes.index < kDTypeCount,
                       [&] { return concat(name, ": index ", attributes.index, " is no dtype"); });
  return static_cast<DType>(attributes.index);
}

/// A real number has the imaginary part 0, a complex one loses it.
ComplexValue convert_complex(const ir::Node& node, std::span<const ComplexValue> a) {
  const auto to = static_cast<DType>(node.attributes.index);
  if (is_complex(to)) {
    if (a[0].is_complex()) return ir::componentwise(node, a);
    const Expr re = convert(a[0].re, real_dtype(to));
    return {re, filled_like(re, 0)};
  }
  if (is_bool(to)) return {logical_or(ne(a[0].re, 0), ne(a[0].im, 0)), {}};
  return {convert(a[0].re, to), {}};
}

const RegisterPrimitive kConvert{{
    .name = "convert",
    .cls = PrimitiveClass::Elementwise,
    .arity = 1,
    .doc =
        "The value in the dtype numbered `index`: floats round to even, float to integer "
        "truncates (what int32, or int64 for Int64 and UInt8, does not hold is its lowest "
        "number, of which narrower ones take the low bits), narrowing integers wrap, Bool is != 0.",
    .infer =
        [](std::span<const Type> arguments, const Attributes& attributes) {
          return Type{dtype_attribute("convert", attributes), arguments[0].shape};
        },
    .emit = [](Emitter& emitter, DType result, std::span<const Operand> a,
               const Attributes&) { return emitter.convert(result, a[0]); },
    .vjp = [](const VjpContext& c) -> Cotangents {
      if (!is_inexact(c.arguments[0].dtype())) return {Expr()};
      return {convert(c.cotangent, c.arguments[0].dtype())};
    },
    .raw_halves = true,
    .on_complex = convert_complex,
}};

const RegisterPrimitive kBitcast{{
    .name = "bitcast",
    .cls = PrimitiveClass::Elementwise,
    .arity = 1,
    .doc = "The same bits in the dtype numbered `index`, of the same size.",
    .infer =
        [](std::span<const Type> arguments, const Attributes& attributes) {
          const DType to = dtype_attribute("bitcast", attributes);
          common_type("bitcast", arguments, Every);
          check<InternalError>(size_of(to) == size_of(arguments[0].dtype), [&] {
            return concat("bitcast: ", info(arguments[0].dtype).name, " and ", info(to).name,
                          " differ in size");
          });
          return Type{to, arguments[0].shape};
        },
    .emit = [](Emitter& emitter, DType result, std::span<const Operand> a,
               const Attributes&) { return emitter.bitcast(result, a[0]); },
    .raw_halves = true,
}};

/// -1, 0, 1; 0 of NaN.
Expr sign(const Expr& x) { return select(gt(x, 0), 1, select(lt(x, 0), -1, filled_like(x, 0))); }

const RegisterPrimitive kAbs{core_row<"abs", CoreOp::Abs, Numbers>(
    1, "|a|; the least integer stays.",
    [](const VjpContext& c) { return Cotangents{c.cotangent * sign(c.arguments[0])}; })};

const RegisterPrimitive kSqrt{core_row<"sqrt", CoreOp::Sqrt, Floats>(
    1, "The square root, rounded once.",
    [](const VjpContext& c) { return Cotangents{c.cotangent / (c.result * 2)}; },
    split_unary<complex_sqrt>)};

const RegisterPrimitive kFloor{core_row<"floor", CoreOp::Floor, Floats>(
    1, "The greatest integer that is not greater.", zero_vjp)};
const RegisterPrimitive kCeil{
    core_row<"ceil", CoreOp::Ceil, Floats>(1, "The least integer that is not less.", zero_vjp)};
const RegisterPrimitive kTrunc{
    core_row<"trunc", CoreOp::Trunc, Floats>(1, "The integer next towards zero.", zero_vjp)};
const RegisterPrimitive kRound{core_row<"round", CoreOp::RoundEven, Floats>(
    1, "The nearest integer, ties to even.", zero_vjp)};

const RegisterPrimitive kStopGradient{{
    .name = "stop_gradient",
    .cls = PrimitiveClass::Elementwise,
    .arity = 1,
    .doc = "The operand, taken as constant by differentiation.",
    .infer = infer_same<"stop_gradient", Every>,
    .emit = [](Emitter&, DType, std::span<const Operand> a, const Attributes&) { return a[0]; },
    .raw_halves = true,
    .on_complex = ir::componentwise,
}};

}  // namespace
}  // namespace flambeau::prim
