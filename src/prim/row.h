#pragma once
// What the rows of the table share: type rules that name their row, and adapters from functions on
// Values to `emit`.

#include <algorithm>

#include "base/error.h"
#include "ir/complex.h"
#include "ir/program.h"
#include "prim/build.h"
#include "prim/scalar.h"

namespace flambeau::prim {

using ir::Attributes;
using ir::ComplexValue;
using ir::Emitter;
using ir::Operand;
using ir::Primitive;
using ir::PrimitiveClass;
using ir::RegisterPrimitive;
using ir::Type;
using ir::VjpContext;
using Cotangents = SmallVector<Expr, 3>;

/// A row's name as a template argument.
template <size_t N>
struct RowName {
  // NOLINTNEXTLINE(google-explicit-constructor): literals are names
  constexpr RowName(const char (&text)[N]) { std::copy_n(text, N, chars); }
  constexpr std::string_view view() const { return {chars, N - 1}; }
  char chars[N] = {};
};

/// Which dtypes the operands of a row may have.
enum class Operands : uint8_t { Every, Numbers, Floats, Integers, BoolOrIntegers };

/// Checks that the operands have one dtype, of `allowed` (complex ones where the row `name` says
/// what it does to them; NotImplementedError otherwise), and fit in shape (extents that are both
/// constants are equal); returns the first's type. `skip` operands at the front are not looked at.
Type common_type(std::string_view name, std::span<const Type> arguments, Operands allowed,
                 size_t skip = 0);
/// Checks that the shapes of two operands can be equal.
void check_same_shape(std::string_view name, const Shape& a, const Shape& b);

template <RowName name, Operands allowed>
Type infer_same(std::span<const Type> arguments, const Attributes&) {
  return common_type(name.view(), arguments, allowed);
}

template <RowName name, Operands allowed>
Type infer_bool(std::span<const Type> arguments, const Attributes&) {
  return {DType::Bool, common_type(name.view(), arguments, allowed).shape};
}

template <Value (*fn)(const Value&)>
Operand emit_unary(Emitter& emitter, DType, std::span<const Operand> a, const Attributes&) {
  return fn(Value(emitter, a[0])).operand();
}

template <Value (*fn)(const Value&, const Value&)>
Operand emit_binary(Emitter& emitter, DType, std::span<const Operand> a, const Attributes&) {
  return fn(Value(emitter, a[0]), Value(emitter, a[1])).operand();
}

/// One core operation on the operands as they are.
template <CoreOp op>
Operand emit_core(Emitter& emitter, DType, std::span<const Operand> a, const Attributes&) {
  return emitter.core(op, Emitter::result_dtype(op, a[0].dtype), a);
}

/// For a function in Float64 alone: a Float32 operand is widened and the result rounded.
template <Value (*fn)(const Value&)>
Value through_double(const Value& x) {
  return fn(x.convert(DType::Float64)).convert(x.dtype());
}

/// The derivative of a step function: zeros.
Cotangents zero_vjp(const VjpContext& context);

/// What a row does to complex operands.
using OnComplex = ComplexValue (*)(const ir::Node&, std::span<const ComplexValue>);

/// A function of complex values as a row's on_complex.
template <ComplexValue (*fn)(const ComplexValue&)>
ComplexValue split_unary(const ir::Node&, std::span<const ComplexValue> a) {
  return fn(a[0]);
}
template <ComplexValue (*fn)(const ComplexValue&, const ComplexValue&)>
ComplexValue split_binary(const ir::Node&, std::span<const ComplexValue> a) {
  return fn(a[0], a[1]);
}

/// The row of a function of one float.
template <RowName name, Value (*fn)(const Value&)>
Primitive float_row(std::string_view doc, Cotangents (*vjp)(const VjpContext&),
                    OnComplex on_complex = nullptr) {
  return {.name = name.view(),
          .cls = PrimitiveClass::Elementwise,
          .arity = 1,
          .doc = doc,
          .infer = infer_same<name, Operands::Floats>,
          .emit = emit_unary<fn>,
          .vjp = vjp,
          .on_complex = on_complex};
}

/// The row `name`; InternalError if there is none.
const Primitive& row(std::string_view name);
/// The node `row(name)(arguments)`.
Expr add_node(std::string_view name, std::span<const Expr> arguments, Attributes attributes = {});
Expr add_node(std::string_view name, std::initializer_list<Expr> arguments,
              Attributes attributes = {});

/// `value` at every element of the shape.
Expr filled(ir::Builder& builder, DType dtype, const Shape& shape_given, double value);
/// `value` at every element of a value like `like`.
Expr filled_like(const Expr& like, double value);

}  // namespace flambeau::prim
