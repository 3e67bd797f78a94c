// Rows of comparison and of bits. None has a derivative.

#include "prim/row.h"

namespace flambeau::prim {
namespace {

using enum Operands;

template <RowName name, CoreOp op>
Primitive comparison(std::string_view doc, OnComplex on_complex = nullptr) {
  return {.name = name.view(),
          .cls = PrimitiveClass::Elementwise,
          .arity = 2,
          .doc = doc,
          .infer = infer_bool<name, Every>,
          .emit = emit_core<op>,
          .on_complex = on_complex};
}

template <RowName name, CoreOp op, Operands allowed>
Primitive bit_row(int arity, std::string_view doc) {
  return {.name = name.view(),
          .cls = PrimitiveClass::Elementwise,
          .arity = arity,
          .doc = doc,
          .infer = infer_same<name, allowed>,
          .emit = emit_core<op>};
}

const RegisterPrimitive kEq{comparison<"eq", CoreOp::Eq>(
    "a == b, as Bool; false on NaN.", [](const ir::Node&, std::span<const ComplexValue> a) {
      return ComplexValue{logical_and(eq(a[0].re, a[1].re), eq(a[0].im, a[1].im)), {}};
    })};
const RegisterPrimitive kNe{comparison<"ne", CoreOp::Ne>(
    "a != b, as Bool; true on NaN.", [](const ir::Node&, std::span<const ComplexValue> a) {
      return ComplexValue{logical_or(ne(a[0].re, a[1].re), ne(a[0].im, a[1].im)), {}};
    })};
const RegisterPrimitive kLt{comparison<"lt", CoreOp::Lt>("a < b, as Bool; false on NaN.")};
const RegisterPrimitive kLe{comparison<"le", CoreOp::Le>("a <= b, as Bool; false on NaN.")};
const RegisterPrimitive kGt{comparison<"gt", CoreOp::Gt>("a > b, as Bool; false on NaN.")};
const RegisterPrimitive kGe{comparison<"ge", CoreOp::Ge>("a >= b, as Bool; false on NaN.")};

const RegisterPrimitive kIsNan{{
    .name = "is_nan",
    .cls = PrimitiveClass::Elementwise,
    .arity = 1,
    .doc = "True for NaN, as Bool.",
    .infer = infer_bool<"is_nan", Floats>,
    .emit = emit_unary<[](const Value& x) { return is_nan(x); }>,
    .on_complex =
        [](const ir::Node&, std::span<const ComplexValue> a) {
          return ComplexValue{logical_or(is_nan(a[0].re), is_nan(a[0].im)), {}};
        },
}};

const RegisterPrimitive kAnd{
    bit_row<"logical_and", CoreOp::And, BoolOrIntegers>(2, "a and b; bitwise on integers.")};
const RegisterPrimitive kOr{
    bit_row<"logical_or", CoreOp::Or, BoolOrIntegers>(2, "a or b; bitwise on integers.")};
const RegisterPrimitive kXor{
    bit_row<"logical_xor", CoreOp::Xor, BoolOrIntegers>(2, "a xor b; bitwise on integers.")};
const RegisterPrimitive kNot{
    bit_row<"logical_not", CoreOp::Not, BoolOrIntegers>(1, "not a; bitwise on integers.")};
const RegisterPrimitive kShiftLeft{bit_row<"shift_left", CoreOp::Shl, Integers>(
    2, "a shifted left by b bits, b modulo the width.")};
const RegisterPrimitive kShiftRight{bit_row<"shift_right", CoreOp::ShiftRight, Integers>(
    2, "a shifted right by b bits, b modulo the width; signed integers keep their sign.")};

}  // namespace
}  // namespace flambeau::prim
