// The functions of build.h: nodes with their operands broadcast, and the simplifications that
// change no bit.

#include "prim/build.h"

#include <algorithm>
#include <optional>

#include "base/half.h"
#include "prim/row.h"

namespace flambeau::prim {

Shape broadcast_shape(std::string_view name, std::span<const Expr> arguments) {
  size_t rank = 0;
  for (const Expr& a : arguments) rank = std::max(rank, a.shape().size());
  Shape result(rank, Dim(1));
  for (const Expr& a : arguments) {
    const Shape& shape = a.shape();
    const size_t shift = rank - shape.size();
    for (size_t i = 0; i < shape.size(); ++i) {
      Dim& out = result[shift + i];
      if (shape[i].is_one()) continue;
      check<InternalError>(
          out.is_one() || !out.is_constant() || !shape[i].is_constant() || out == shape[i], [&] {
            return concat(name, ": extents ", out.text(), " and ", shape[i].text(), " of axis ", i,
                          " do not broadcast");
          });
      if (out.is_one()) out = shape[i];
    }
  }
  return result;
}

namespace {

// Shapes are taken by value wherever nodes are added before their last use: they may be references
// into the builder, which adding nodes moves.

/// True if `a` broadcasts to `shape` without a node: equal ranks, no axis stretches.
bool fits(const Expr& a, const Shape& shape) {
  if (a.shape().size() != shape.size()) return false;
  for (size_t i = 0; i < shape.size(); ++i)
    if (a.shape()[i].is_one() && !shape[i].is_one()) return false;
  return true;
}

Expr elementwise_node(std::string_view name, std::span<const Expr> given,
                      Attributes attributes = {}) {
  SmallVector<Expr, 4> arguments(given);
  bool any_complex = false;
  for (const Expr& a : arguments) {
    check<InternalError>(a.valid(), [&] { return concat(name, ": an operand is no expression"); });
    any_complex = any_complex || is_complex(a.dtype());
  }
  if (any_complex)
    for (Expr& a : arguments)
      if (is_float(a.dtype())) a = convert(a, complex_dtype(a.dtype()));
  const Shape shape = broadcast_shape(name, arguments);
  SmallVector<Expr, 4> operands;
  for (const Expr& a : arguments) operands.push_back(fits(a, shape) ? a : broadcast_to(a, shape));
  return add_node(name, std::span<const Expr>(operands.begin(), operands.end()),
                  std::move(attributes));
}

/// The number at every element of `a`, if it is a constant or one broadcast.
std::optional<Scalar> constant_value(const Expr& a) {
  const ir::Node* node = &a.node();
  if (node->primitive->name == "broadcast")
    node = &a.builder().nodes()[static_cast<size_t>(node->arguments[0])];
  if (node->primitive->name != "constant") return std::nullopt;
  return node->attributes.value;
}

/// True if `a` is the constant `value` and leaving it out keeps the shape of `other`.
bool is_neutral(const Expr& a, double value, const Expr& other) {
  if (a.dtype() != other.dtype() || is_bool(a.dtype())) return false;
  if (a.rank() > other.rank()) return false;
  const std::optional<Scalar> number = constant_value(a);
  if (!number || number->to_double() != value) return false;
  const int shift = other.rank() - a.rank();
  for (int i = 0; i < a.rank(); ++i)
    if (!a.dim(i).is_one() && other.dim(shift + i).is_one()) return false;
  return true;
}

Expr number_like(const Expr& like, double value) {
  if (is_inexact(like.dtype())) return constant(like, like.dtype(), Scalar(value));
  return constant(like, like.dtype(), Scalar(static_cast<int64_t>(value)));
}

SmallVector<int64_t, 5> identity_axes(size_t count, size_t first = 0) {
  SmallVector<int64_t, 5> axes;
  for (size_t i = 0; i < count; ++i) axes.push_back(static_cast<int64_t>(first + i));
  return axes;
}

Expr reduce(std::string_view name, const Expr& a, std::span<const int64_t> axes, bool keep) {
  if (axes.empty()) return a;
  Attributes attributes{.axes = {axes.begin(), axes.end()}};
  std::sort(attributes.axes.begin(), attributes.axes.end());
  const SmallVector<int64_t, 5> reduced = attributes.axes;
  Shape kept_shape = a.shape();
  const Expr result = add_node(name, {a}, std::move(attributes));
  if (!keep) return result;
  SmallVector<int64_t, 5> map;
  for (size_t i = 0; i < kept_shape.size(); ++i) {
    if (std::find(reduced.begin(), reduced.end(), static_cast<int64_t>(i)) == reduced.end())
      map.push_back(static_cast<int64_t>(i));
    else
      kept_shape[i] = 1;
  }
  return broadcast(result, map, kept_shape);
}

/// Operands of gather and scatter: the array, its index arrays in one shape, the others in it.
SmallVector<Expr, 4> indexed(std::string_view name, const Expr& array,
                             std::span<const Expr> indices, const Expr* source) {
  SmallVector<Expr, 4> all(indices.begin(), indices.end());
  if (source != nullptr) all.push_back(*source);
  const Shape shape = broadcast_shape(name, all);
  SmallVector<Expr, 4> operands{array};
  for (const Expr& a : all) operands.push_back(fits(a, shape) ? a : broadcast_to(a, shape));
  return operands;
}

}  // namespace

Expr elementwise(std::string_view name, std::initializer_list<Expr> arguments) {
  return elementwise_node(name, std::span<const Expr>(arguments.begin(), arguments.size()));
}

Expr constant(ir::Builder& builder, DType dtype, Scalar value) {
  if (is_complex(dtype)) {
    const DType part = real_dtype(dtype);
    return complex(constant(builder, part, Scalar(value.to_double())),
                   constant(builder, part, Scalar(value.imag())));
  }
  // One spelling per number, so that equal constants are one node.
  const Scalar canonical = is_float(dtype)  ? Scalar(value.to_double())
                           : is_bool(dtype) ? Scalar(value.to_bool())
                                            : Scalar(value.to_int());
  return builder.add(&row("constant"), {}, {.value = canonical, .index = static_cast<int>(dtype)});
}
Expr constant(const Expr& like, DType dtype, Scalar value) {
  return constant(like.builder(), dtype, value);
}
Expr extent(ir::Builder& builder, const Dim& dim) {
  if (dim.is_constant()) return constant(builder, DType::Int64, Scalar(dim.constant()));
  return builder.add(&row("extent"), {}, {.dims = {dim}});
}
Expr iota(ir::Builder& builder, const Shape& shape, int axis) {
  return builder.add(&row("iota"), {}, {.axes = {axis}, .dims = {shape.begin(), shape.end()}});
}
Expr linear_index(ir::Builder& builder, const Shape& shape_given) {
  // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): may point into the builder
  const Shape shape = shape_given;
  Expr position = filled(builder, DType::Int64, shape, 0);
  Dim stride = 1;
  for (size_t axis = shape.size(); axis-- > 0;) {
    const Expr index = iota(builder, shape, static_cast<int>(axis));
    position = index * extent(builder, stride) + position;
    stride = stride * shape[axis];
  }
  return position;
}

Expr abs(const Expr& a) { return elementwise(is_complex(a.dtype()) ? "modulus" : "abs", {a}); }
Expr operator+(const Expr& a, const Expr& b) { return elementwise("add", {a, b}); }
Expr operator-(const Expr& a, const Expr& b) { return elementwise("sub", {a, b}); }
Expr operator*(const Expr& a, const Expr& b) {
  if (is_neutral(b, 1, a)) return a;
  if (is_neutral(a, 1, b)) return b;
  return elementwise("mul", {a, b});
}
Expr operator/(const Expr& a, const Expr& b) {
  if (is_neutral(b, 1, a)) return a;
  return elementwise("div", {a, b});
}
Expr operator-(const Expr& a) { return elementwise("neg", {a}); }
Expr operator+(const Expr& a, double b) {
  if (is_complex(a.dtype())) return complex(real(a) + b, imag(a));
  return a + number_like(a, b);
}
Expr operator-(const Expr& a, double b) {
  if (is_complex(a.dtype())) return complex(real(a) - b, imag(a));
  return a - number_like(a, b);
}
Expr operator*(const Expr& a, double b) {
  if (is_complex(a.dtype())) return complex(real(a) * b, imag(a) * b);
  return a * number_like(a, b);
}
Expr operator/(const Expr& a, double b) {
  if (is_complex(a.dtype())) return complex(real(a) / b, imag(a) / b);
  return a / number_like(a, b);
}
Expr operator+(double a, const Expr& b) {
  if (is_complex(b.dtype())) return b + a;
  return number_like(b, a) + b;
}
Expr operator-(double a, const Expr& b) {
  if (is_complex(b.dtype())) return complex(a - real(b), -imag(b));
  return number_like(b, a) - b;
}
Expr operator*(double a, const Expr& b) {
  if (is_complex(b.dtype())) return b * a;
  return number_like(b, a) * b;
}
Expr operator/(double a, const Expr& b) { return number_like(b, a) / b; }

Expr convert(const Expr& a, DType dtype) {
  if (a.dtype() == dtype) return a;
  return add_node("convert", {a}, {.index = static_cast<int>(dtype)});
}
Expr bitcast(const Expr& a, DType dtype) {
  if (a.dtype() == dtype) return a;
  return add_node("bitcast", {a}, {.index = static_cast<int>(dtype)});
}

Expr complex(const Expr& re, const Expr& im) {
  // The parts of one value give it back.
  const ir::Node& a = re.node();
  const ir::Node& b = im.node();
  if (a.primitive->name == "real" && b.primitive->name == "imag" &&
      a.arguments[0] == b.arguments[0])
    return re.builder().expr(a.arguments[0]);
  return elementwise("complex", {re, im});
}
namespace {
/// Operand `i` of `a` if its row is `name`; else invalid.
Expr operand_of(const Expr& a, std::string_view name, size_t i) {
  return a.node().primitive->name == name ? a.builder().expr(a.node().arguments[i]) : Expr();
}
}  // namespace
Expr real(const Expr& a) {
  if (!is_complex(a.dtype())) return a;
  const Expr known = operand_of(a, "complex", 0);
  return known.valid() ? known : elementwise("real", {a});
}
Expr imag(const Expr& a) {
  if (!is_complex(a.dtype())) return filled_like(a, 0);
  const Expr known = operand_of(a, "complex", 1);
  return known.valid() ? known : elementwise("imag", {a});
}
Expr conj(const Expr& a) {
  if (!is_complex(a.dtype())) return a;
  const Expr known = operand_of(a, "conj", 0);
  return known.valid() ? known : elementwise("conj", {a});
}
Expr select(const Expr& condition, const Expr& a, const Expr& b) {
  return elementwise("select", {condition, a, b});
}
Expr select(const Expr& condition, const Expr& a, double b) {
  return select(condition, a, number_like(a, b));
}
Expr select(const Expr& condition, double a, const Expr& b) {
  return select(condition, number_like(b, a), b);
}
Expr fma(const Expr& a, const Expr& b, const Expr& c) { return elementwise("fma", {a, b, c}); }

// A function of build.h that is the row of its name.
#define FLAMBEAU_UNARY(name) \
  Expr name(const Expr& a) { return elementwise(#name, {a}); }
#define FLAMBEAU_BINARY(name) \
  Expr name(const Expr& a, const Expr& b) { return elementwise(#name, {a, b}); }
#define FLAMBEAU_COMPARISON(name) \
  FLAMBEAU_BINARY(name)           \
  Expr name(const Expr& a, double b) { return name(a, number_like(a, b)); }
FLAMBEAU_COMPARISON(eq)
FLAMBEAU_COMPARISON(ne)
FLAMBEAU_COMPARISON(lt)
FLAMBEAU_COMPARISON(le)
FLAMBEAU_COMPARISON(gt)
FLAMBEAU_COMPARISON(ge)
FLAMBEAU_BINARY(minimum)
FLAMBEAU_BINARY(maximum)
FLAMBEAU_BINARY(logical_and)
FLAMBEAU_BINARY(logical_or)
FLAMBEAU_BINARY(logical_xor)
FLAMBEAU_UNARY(logical_not)
FLAMBEAU_BINARY(shift_left)
FLAMBEAU_BINARY(shift_right)
FLAMBEAU_BINARY(remainder)
FLAMBEAU_UNARY(sqrt)
FLAMBEAU_UNARY(floor)
FLAMBEAU_UNARY(ceil)
FLAMBEAU_UNARY(trunc)
FLAMBEAU_UNARY(round)
FLAMBEAU_UNARY(exp)
FLAMBEAU_UNARY(exp2)
FLAMBEAU_UNARY(expm1)
FLAMBEAU_UNARY(log)
FLAMBEAU_UNARY(log2)
FLAMBEAU_UNARY(log10)
FLAMBEAU_UNARY(log1p)
FLAMBEAU_UNARY(sin)
FLAMBEAU_UNARY(cos)
FLAMBEAU_UNARY(tan)
FLAMBEAU_UNARY(asin)
FLAMBEAU_UNARY(acos)
FLAMBEAU_UNARY(atan)
FLAMBEAU_UNARY(sinh)
FLAMBEAU_UNARY(cosh)
FLAMBEAU_UNARY(tanh)
FLAMBEAU_UNARY(asinh)
FLAMBEAU_UNARY(acosh)
FLAMBEAU_UNARY(atanh)
FLAMBEAU_UNARY(erf)
FLAMBEAU_UNARY(erfc)
FLAMBEAU_UNARY(erfinv)
FLAMBEAU_UNARY(ndtr)
FLAMBEAU_UNARY(gelu)
FLAMBEAU_UNARY(i0e)
FLAMBEAU_UNARY(i1e)
FLAMBEAU_UNARY(lgamma)
FLAMBEAU_UNARY(digamma)
FLAMBEAU_BINARY(pow)
FLAMBEAU_UNARY(is_nan)
FLAMBEAU_UNARY(stop_gradient)
#undef FLAMBEAU_COMPARISON
#undef FLAMBEAU_BINARY
#undef FLAMBEAU_UNARY

Expr atan2(const Expr& y, const Expr& x) { return elementwise("atan2", {y, x}); }
Expr philox(const Expr& key, const Expr& place) { return elementwise("philox", {key, place}); }
Expr polygamma(int order, const Expr& a) { return add_node("polygamma", {a}, {.index = order}); }

Expr broadcast(const Expr& a, std::span<const int64_t> axes, const Shape& shape) {
  const ir::Node& node = a.node();
  SmallVector<int64_t, 5> map(axes.begin(), axes.end());
  Expr source = a;
  if (node.primitive->name == "broadcast") {
    // One broadcast instead of two: maps compose.
    source = a.builder().expr(node.arguments[0]);
    map.clear();
    for (const int64_t axis : node.attributes.axes) map.push_back(axes[static_cast<size_t>(axis)]);
  }
  if (map == identity_axes(map.size()) && source.shape() == shape) return source;
  return add_node("broadcast", {source}, {.axes = map, .dims = {shape.begin(), shape.end()}});
}
Expr broadcast_to(const Expr& a, const Shape& shape) {
  check<InternalError>(a.shape().size() <= shape.size(), [&] {
    return concat("broadcast: an operand of rank ", a.rank(), " to a shape of rank ", shape.size());
  });
  return broadcast(a, identity_axes(a.shape().size(), shape.size() - a.shape().size()), shape);
}
Expr permute(const Expr& a, std::span<const int64_t> axes) {
  SmallVector<int64_t, 5> map(axes.begin(), axes.end());
  if (map == identity_axes(a.shape().size())) return a;
  return add_node("permute", {a}, {.axes = map});
}
Expr transpose(const Expr& a, int axis0, int axis1) {
  SmallVector<int64_t, 5> axes = identity_axes(a.shape().size());
  const auto at = [&](int axis) -> int64_t& {
    const int from_front = axis < 0 ? axis + a.rank() : axis;
    check<InternalError>(from_front >= 0 && from_front < a.rank(), [&] {
      return concat("permute: axis ", axis, " of a value of rank ", a.rank());
    });
    return axes[static_cast<size_t>(from_front)];
  };
  std::swap(at(axis0), at(axis1));
  return permute(a, axes);
}
Expr unsqueeze(const Expr& a, int axis) {
  const int position = axis < 0 ? axis + a.rank() + 1 : axis;
  check<InternalError>(position >= 0 && position <= a.rank(), [&] {
    return concat("broadcast: new axis ", axis, " of a value of rank ", a.rank());
  });
  Shape shape = a.shape();
  shape.insert(static_cast<size_t>(position), Dim(1));
  SmallVector<int64_t, 5> map;
  for (int i = 0; i < a.rank(); ++i) map.push_back(i < position ? i : i + 1);
  return broadcast(a, map, shape);
}
Expr squeeze(const Expr& a, std::span<const int64_t> axes) {
  if (axes.empty()) return a;
  Attributes attributes{.axes = {axes.begin(), axes.end()}};
  std::sort(attributes.axes.begin(), attributes.axes.end());
  return add_node("squeeze", {a}, std::move(attributes));
}
Expr slice(const Expr& a, std::span<const Dim> starts, std::span<const Dim> lengths,
           std::span<const Dim> steps) {
  bool whole = starts.size() == a.shape().size() && lengths.size() == a.shape().size();
  for (size_t i = 0; whole && i < starts.size(); ++i)
    whole = starts[i].is_zero() && lengths[i] == a.shape()[i] && steps[i].is_one();
  if (whole) return a;
  Attributes attributes;
  for (const auto part : {starts, lengths, steps}) attributes.dims.append(part.begin(), part.end());
  return add_node("slice", {a}, std::move(attributes));
}
Expr slice(const Expr& a, int axis, const Dim& start, const Dim& length, const Dim& step) {
  const int from_front = axis < 0 ? axis + a.rank() : axis;
  check<InternalError>(from_front >= 0 && from_front < a.rank(), [&] {
    return concat("slice: axis ", axis, " of a value of rank ", a.rank());
  });
  const auto position = static_cast<size_t>(from_front);
  Shape starts(a.shape().size(), Dim(0));
  Shape lengths = a.shape();
  Shape steps(a.shape().size(), Dim(1));
  starts[position] = start;
  lengths[position] = length;
  steps[position] = step;
  return slice(a, std::span<const Dim>(starts.begin(), starts.end()),
               std::span<const Dim>(lengths.begin(), lengths.end()),
               std::span<const Dim>(steps.begin(), steps.end()));
}
Expr flip(const Expr& a, std::span<const int64_t> axes) {
  if (axes.empty()) return a;
  Attributes attributes{.axes = {axes.begin(), axes.end()}};
  std::sort(attributes.axes.begin(), attributes.axes.end());
  return add_node("flip", {a}, std::move(attributes));
}
Expr reshape(const Expr& a, const Shape& shape) {
  if (a.shape() == shape) return a;
  return add_node("reshape", {a}, {.dims = {shape.begin(), shape.end()}});
}
Expr pad(const Expr& a, const Expr& value, std::span<const Dim> low, std::span<const Dim> high,
         std::span<const Dim> interior) {
  bool nothing = true;
  Attributes attributes;
  for (const auto part : {low, high, interior})
    for (const Dim& dim : part) {
      attributes.dims.push_back(dim);
      nothing = nothing && dim.is_zero();
    }
  if (nothing) return a;
  return add_node("pad", {a, value}, std::move(attributes));
}
Expr concatenate(std::span<const Expr> parts, int axis) {
  if (parts.size() == 1) return parts[0];
  return add_node("concatenate", parts, {.axes = {axis}});
}

Expr sum(const Expr& a, std::span<const int64_t> axes, bool keep) {
  return reduce("reduce_sum", a, axes, keep);
}
Expr prod(const Expr& a, std::span<const int64_t> axes, bool keep) {
  return reduce("reduce_prod", a, axes, keep);
}
Expr amax(const Expr& a, std::span<const int64_t> axes, bool keep) {
  return reduce("reduce_max", a, axes, keep);
}
Expr amin(const Expr& a, std::span<const int64_t> axes, bool keep) {
  return reduce("reduce_min", a, axes, keep);
}
Expr all(const Expr& a, std::span<const int64_t> axes, bool keep) {
  return reduce("reduce_and", a, axes, keep);
}
Expr any(const Expr& a, std::span<const int64_t> axes, bool keep) {
  return reduce("reduce_or", a, axes, keep);
}

Expr gather(const Expr& source, std::span<const Expr> indices) {
  return add_node("gather", indexed("gather", source, indices, nullptr));
}
Expr scatter_add(const Expr& target, std::span<const Expr> indices, const Expr& source) {
  return add_node("scatter_add", indexed("scatter_add", target, indices, &source));
}
Expr scatter_set(const Expr& target, std::span<const Expr> indices, const Expr& source) {
  return add_node("scatter_set", indexed("scatter_set", target, indices, &source));
}
Expr scatter_prod(const Expr& target, std::span<const Expr> indices, const Expr& source) {
  return add_node("scatter_prod", indexed("scatter_prod", target, indices, &source));
}
Expr scatter_max(const Expr& target, std::span<const Expr> indices, const Expr& source) {
  return add_node("scatter_max", indexed("scatter_max", target, indices, &source));
}
Expr scatter_min(const Expr& target, std::span<const Expr> indices, const Expr& source) {
  return add_node("scatter_min", indexed("scatter_min", target, indices, &source));
}

namespace {

/// True if the program shows that each element of `a` is a bfloat16 value.
bool holds_bfloat16(const Expr& a) {
  if (a.dtype() == DType::BFloat16) return true;
  if (a.dtype() != DType::Float32) return false;
  const ir::Node& node = a.node();
  const auto operand = [&](size_t i) {
    return holds_bfloat16(a.builder().expr(node.arguments[i]));
  };
  switch (node.primitive->cls) {
    case PrimitiveClass::Source: {
      const auto value = static_cast<float>(node.attributes.value.to_double());
      return node.primitive->name == "constant" &&
             bfloat16_to_float(float_to_bfloat16(value)) == value;
    }
    case PrimitiveClass::Elementwise:
      return node.primitive->name == "convert" && operand(0);
    case PrimitiveClass::View:
    case PrimitiveClass::Reshape:
    case PrimitiveClass::Gather:
      return operand(0);
    case PrimitiveClass::Pad:
      return operand(0) && operand(1);
    default:
      return false;
  }
}

}  // namespace

Expr contract(const Expr& a, const Expr& b) {
  return add_node("contract", {a, b}, {.index = holds_bfloat16(a) && holds_bfloat16(b) ? 1 : 0});
}

}  // namespace flambeau::prim
