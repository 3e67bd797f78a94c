#include "prim/row.h"

namespace flambeau::prim {
namespace {

bool allows(Operands allowed, DType dtype) {
  switch (allowed) {
    case Operands::Every:
      return true;
    case Operands::Numbers:
      return !is_bool(dtype);
    case Operands::Floats:
      return is_float(dtype);
    case Operands::Integers:
      return is_integer(dtype);
    case Operands::BoolOrIntegers:
      return !is_float(dtype);
  }
  return false;
}

}  // namespace

void check_same_shape(std::string_view name, const Shape& a, const Shape& b) {
  bool same = a.size() == b.size();
  for (size_t i = 0; same && i < a.size(); ++i)
    same = !a[i].is_constant() || !b[i].is_constant() || a[i] == b[i];
  check<InternalError>(same, [&] {
    const auto text = [](const Shape& shape) {
      std::vector<std::string> texts;
      for (const Dim& dim : shape) texts.push_back(dim.text());
      return list_text(texts);
    };
    return concat(name, ": operands of shapes ", text(a), " and ", text(b), "; wanted one shape");
  });
}

Type common_type(std::string_view name, std::span<const Type> arguments, Operands allowed,
                 size_t skip) {
  const Type& first = arguments[skip];
  const bool is_split = is_complex(first.dtype) && row(name).on_complex != nullptr;
  check<NotImplementedError>(is_split || !is_complex(first.dtype), [&] {
    return concat('"', name, "\" not implemented for '", info(first.dtype).word, "'");
  });
  check<InternalError>(is_split || allows(allowed, first.dtype), [&] {
    return concat(name, ": not defined for operands of dtype ", info(first.dtype).name);
  });
  for (const Type& other : arguments.subspan(skip + 1)) {
    check<InternalError>(other.dtype == first.dtype, [&] {
      return concat(name, ": operands of dtypes ", info(first.dtype).name, " and ",
                    info(other.dtype).name, "; wanted one dtype");
    });
    check_same_shape(name, first.shape, other.shape);
  }
  return first;
}

Cotangents zero_vjp(const VjpContext& context) { return {filled_like(context.arguments[0], 0)}; }

const Primitive& row(std::string_view name) {
  const Primitive* found = ir::find_primitive(name);
  check<InternalError>(found != nullptr,
                       [&] { return concat("prim: no primitive is named '", name, "'"); });
  return *found;
}

Expr add_node(std::string_view name, std::span<const Expr> arguments, Attributes attributes) {
  check<InternalError>(!arguments.empty() && arguments[0].valid(),
                       [&] { return concat(name, ": an operand is no expression"); });
  return arguments[0].builder().add(&row(name), arguments, std::move(attributes));
}

Expr add_node(std::string_view name, std::initializer_list<Expr> arguments, Attributes attributes) {
  return add_node(name, std::span<const Expr>(arguments.begin(), arguments.size()),
                  std::move(attributes));
}

Expr filled(ir::Builder& builder, DType dtype, const Shape& shape_given, double value) {
  // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): may point into the builder
  const Shape shape = shape_given;
  const Scalar number = is_inexact(dtype) ? Scalar(value) : Scalar(static_cast<int64_t>(value));
  return broadcast(constant(builder, dtype, number), {}, shape);
}

Expr filled_like(const Expr& like, double value) {
  return filled(like.builder(), like.dtype(), like.shape(), value);
}

}  // namespace flambeau::prim
