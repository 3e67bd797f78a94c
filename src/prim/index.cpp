// Rows that read and write at computed indices. Their index operands are Int64 arrays of one
// shape, one per axis of operand 0.

#include "ir/core_function.h"
#include "prim/structural.h"

namespace flambeau::prim {
namespace {

/// Checks `arguments[first...]`: one index array per axis of arguments[0], all of `shape`.
void check_indices(std::string_view name, std::span<const Type> arguments, size_t count) {
  const size_t rank = arguments[0].shape.size();
  check<InternalError>(rank > 0 && count == rank, [&] {
    return concat(name, ": ", count, " index operands for an array of rank ", rank,
                  "; wanted one per axis, and an axis");
  });
  for (const Type& index : arguments.subspan(1, count)) {
    check<InternalError>(index.dtype == DType::Int64, [&] {
      return concat(name, ": an index of dtype ", info(index.dtype).name, "; wanted int64");
    });
    check_same_shape(name, arguments[1].shape, index.shape);
  }
}

/// The position in `array` that the index operands name at their element number `element`.
int64_t position_at(std::string_view name, const ArrayValue& array, const Ints& strides,
                    std::span<const ArrayValue> indices, int64_t element) {
  int64_t position = 0;
  for (size_t axis = 0; axis < indices.size(); ++axis) {
    const int64_t index = indices[axis].as<int64_t>()[element];
    check<InternalError>(index >= 0 && index < array.shape[axis], [&] {
      return concat(name, ": index ", index, " of axis ", axis, " of extent ", array.shape[axis]);
    });
    position += index * strides[axis];
  }
  return position;
}

/// The index operands with the batch as one more axis of the array: its own number in the batch.
SmallVector<Expr, 4> batched_indices(const BatchContext& c, size_t count) {
  SmallVector<Expr, 4> indices;
  for (size_t i = 1; i <= count; ++i) indices.push_back(batched_argument(c, i));
  const Shape shape = indices[0].shape();
  indices.insert(0, iota(c.builder, shape, 0));
  return indices;
}

// ---- gather
// --------------------------------------------------------------------------------------

Type infer_gather(std::span<const Type> arguments, const Attributes&) {
  check_indices("gather", arguments, arguments.size() - 1);
  return {arguments[0].dtype, arguments[1].shape};
}

ArrayValue interpret_gather(const Node& node, std::span<const ArrayValue> arguments,
                            const DimBindings& bindings) {
  const ArrayValue& source = arguments[0];
  const Ints strides = ir::strides_of(source.shape);
  ArrayValue out(source.dtype, ir::evaluate(node.type.shape, bindings));
  for (int64_t i = 0; i < out.size(); ++i) {
    const int64_t from = position_at("gather", source, strides, arguments.subspan(1), i);
    ir::set_element(out, i, ir::element(source, from));
  }
  return out;
}

Cotangents gather_vjp(const VjpContext& c) {
  Cotangents result(c.arguments.size());
  result[0] = scatter_add(filled_like(c.arguments[0], 0), c.arguments.subspan(1), c.cotangent);
  return result;
}

Expr gather_batch(const BatchContext& c) {
  SmallVector<Expr, 4> indices = batched_indices(c, c.arguments.size() - 1);
  // An array that all members share needs no axis for the batch.
  if (!c.batched[0]) indices.erase(0);
  return gather(c.arguments[0], indices);
}

const RegisterPrimitive kGather{{
    .name = "gather",
    .cls = PrimitiveClass::Gather,
    .arity = -1,
    .doc = "operand 0 read at the indices that the others (Int64, one per axis of operand 0, of "
           "the result's shape) hold. Indices are in range.",
    .infer = infer_gather,
    .interpret = interpret_gather,
    .vjp = gather_vjp,
    .batch = gather_batch,
    .on_complex = ir::componentwise,
}};

// ---- scatter
// -------------------------------------------------------------------------------------

template <RowName name>
Type infer_scatter(std::span<const Type> arguments, const Attributes&) {
  check<InternalError>(arguments.size() >= 3, [&] {
    return concat(name.view(), ": ", arguments.size(),
                  " operands; wanted an array, an index for "
                  "each of its axes, and a source");
  });
  check_indices(name.view(), arguments, arguments.size() - 2);
  const Type& source = arguments.back();
  check<InternalError>(source.dtype == arguments[0].dtype, [&] {
    return concat(name.view(), ": a source of dtype ", info(source.dtype).name, " for an array of ",
                  info(arguments[0].dtype).name);
  });
  check_same_shape(name.view(), arguments[1].shape, source.shape);
  return arguments[0];
}

/// Halves add in Float32, each sum rounded, as a chain of adds on them would.
ir::Container add_elements(DType dtype, ir::Container a, ir::Container b) {
  const DType compute = compute_dtype(dtype);
  const ir::Container sum = ir::core_function(CoreOp::Add, compute, compute)(
      ir::convert_element(compute, dtype, a), ir::convert_element(compute, dtype, b), 0);
  return ir::convert_element(dtype, compute, sum);
}

template <RowName name, bool adds>
ArrayValue interpret_scatter(const Node&, std::span<const ArrayValue> arguments,
                             const DimBindings&) {
  ArrayValue out = arguments[0];
  const ArrayValue& source = arguments.back();
  const auto indices = arguments.subspan(1, arguments.size() - 2);
  const Ints strides = ir::strides_of(out.shape);
  for (int64_t i = 0; i < source.size(); ++i) {
    const int64_t to = position_at(name.view(), out, strides, indices, i);
    const ir::Container value = ir::element(source, i);
    ir::set_element(out, to, adds ? add_elements(out.dtype, ir::element(out, to), value) : value);
  }
  return out;
}

template <RowName name>
Expr scatter_batch(const BatchContext& c) {
  const size_t count = c.arguments.size() - 2;
  SmallVector<Expr, 4> operands = batched_indices(c, count);
  operands.insert(0, batched_argument(c, 0));
  operands.push_back(batched_argument(c, count + 1));
  return add_node(name.view(), operands);
}

/// The index operands of a scatter.
std::span<const Expr> indices_of(const VjpContext& c) {
  return c.arguments.subspan(1, c.arguments.size() - 2);
}

const RegisterPrimitive kScatterAdd{{
    .name = "scatter_add",
    .cls = PrimitiveClass::Scatter,
    .arity = -1,
    .doc = "Operand 0 with the last operand added, in ascending order of its elements, at the "
           "indices that the operands between (Int64, one per axis of operand 0, of the last "
           "operand's shape) hold. Indices are in range.",
    .infer = infer_scatter<"scatter_add">,
    .interpret = interpret_scatter<"scatter_add", true>,
    .vjp =
        [](const VjpContext& c) {
          Cotangents result(c.arguments.size());
          result[0] = c.cotangent;
          result[c.arguments.size() - 1] = gather(c.cotangent, indices_of(c));
          return result;
        },
    .batch = scatter_batch<"scatter_add">,
    .on_complex = ir::componentwise,
}};

const RegisterPrimitive kScatterSet{{
    .name = "scatter_set",
    .cls = PrimitiveClass::Scatter,
    .arity = -1,
    .doc = "scatter_add with writes in place of additions; the last write to an element stays. "
           "Every writer of an element gets its cotangent.",
    .infer = infer_scatter<"scatter_set">,
    .interpret = interpret_scatter<"scatter_set", false>,
    .vjp =
        [](const VjpContext& c) {
          const Expr zeros = filled_like(c.arguments.back(), 0);
          Cotangents result(c.arguments.size());
          result[0] = scatter_set(c.cotangent, indices_of(c), zeros);
          result[c.arguments.size() - 1] = gather(c.cotangent, indices_of(c));
          return result;
        },
    .batch = scatter_batch<"scatter_set">,
    .on_complex = ir::componentwise,
}};

}  // namespace
}  // namespace flambeau::prim
