#include "tests/ir/rows.h"

#include <algorithm>
#include <limits>

#include "base/error.h"

namespace flambeau::ir::rows {
namespace {

Type infer_same(std::span<const Type> arguments, const Attributes&) {
  for (const Type& type : arguments)
    if (type != arguments[0]) throw InternalError("test row: operands differ");
  return arguments[0];
}

Type infer_bool(std::span<const Type> arguments, const Attributes& attributes) {
  return {DType::Bool, infer_same(arguments, attributes).shape};
}

Type infer_reduce(std::span<const Type> arguments, const Attributes& attributes) {
  Type out{arguments[0].dtype, {}};
  for (size_t axis = 0; axis < arguments[0].shape.size(); ++axis)
    if (std::find(attributes.axes.begin(), attributes.axes.end(), static_cast<int64_t>(axis)) ==
        attributes.axes.end())
      out.shape.push_back(arguments[0].shape[axis]);
  return out;
}

ArrayValue interpret_reduce(const Node& node, std::span<const ArrayValue> arguments,
                            const DimBindings&) {
  const Primitive& row = *node.primitive;
  return reduce_array(arguments[0], node.attributes.axes, *row.combine,
                      row.identity(node.type.dtype));
}

Scalar lowest(DType dtype) {
  if (is_float(dtype)) return -std::numeric_limits<double>::infinity();
  return std::numeric_limits<int64_t>::min();
}

template <CoreOp op>
Operand emit_binary(Emitter& emitter, DType, std::span<const Operand> arguments,
                    const Attributes&) {
  return emitter.op(op, arguments[0], arguments[1]);
}

template <CoreOp op>
Primitive elementwise(std::string_view name) {
  return {.name = name,
          .cls = PrimitiveClass::Elementwise,
          .arity = 2,
          .doc = "",
          .infer = op == CoreOp::Lt ? infer_bool : infer_same,
          .emit = emit_binary<op>};
}

Primitive reduction(std::string_view name, CoreOp combine, Scalar (*identity)(DType)) {
  return {.name = name,
          .cls = PrimitiveClass::Reduce,
          .arity = 1,
          .doc = "",
          .infer = infer_reduce,
          .interpret = interpret_reduce,
          .combine = combine,
          .identity = identity};
}

DType dtype_of(const Attributes& attributes) { return static_cast<DType>(attributes.index); }

const RegisterPrimitive kSum{elementwise<CoreOp::Add>("test_sum")};
const RegisterPrimitive kProduct{elementwise<CoreOp::Mul>("test_product")};
const RegisterPrimitive kLess{elementwise<CoreOp::Lt>("test_less")};
const RegisterPrimitive kAddUp{
    reduction("test_add_up", CoreOp::Add, [](DType) -> Scalar { return int64_t{0}; })};
const RegisterPrimitive kGreatest{reduction("test_greatest", CoreOp::Max, lowest)};
const RegisterPrimitive kTo{{
    .name = "test_to",
    .cls = PrimitiveClass::Elementwise,
    .arity = 1,
    .doc = "",
    .infer = [](std::span<const Type> arguments, const Attributes& attributes) -> Type {
      return {dtype_of(attributes), arguments[0].shape};
    },
    .emit = [](Emitter& emitter, DType result, std::span<const Operand> arguments,
               const Attributes&) { return emitter.convert(result, arguments[0]); },
    .raw_halves = true,
}};
const RegisterPrimitive kLiteral{{
    .name = "test_literal",
    .cls = PrimitiveClass::Source,
    .arity = 0,
    .doc = "",
    .infer = [](std::span<const Type>, const Attributes& attributes) -> Type {
      return {DType::Float64, Shape(attributes.dims.begin(), attributes.dims.end())};
    },
    .interpret =
        [](const Node& node, std::span<const ArrayValue>, const DimBindings& bindings) {
          return full(DType::Float64, evaluate(node.type.shape, bindings),
                      container_of(DType::Float64, node.attributes.value));
        },
}};
const RegisterPrimitive kStrayed{{
    .name = "test_strayed",
    .cls = PrimitiveClass::Elementwise,
    .arity = 1,
    .doc = "",
    .infer = [](std::span<const Type>, const Attributes&) -> Type {
      throw InternalError("test row: never fits");
    },
}};

}  // namespace

const Primitive* sum() { return kSum.row; }
const Primitive* product() { return kProduct.row; }
const Primitive* less() { return kLess.row; }
const Primitive* to() { return kTo.row; }
const Primitive* literal() { return kLiteral.row; }
const Primitive* add_up() { return kAddUp.row; }
const Primitive* greatest() { return kGreatest.row; }
const Primitive* strayed() { return kStrayed.row; }

}  // namespace flambeau::ir::rows
