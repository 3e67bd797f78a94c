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
  check<NotImplementedError>(
      !is_complex(arguments[0].dtype) || row(name.view()).on_complex != nullptr, [&] {
        return concat('"', name.view(), "\" not implemented for '", info(arguments[0].dtype).word,
                      "'");
      });
  const Type& source = arguments.back();
  check<InternalError>(source.dtype == arguments[0].dtype, [&] {
    return concat(name.view(), ": a source of dtype ", info(source.dtype).name, " for an array of ",
                  info(arguments[0].dtype).name);
  });
  check_same_shape(name.view(), arguments[1].shape, source.shape);
  return arguments[0];
}

/// `a` and `b` combined; halves in Float32 and rounded, as a chain of elementwise rows would be.
ir::Container combine_elements(CoreOp op, DType dtype, ir::Container a, ir::Container b) {
  const DType compute = compute_dtype(dtype);
  const ir::Container value = ir::core_function(op, compute, compute)(
      ir::convert_element(compute, dtype, a), ir::convert_element(compute, dtype, b), 0);
  return ir::convert_element(dtype, compute, value);
}

ArrayValue interpret_scatter(const Node& node, std::span<const ArrayValue> arguments,
                             const DimBindings&) {
  ArrayValue out = arguments[0];
  const ArrayValue& source = arguments.back();
  const auto indices = arguments.subspan(1, arguments.size() - 2);
  const Ints strides = ir::strides_of(out.shape);
  const std::optional<CoreOp> op = node.primitive->combine;
  for (int64_t i = 0; i < source.size(); ++i) {
    const int64_t to = position_at(node.primitive->name, out, strides, indices, i);
    const ir::Container value = ir::element(source, i);
    ir::set_element(out, to,
                    op ? combine_elements(*op, out.dtype, ir::element(out, to), value) : value);
  }
  return out;
}

Expr scatter_batch(const BatchContext& c) {
  const size_t count = c.arguments.size() - 2;
  SmallVector<Expr, 4> operands = batched_indices(c, count);
  operands.insert(0, batched_argument(c, 0));
  operands.push_back(batched_argument(c, count + 1));
  return add_node(c.node.primitive->name, operands);
}

/// The index operands of a scatter.
std::span<const Expr> indices_of(const VjpContext& c) {
  return c.arguments.subspan(1, c.arguments.size() - 2);
}

template <RowName name>
Primitive scatter(std::string_view doc, std::optional<CoreOp> combine,
                  Cotangents (*vjp)(const VjpContext&)) {
  return {.name = name.view(),
          .cls = PrimitiveClass::Scatter,
          .arity = -1,
          .doc = doc,
          .infer = infer_scatter<name>,
          .interpret = interpret_scatter,
          .combine = combine,
          .vjp = vjp,
          .batch = scatter_batch,
          .on_complex = combine && *combine != CoreOp::Add ? nullptr : ir::componentwise};
}

const RegisterPrimitive kScatterAdd{scatter<"scatter_add">(
    "Operand 0 with the last operand added, in ascending order of its elements, at the "
    "indices that the operands between (Int64, one per axis of operand 0, of the last "
    "operand's shape) hold. Indices are in range.",
    CoreOp::Add, [](const VjpContext& c) {
      Cotangents result(c.arguments.size());
      result[0] = c.cotangent;
      result[c.arguments.size() - 1] = gather(c.cotangent, indices_of(c));
      return result;
    })};

const RegisterPrimitive kScatterSet{scatter<"scatter_set">(
    "scatter_add with writes in place of additions; the last write to an element stays. "
    "Every writer of an element gets its cotangent.",
    std::nullopt, [](const VjpContext& c) {
      const Expr zeros = filled_like(c.arguments.back(), 0);
      Cotangents result(c.arguments.size());
      result[0] = scatter_set(c.cotangent, indices_of(c), zeros);
      result[c.arguments.size() - 1] = gather(c.cotangent, indices_of(c));
      return result;
    })};

/// The factors other than each: a quotient where no factor of the element is zero, the product of
/// the others at its only zero, else zero.
const RegisterPrimitive kScatterProd{scatter<"scatter_prod">(
    "scatter_add with multiplications in place of additions.", CoreOp::Mul,
    [](const VjpContext& c) {
      const Expr& x = c.arguments[0];
      const Expr& source = c.arguments.back();
      const auto indices = indices_of(c);
      const Expr no_x = eq(x, 0);
      const Expr no_source = eq(source, 0);
      const Expr zeros =
          scatter_add(convert(no_x, x.dtype()), indices, convert(no_source, source.dtype()));
      const Expr product = scatter_prod(select(no_x, 1, x), indices, select(no_source, 1, source));
      const auto others = [&](const Expr& own, const Expr& is_zero, const Expr& count,
                              const Expr& all) {
        const Expr quotient = select(eq(count, 0), all / select(is_zero, 1, own), 0);
        return select(is_zero, select(eq(count, 1), all, 0), quotient);
      };
      Cotangents result(c.arguments.size());
      result[0] = c.cotangent * others(x, no_x, zeros, product);
      result[c.arguments.size() - 1] =
          gather(c.cotangent, indices) *
          others(source, no_source, gather(zeros, indices), gather(product, indices));
      return result;
    })};

/// Elements that tie for the extreme share its cotangent evenly.
Cotangents scatter_extreme_vjp(const VjpContext& c) {
  const Expr& x = c.arguments[0];
  const Expr& source = c.arguments.back();
  const auto indices = indices_of(c);
  const Expr x_ties = convert(eq(x, c.result), x.dtype());
  const Expr source_ties = convert(eq(source, gather(c.result, indices)), x.dtype());
  const Expr share = c.cotangent / scatter_add(x_ties, indices, source_ties);
  Cotangents result(c.arguments.size());
  result[0] = select(eq(x_ties, 0), 0, share);
  result[c.arguments.size() - 1] = select(eq(source_ties, 0), 0, gather(share, indices));
  return result;
}

const RegisterPrimitive kScatterMax{
    scatter<"scatter_max">("scatter_add with the larger of both in place of the sum; NaN if "
                           "either is.",
                           CoreOp::Max, scatter_extreme_vjp)};

const RegisterPrimitive kScatterMin{
    scatter<"scatter_min">("scatter_add with the smaller of both in place of the sum; NaN if "
                           "either is.",
                           CoreOp::Min, scatter_extreme_vjp)};

}  // namespace
}  // namespace flambeau::prim
