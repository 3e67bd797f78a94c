#include <algorithm>

#include "base/error.h"
#include "ir/complex.h"

namespace flambeau::ir {
namespace {

const Primitive* row(std::string_view name) {
  const Primitive* found = find_primitive(name);
  require(found != nullptr, "split_complex: a structural row is missing");
  return found;
}

/// The rows that splitting itself writes.
struct Rows {
  const Primitive* slice = row("slice");
  const Primitive* squeeze = row("squeeze");
  const Primitive* broadcast = row("broadcast");
  const Primitive* concatenate = row("concatenate");
  const Primitive* permute = row("permute");
  const Primitive* convert = row("convert");
};
const Rows& rows() {
  static const Rows kRows;
  return kRows;
}

Expr operand(const Expr& value, size_t i = 0) {
  return value.builder().expr(value.node().arguments[i]);
}

/// Part 0 or 1 of `packed`.
Expr part(const Expr& packed, int which) {
  const Shape shape = packed.shape();
  const size_t last = shape.size() - 1;
  Attributes slice;
  for (size_t i = 0; i < last; ++i) slice.dims.push_back(0);
  slice.dims.push_back(which);
  for (size_t i = 0; i < last; ++i) slice.dims.push_back(shape[i]);
  slice.dims.push_back(1);
  for (size_t i = 0; i <= last; ++i) slice.dims.push_back(1);
  Builder& builder = packed.builder();
  const Expr column = builder.add(rows().slice, {&packed, 1}, std::move(slice));
  return builder.add(rows().squeeze, {&column, 1}, {.axes = {static_cast<int64_t>(last)}});
}

/// What `value` is part `which` of, if it is one; else invalid.
Expr whole_of_part(const Expr& value, int which) {
  if (value.node().primitive != rows().squeeze) return {};
  const Expr column = operand(value);
  if (column.node().primitive != rows().slice) return {};
  const Expr whole = operand(column);
  if (whole.rank() == 0 || !(whole.dim(-1) == Dim(2)) || value.rank() + 1 != whole.rank())
    return {};
  const bool same = part(whole, which).id() == value.id();
  return same ? whole : Expr();
}

/// `value` with a last axis of 1, or stretched to 2.
Expr with_last_axis(const Expr& value, int extent) {
  Attributes attributes;
  const Shape shape = value.shape();
  for (size_t i = 0; i < shape.size(); ++i) attributes.axes.push_back(static_cast<int64_t>(i));
  attributes.dims.append(shape.begin(), shape.end());
  attributes.dims.push_back(extent);
  return value.builder().add(rows().broadcast, {&value, 1}, std::move(attributes));
}

/// What with_last_axis(value, 1) was given; else invalid.
Expr without_last_axis(const Expr& value) {
  if (value.node().primitive != rows().broadcast) return {};
  const Expr inner = operand(value);
  if (inner.rank() + 1 != value.rank()) return {};
  return with_last_axis(inner, 1).id() == value.id() ? inner : Expr();
}

/// The attributes of a row that acts on one part, or on the packed value (`rank` that of the
/// complex one) if it takes one.
Attributes real_attributes(const Node& node, size_t rank, bool packed) {
  Attributes attributes = node.attributes;
  const Primitive* p = node.primitive;
  if (p == rows().convert)
    attributes.index = static_cast<int>(real_dtype(static_cast<DType>(attributes.index)));
  if (!packed) return attributes;
  if (p == rows().broadcast) {
    attributes.axes.push_back(static_cast<int64_t>(attributes.dims.size()));
    attributes.dims.push_back(2);
  } else if (p == rows().permute) {
    attributes.axes.push_back(static_cast<int64_t>(rank));
  } else if (p == rows().slice) {
    const Dim last[] = {0, 2, 1};
    for (size_t which = 0; which < 3; ++which)
      attributes.dims.insert((which + 1) * rank + which, last[which]);
  } else if (p->cls == PrimitiveClass::Reshape) {
    attributes.dims.push_back(2);
  }
  return attributes;
}

bool keeps_last_axis(PrimitiveClass cls) {
  return cls == PrimitiveClass::View || cls == PrimitiveClass::Reshape ||
         cls == PrimitiveClass::Elementwise || cls == PrimitiveClass::Reduce ||
         cls == PrimitiveClass::Concatenate;
}

class Splitter {
 public:
  explicit Splitter(const Program& from) : from_(from) {}

  Program run() {
    for (const Type& type : from_.parameters) parameters_.push_back(declare(type));
    for (const DType dtype : from_.numbers) numbers_.push_back(builder_.number(dtype));
    for (const Node& node : from_.nodes) values_.push_back(split(node));
    std::vector<Expr> results;
    for (const NodeId id : from_.results) {
      const ComplexValue& value = values_[static_cast<size_t>(id)];
      results.push_back(value.is_complex() ? pack(value) : value.re);
    }
    return builder_.finish(results);
  }

 private:
  ComplexValue declare(const Type& type) {
    if (!is_complex(type.dtype)) return {builder_.parameter(type.dtype, type.shape)};
    Shape shape = type.shape;
    shape.push_back(2);
    return unpack(builder_.parameter(real_dtype(type.dtype), shape));
  }

  ComplexValue split(const Node& node) {
    const auto index = static_cast<size_t>(node.attributes.index);
    if (node.primitive == parameter_row()) return parameters_[index];
    if (node.primitive == number_row()) return {numbers_[index]};
    SmallVector<ComplexValue, 4> arguments;
    bool any = is_complex(node.type.dtype);
    for (const NodeId id : node.arguments) {
      arguments.push_back(values_[static_cast<size_t>(id)]);
      any = any || arguments.back().is_complex();
    }
    if (any) {
      check<InternalError>(node.primitive->on_complex != nullptr, [&] {
        return concat(node.primitive->name, ": has no meaning on complex operands");
      });
      return node.primitive->on_complex(node, arguments);
    }
    SmallVector<Expr, 4> operands;
    for (const ComplexValue& argument : arguments) operands.push_back(argument.re);
    return {builder_.add(node.primitive, operands, node.attributes)};
  }

  const Program& from_;
  Builder builder_;
  std::vector<ComplexValue> parameters_;
  std::vector<Expr> numbers_;
  std::vector<ComplexValue> values_;
};

}  // namespace

ComplexValue unpack(const Expr& packed) {
  if (packed.node().primitive == rows().concatenate && packed.node().arguments.size() == 2 &&
      packed.node().attributes.axes[0] == packed.rank() - 1) {
    const ComplexValue parts{without_last_axis(operand(packed, 0)),
                             without_last_axis(operand(packed, 1))};
    if (parts.re.valid() && parts.im.valid()) return parts;
  }
  return {part(packed, 0), part(packed, 1)};
}

Expr packed_source(const ComplexValue& value) {
  const Expr whole = whole_of_part(value.re, 0);
  if (!whole.valid()) return {};
  const Expr other = whole_of_part(value.im, 1);
  return other.valid() && other.id() == whole.id() ? whole : Expr();
}

Expr pack(const ComplexValue& value) {
  if (const Expr whole = packed_source(value); whole.valid()) return whole;
  const Expr parts[] = {with_last_axis(value.re, 1), with_last_axis(value.im, 1)};
  return parts[0].builder().add(rows().concatenate, parts, {.axes = {parts[0].rank() - 1}});
}

ComplexValue componentwise(const Node& node, std::span<const ComplexValue> arguments) {
  Builder* builder = nullptr;
  SmallVector<Expr, 4> packed;
  bool whole = keeps_last_axis(node.primitive->cls);
  size_t rank = 0;
  for (const ComplexValue& argument : arguments) {
    builder = &argument.re.builder();
    if (!whole) continue;
    rank = static_cast<size_t>(argument.re.rank());
    packed.push_back(argument.is_complex() ? packed_source(argument)
                                           : with_last_axis(argument.re, 2));
    whole = packed.back().valid();
  }
  if (whole) return unpack(builder->add(node.primitive, packed, real_attributes(node, rank, true)));
  ComplexValue result;
  for (const bool imaginary : {false, true}) {
    SmallVector<Expr, 4> operands;
    for (const ComplexValue& argument : arguments)
      operands.push_back(imaginary && argument.is_complex() ? argument.im : argument.re);
    (imaginary ? result.im : result.re) =
        builder->add(node.primitive, operands, real_attributes(node, rank, false));
  }
  return result;
}

bool has_complex(const Program& program) {
  const auto complex_type = [](const Type& type) { return is_complex(type.dtype); };
  return std::any_of(program.parameters.begin(), program.parameters.end(), complex_type) ||
         std::any_of(program.nodes.begin(), program.nodes.end(),
                     [&](const Node& node) { return complex_type(node.type); });
}

Program split_complex(const Program& program) { return Splitter(program).run(); }

}  // namespace flambeau::ir
