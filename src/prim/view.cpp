// Rows that are affine maps of indices: broadcast, permute, slice, flip, squeeze.

#include "prim/structural.h"

namespace flambeau::prim {
namespace {

/// The first, second or third part of slice's `dims`: starts, lengths, steps.
std::span<const Dim> part(const Attributes& attributes, size_t which) {
  const size_t rank = attributes.dims.size() / 3;
  return {attributes.dims.data() + which * rank, rank};
}

// ---- broadcast
// -----------------------------------------------------------------------------------

Type infer_broadcast(std::span<const Type> arguments, const Attributes& attributes) {
  const Shape& from = arguments[0].shape;
  bool good = attributes.axes.size() == from.size();
  for (size_t i = 0; good && i < from.size(); ++i) {
    const int64_t axis = attributes.axes[i];
    good = axis >= 0 && static_cast<size_t>(axis) < attributes.dims.size() &&
           (i == 0 || axis > attributes.axes[i - 1]);
    if (!good) break;
    const Dim& to = attributes.dims[static_cast<size_t>(axis)];
    good = from[i].is_one() || !from[i].is_constant() || !to.is_constant() || from[i] == to;
  }
  check<InternalError>(good, [&] {
    return concat("broadcast: axes ", list_text(attributes.axes), " do not map an operand of rank ",
                  from.size(), " into a shape of rank ", attributes.dims.size(),
                  ", ascending and with equal extents or 1");
  });
  return {arguments[0].dtype, Shape(attributes.dims.begin(), attributes.dims.end())};
}

ArrayValue interpret_broadcast(const Node& node, std::span<const ArrayValue> arguments,
                               const DimBindings& bindings) {
  const ArrayValue& a = arguments[0];
  const Ints shape = ir::evaluate(node.type.shape, bindings);
  const Ints from = ir::strides_of(a.shape);
  Ints strides(shape.size());
  for (size_t i = 0; i < from.size(); ++i) {
    const auto axis = static_cast<size_t>(node.attributes.axes[i]);
    check<InternalError>(a.shape[i] == 1 || a.shape[i] == shape[axis], [&] {
      return concat("broadcast: extent ", a.shape[i], " to ", shape[axis]);
    });
    strides[axis] = a.shape[i] == 1 ? 0 : from[i];
  }
  return ir::strided_copy(a, shape, 0, strides);
}

Cotangents broadcast_vjp(const VjpContext& c) {
  const Shape from = c.arguments[0].shape();
  const Shape to = c.node.type.shape;
  SmallVector<int64_t, 5> reduced;
  SmallVector<int64_t, 5> kept;  // axes of the operand that the reduction leaves
  for (size_t axis = 0, i = 0; axis < to.size(); ++axis) {
    const bool mapped = i < from.size() && c.node.attributes.axes[i] == static_cast<int64_t>(axis);
    if (mapped && (!from[i].is_one() || to[axis].is_one()))
      kept.push_back(static_cast<int64_t>(i));
    else
      reduced.push_back(static_cast<int64_t>(axis));
    if (mapped) ++i;
  }
  return {broadcast(sum(c.cotangent, reduced, false), kept, from)};
}

Expr broadcast_batch(const BatchContext& c) {
  SmallVector<int64_t, 5> axes = shifted(c.node.attributes.axes);
  axes.insert(0, 0);
  return broadcast(c.arguments[0], axes, with_batch(c, c.node.attributes.dims));
}

const RegisterPrimitive kBroadcast{{
    .name = "broadcast",
    .cls = PrimitiveClass::View,
    .arity = 1,
    .doc = "Axis i of the operand is axis axes[i] (ascending) of the result, whose shape is "
           "`dims`; extents that are the constant 1 stretch.",
    .infer = infer_broadcast,
    .interpret = interpret_broadcast,
    .vjp = broadcast_vjp,
    .batch = broadcast_batch,
    .on_complex = ir::componentwise,
}};

// ---- permute
// -------------------------------------------------------------------------------------

Type infer_permute(std::span<const Type> arguments, const Attributes& attributes) {
  const Shape& from = arguments[0].shape;
  Shape shape;
  SmallVector<bool, 8> seen(from.size(), false);
  bool good = attributes.axes.size() == from.size();
  for (size_t i = 0; good && i < from.size(); ++i) {
    const auto axis = static_cast<size_t>(attributes.axes[i]);
    good = axis < from.size() && !seen[axis];
    if (!good) break;
    seen[axis] = true;
    shape.push_back(from[axis]);
  }
  check<InternalError>(good, [&] {
    return concat("permute: axes ", list_text(attributes.axes),
                  " are no permutation of an operand of rank ", from.size());
  });
  return {arguments[0].dtype, shape};
}

const RegisterPrimitive kPermute{{
    .name = "permute",
    .cls = PrimitiveClass::View,
    .arity = 1,
    .doc = "Axis i of the result is axis axes[i] of the operand.",
    .infer = infer_permute,
    .interpret =
        [](const Node& node, std::span<const ArrayValue> arguments, const DimBindings& bindings) {
          const Ints from = ir::strides_of(arguments[0].shape);
          Ints strides;
          for (const int64_t axis : node.attributes.axes)
            strides.push_back(from[static_cast<size_t>(axis)]);
          return ir::strided_copy(arguments[0], ir::evaluate(node.type.shape, bindings), 0,
                                  strides);
        },
    .vjp = [](const VjpContext& c) -> Cotangents {
      SmallVector<int64_t, 5> inverse(c.node.attributes.axes.size());
      for (size_t i = 0; i < inverse.size(); ++i)
        inverse[static_cast<size_t>(c.node.attributes.axes[i])] = static_cast<int64_t>(i);
      return {permute(c.cotangent, inverse)};
    },
    .batch =
        [](const BatchContext& c) {
          SmallVector<int64_t, 5> axes = shifted(c.node.attributes.axes);
          axes.insert(0, 0);
          return permute(c.arguments[0], axes);
        },
    .on_complex = ir::componentwise,
}};

// ---- slice
// ---------------------------------------------------------------------------------------

Type infer_slice(std::span<const Type> arguments, const Attributes& attributes) {
  const Shape& from = arguments[0].shape;
  bool good = attributes.dims.size() == 3 * from.size();
  for (size_t i = 0; good && i < from.size(); ++i) {
    const Dim& start = part(attributes, 0)[i];
    const Dim& length = part(attributes, 1)[i];
    const Dim& step = part(attributes, 2)[i];
    good = !step.is_constant() || step.constant() > 0;
    const Dim end = start + (length - 1) * step + 1;
    if (length.is_constant() && length.constant() > 0 && end.is_constant() && from[i].is_constant())
      good = good && start.constant() >= 0 && end.constant() <= from[i].constant();
  }
  check<InternalError>(good, [&] {
    std::vector<std::string> texts;
    for (const Dim& dim : attributes.dims) texts.push_back(dim.text());
    return concat("slice: starts, lengths and steps ", list_text(texts),
                  " do not fit an operand of rank ", from.size());
  });
  const auto lengths = part(attributes, 1);
  return {arguments[0].dtype, Shape(lengths.begin(), lengths.end())};
}

const RegisterPrimitive kSlice{{
    .name = "slice",
    .cls = PrimitiveClass::View,
    .arity = 1,
    .doc = "Along each axis `length` elements from `start` in steps of `step` > 0; `dims` are all "
           "starts, all lengths, all steps.",
    .infer = infer_slice,
    .interpret =
        [](const Node& node, std::span<const ArrayValue> arguments, const DimBindings& bindings) {
          const Ints from = ir::strides_of(arguments[0].shape);
          int64_t offset = 0;
          Ints strides;
          for (size_t i = 0; i < from.size(); ++i) {
            offset += part(node.attributes, 0)[i].evaluate(bindings) * from[i];
            strides.push_back(part(node.attributes, 2)[i].evaluate(bindings) * from[i]);
          }
          return ir::strided_copy(arguments[0], ir::evaluate(node.type.shape, bindings), offset,
                                  strides);
        },
    .vjp = [](const VjpContext& c) -> Cotangents {
      const Shape from = c.arguments[0].shape();
      Shape high;
      Shape interior;
      for (size_t i = 0; i < from.size(); ++i) {
        const Dim& start = part(c.node.attributes, 0)[i];
        const Dim& length = part(c.node.attributes, 1)[i];
        const Dim& step = part(c.node.attributes, 2)[i];
        // An empty slice covers nothing and has no interior.
        const Dim covered = max(Dim(0), (length - 1) * step + 1);
        high.push_back(from[i] - start - covered);
        interior.push_back(step - 1);
      }
      return {pad(c.cotangent, constant(c.cotangent, c.cotangent.dtype(), Scalar(0.0)),
                  part(c.node.attributes, 0), high, interior)};
    },
    .batch =
        [](const BatchContext& c) {
          Shape starts{Dim(0)};
          Shape lengths{c.batch};
          Shape steps{Dim(1)};
          starts.append(part(c.node.attributes, 0).begin(), part(c.node.attributes, 0).end());
          lengths.append(part(c.node.attributes, 1).begin(), part(c.node.attributes, 1).end());
          steps.append(part(c.node.attributes, 2).begin(), part(c.node.attributes, 2).end());
          return slice(c.arguments[0], starts, lengths, steps);
        },
    .on_complex = ir::componentwise,
}};

// ---- flip
// ----------------------------------------------------------------------------------------

const RegisterPrimitive kFlip{{
    .name = "flip",
    .cls = PrimitiveClass::View,
    .arity = 1,
    .doc = "The elements in reverse order along `axes`.",
    .infer =
        [](std::span<const Type> arguments, const Attributes& attributes) {
          check_ascending_axes("flip", attributes.axes, arguments[0].shape.size());
          return arguments[0];
        },
    .interpret =
        [](const Node& node, std::span<const ArrayValue> arguments, const DimBindings&) {
          Ints strides = ir::strides_of(arguments[0].shape);
          int64_t offset = 0;
          for (const int64_t a : node.attributes.axes) {
            const auto axis = static_cast<size_t>(a);
            offset += (arguments[0].shape[axis] - 1) * strides[axis];
            strides[axis] = -strides[axis];
          }
          return ir::strided_copy(arguments[0], arguments[0].shape, offset, strides);
        },
    .vjp = [](const VjpContext& c) -> Cotangents {
      return {flip(c.cotangent, c.node.attributes.axes)};
    },
    .batch =
        [](const BatchContext& c) { return flip(c.arguments[0], shifted(c.node.attributes.axes)); },
    .on_complex = ir::componentwise,
}};

// ---- squeeze
// -------------------------------------------------------------------------------------

const RegisterPrimitive kSqueeze{{
    .name = "squeeze",
    .cls = PrimitiveClass::View,
    .arity = 1,
    .doc = "The operand without its `axes`, which have extent 1.",
    .infer =
        [](std::span<const Type> arguments, const Attributes& attributes) {
          const Shape& from = arguments[0].shape;
          check_ascending_axes("squeeze", attributes.axes, from.size());
          Shape shape;
          for (size_t i = 0; i < from.size(); ++i) {
            if (!contains(attributes.axes, i)) {
              shape.push_back(from[i]);
              continue;
            }
            check<InternalError>(!from[i].is_constant() || from[i].is_one(), [&] {
              return concat("squeeze: axis ", i, " has extent ", from[i].text(), "; wanted 1");
            });
          }
          return Type{arguments[0].dtype, shape};
        },
    .interpret =
        [](const Node& node, std::span<const ArrayValue> arguments, const DimBindings& bindings) {
          ArrayValue out = arguments[0];
          out.shape = ir::evaluate(node.type.shape, bindings);
          require(out.size() == arguments[0].size(), "squeeze: an axis does not have extent 1");
          return out;
        },
    .vjp = [](const VjpContext& c) -> Cotangents {
      const Shape from = c.arguments[0].shape();
      SmallVector<int64_t, 5> kept;
      for (size_t i = 0; i < from.size(); ++i)
        if (!contains(c.node.attributes.axes, i)) kept.push_back(static_cast<int64_t>(i));
      return {broadcast(c.cotangent, kept, from)};
    },
    .batch =
        [](const BatchContext& c) {
          return squeeze(c.arguments[0], shifted(c.node.attributes.axes));
        },
    .on_complex = ir::componentwise,
}};

}  // namespace
}  // namespace flambeau::prim
