// Rows that place whole arrays: reshape, pad, concatenate.

#include "prim/structural.h"

namespace flambeau::prim {
namespace {

// ---- reshape
// -------------------------------------------------------------------------------------

const RegisterPrimitive kReshape{{
    .name = "reshape",
    .cls = PrimitiveClass::Reshape,
    .arity = 1,
    .doc = "The same elements in row-major order under the shape `dims`.",
    .infer =
        [](std::span<const Type> arguments, const Attributes& attributes) {
          const Shape shape(attributes.dims.begin(), attributes.dims.end());
          const Dim from = ir::element_count(arguments[0].shape);
          const Dim to = ir::element_count(shape);
          check<InternalError>(!from.is_constant() || !to.is_constant() || from == to, [&] {
            return concat("reshape: ", from.text(), " elements to ", to.text());
          });
          return Type{arguments[0].dtype, shape};
        },
    .interpret =
        [](const Node& node, std::span<const ArrayValue> arguments, const DimBindings& bindings) {
          ArrayValue out = arguments[0];
          out.shape = ir::evaluate(node.type.shape, bindings);
          check<InternalError>(out.size() == arguments[0].size(), [&] {
            return concat("reshape: ", list_text(arguments[0].shape), " to ", list_text(out.shape));
          });
          return out;
        },
    .vjp = [](const VjpContext& c) -> Cotangents {
      return {reshape(c.cotangent, c.arguments[0].shape())};
    },
    .batch =
        [](const BatchContext& c) {
          return reshape(c.arguments[0], with_batch(c, c.node.attributes.dims));
        },
    .on_complex = ir::componentwise,
}};

// ---- pad
// -----------------------------------------------------------------------------------------

/// The first, second or third part of pad's `dims`: low, high, interior.
std::span<const Dim> part(const Attributes& attributes, size_t which) {
  const size_t rank = attributes.dims.size() / 3;
  return {attributes.dims.data() + which * rank, rank};
}

Type infer_pad(std::span<const Type> arguments, const Attributes& attributes) {
  const Type& a = arguments[0];
  bool good = attributes.dims.size() == 3 * a.shape.size();
  for (const Dim& dim : attributes.dims) good = good && (!dim.is_constant() || dim.constant() >= 0);
  check<InternalError>(good, [&] {
    return concat("pad: ", attributes.dims.size(), " dims for an operand of rank ", a.shape.size(),
                  "; wanted low, high and interior of each axis, not negative");
  });
  check<InternalError>(arguments[1].dtype == a.dtype && arguments[1].shape.empty(), [&] {
    return concat("pad: a value of dtype ", info(arguments[1].dtype).name, " and rank ",
                  arguments[1].shape.size(), "; wanted a scalar ", info(a.dtype).name);
  });
  Type result{a.dtype, {}};
  for (size_t i = 0; i < a.shape.size(); ++i) {
    const Dim gaps = max(Dim(0), a.shape[i] - 1) * part(attributes, 2)[i];
    result.shape.push_back(part(attributes, 0)[i] + a.shape[i] + gaps + part(attributes, 1)[i]);
  }
  return result;
}

ArrayValue interpret_pad(const Node& node, std::span<const ArrayValue> arguments,
                         const DimBindings& bindings) {
  const ArrayValue& a = arguments[0];
  ArrayValue out =
      ir::full(a.dtype, ir::evaluate(node.type.shape, bindings), ir::element(arguments[1], 0));
  const Ints to = ir::strides_of(out.shape);
  int64_t offset = 0;
  Ints strides;
  for (size_t i = 0; i < to.size(); ++i) {
    offset += part(node.attributes, 0)[i].evaluate(bindings) * to[i];
    strides.push_back((part(node.attributes, 2)[i].evaluate(bindings) + 1) * to[i]);
  }
  int64_t position = 0;
  ir::for_each_index(a.shape, [&](const Ints& index) {
    ir::set_element(out, offset + ir::offset_of(index, strides), ir::element(a, position++));
  });
  return out;
}

Expr pad_like(const Attributes& attributes, const Expr& a, const Expr& value) {
  return pad(a, value, part(attributes, 0), part(attributes, 1), part(attributes, 2));
}

Cotangents pad_vjp(const VjpContext& c) {
  const Shape from = c.arguments[0].shape();
  const Attributes& attributes = c.node.attributes;
  Shape steps;
  for (const Dim& interior : part(attributes, 2)) steps.push_back(interior + 1);
  const Expr inside = pad_like(attributes, filled_like(c.arguments[0], 1),
                               constant(c.cotangent, c.cotangent.dtype(), Scalar(0.0)));
  const Expr outside = select(ne(inside, 0), 0, c.cotangent);
  return {slice(c.cotangent, part(attributes, 0), from, steps),
          sum(outside, axes_between(0, from.size()), false)};
}

Expr pad_batch(const BatchContext& c) {
  Attributes attributes;
  for (size_t which = 0; which < 3; ++which) {
    attributes.dims.push_back(0);
    const auto dims = part(c.node.attributes, which);
    attributes.dims.append(dims.begin(), dims.end());
  }
  const Expr a = batched_argument(c, 0);
  if (!c.batched[1]) return pad_like(attributes, a, c.arguments[1]);
  // A value for each member of the batch: pad with zeros and choose outside.
  const Expr inside = pad_like(attributes, filled(c.builder, DType::Int32, Shape(a.shape()), 1),
                               constant(c.builder, DType::Int32, Scalar(0)));
  const Expr padded = pad_like(attributes, a, constant(c.builder, a.dtype(), Scalar(0)));
  const Shape shape = padded.shape();
  return select(ne(inside, 0), padded, broadcast(c.arguments[1], axes_between(0, 1), shape));
}

const RegisterPrimitive kPad{{
    .name = "pad",
    .cls = PrimitiveClass::Pad,
    .arity = 2,
    .doc = "Operand 0 with `low` and `high` elements around and `interior` between its elements, "
           "all operand 1 (a scalar); `dims` are all low, all high, all interior.",
    .infer = infer_pad,
    .interpret = interpret_pad,
    .vjp = pad_vjp,
    .batch = pad_batch,
    .on_complex = ir::componentwise,
}};

// ---- concatenate
// ---------------------------------------------------------------------------------

Type infer_concatenate(std::span<const Type> arguments, const Attributes& attributes) {
  check<InternalError>(!arguments.empty() && attributes.axes.size() == 1, [&] {
    return concat("concatenate: ", arguments.size(), " operands, ", attributes.axes.size(),
                  " axes; wanted some and 1");
  });
  Type result = arguments[0];
  const auto axis = static_cast<size_t>(attributes.axes[0]);
  check<InternalError>(axis < result.shape.size(), [&] {
    return concat("concatenate: axis ", attributes.axes[0], " of operands of rank ",
                  result.shape.size());
  });
  for (const Type& other : arguments.subspan(1)) {
    check<InternalError>(other.dtype == result.dtype, [&] {
      return concat("concatenate: operands of dtypes ", info(result.dtype).name, " and ",
                    info(other.dtype).name, "; wanted one dtype");
    });
    Shape aligned = other.shape;
    if (axis < aligned.size()) aligned[axis] = result.shape[axis];
    check_same_shape("concatenate", result.shape, aligned);
    result.shape[axis] = result.shape[axis] + other.shape[axis];
  }
  return result;
}

ArrayValue interpret_concatenate(const Node& node, std::span<const ArrayValue> arguments,
                                 const DimBindings& bindings) {
  const auto axis = static_cast<size_t>(node.attributes.axes[0]);
  ArrayValue out(node.type.dtype, ir::evaluate(node.type.shape, bindings));
  const Ints strides = ir::strides_of(out.shape);
  int64_t start = 0;
  for (const ArrayValue& a : arguments) {
    int64_t position = 0;
    ir::for_each_index(a.shape, [&](const Ints& index) {
      ir::set_element(out, start * strides[axis] + ir::offset_of(index, strides),
                      ir::element(a, position++));
    });
    start += a.shape[axis];
  }
  return out;
}

const RegisterPrimitive kConcatenate{{
    .name = "concatenate",
    .cls = PrimitiveClass::Concatenate,
    .arity = -1,
    .doc = "The operands one after the other along axes[0].",
    .infer = infer_concatenate,
    .interpret = interpret_concatenate,
    .vjp =
        [](const VjpContext& c) {
          const auto axis = static_cast<int>(c.node.attributes.axes[0]);
          Cotangents result;
          Dim start = 0;
          for (const Expr& a : c.arguments) {
            const Dim length = a.dim(axis);
            result.push_back(slice(c.cotangent, axis, start, length));
            start = start + length;
          }
          return result;
        },
    .batch =
        [](const BatchContext& c) {
          SmallVector<Expr, 4> parts;
          for (size_t i = 0; i < c.arguments.size(); ++i) parts.push_back(batched_argument(c, i));
          return concatenate(parts, static_cast<int>(c.node.attributes.axes[0]) + 1);
        },
    .on_complex = ir::componentwise,
}};

}  // namespace
}  // namespace flambeau::prim
