// Rows of reduction. Their order of combination is ir/order.h's.

#include <limits>
#include <numbers>

#include "ir/order.h"
#include "prim/complex.h"
#include "prim/structural.h"

namespace flambeau::prim {
namespace {

template <RowName name, Operands allowed>
Type infer_reduce(std::span<const Type> arguments, const Attributes& attributes) {
  const Type& a = arguments[0];
  common_type(name.view(), arguments, allowed);
  check_ascending_axes(name.view(), attributes.axes, a.shape.size());
  Type result{a.dtype, {}};
  for (size_t i = 0; i < a.shape.size(); ++i)
    if (!contains(attributes.axes, i)) result.shape.push_back(a.shape[i]);
  return result;
}

ArrayValue interpret_reduce(const Node& node, std::span<const ArrayValue> arguments,
                            const DimBindings&) {
  const Primitive& row = *node.primitive;
  return ir::reduce_array(arguments[0], node.attributes.axes, *row.combine,
                          row.identity(arguments[0].dtype));
}

Expr reduce_batch(const BatchContext& c) {
  return add_node(c.node.primitive->name, {c.arguments[0]},
                  {.axes = shifted(c.node.attributes.axes)});
}

template <RowName name, CoreOp combine, Operands allowed>
Primitive reduction(std::string_view doc, Scalar (*identity)(DType),
                    Cotangents (*vjp)(const VjpContext&), OnComplex on_complex = nullptr) {
  return {.name = name.view(),
          .cls = PrimitiveClass::Reduce,
          .arity = 1,
          .doc = doc,
          .infer = infer_reduce<name, allowed>,
          .interpret = interpret_reduce,
          .combine = combine,
          .identity = identity,
          .vjp = vjp,
          .batch = reduce_batch,
          .on_complex = on_complex};
}

/// A value of the result's shape at every element of the operand that it was reduced from.
Expr spread(const VjpContext& c, const Expr& value) {
  const Shape from = c.arguments[0].shape();
  SmallVector<int64_t, 5> kept;
  for (size_t i = 0; i < from.size(); ++i)
    if (!contains(c.node.attributes.axes, i)) kept.push_back(static_cast<int64_t>(i));
  return broadcast(value, kept, from);
}

Expr reduce_operand(const VjpContext& c, const Expr& value) {
  return sum(value, c.node.attributes.axes, false);
}

/// The products of the other elements by quotients: result / x where no element is zero; the
/// product of the nonzero ones at a single zero; else zero.
Cotangents quotient_vjp(const VjpContext& c) {
  const Expr& x = c.arguments[0];
  const Expr zero = eq(x, 0);
  const Expr zeros = spread(c, reduce_operand(c, convert(zero, x.dtype())));
  const Expr nonzero = select(zero, 1, x);
  const Expr product = spread(c, prod(nonzero, c.node.attributes.axes, false));
  const Expr at_zero = select(eq(zeros, 1), product, 0);
  const Expr elsewhere = select(eq(zeros, 0), product / nonzero, 0);
  return {spread(c, c.cotangent) * select(zero, at_zero, elsewhere)};
}

/// The products of the other elements. Several axes are one in row-major order.
Cotangents prod_vjp(const VjpContext& c) {
  const Expr& x = c.arguments[0];
  // Running products of complex numbers have no gradient of their own at zeros.
  if (is_complex(x.dtype())) return quotient_vjp(c);
  const SmallVector<int64_t, 5>& axes = c.node.attributes.axes;
  if (axes.size() == 1) {
    const Expr others = product_of_others(x, static_cast<int>(axes[0]));
    return {spread(c, c.cotangent) * others};
  }
  SmallVector<int64_t, 5> order;
  Shape flat;
  for (size_t i = 0; i < x.shape().size(); ++i)
    if (!contains(axes, i)) {
      order.push_back(static_cast<int64_t>(i));
      flat.push_back(x.dim(static_cast<int>(i)));
    }
  flat.emplace_back(1);
  for (const int64_t axis : axes) {
    order.push_back(axis);
    flat.back() = flat.back() * x.dim(static_cast<int>(axis));
  }
  const Expr moved = permute(x, order);
  const int last = static_cast<int>(flat.size()) - 1;
  const Expr others = reshape(product_of_others(reshape(moved, flat), last), moved.shape());
  SmallVector<int64_t, 5> back(order.size());
  for (size_t i = 0; i < order.size(); ++i)
    back[static_cast<size_t>(order[i])] = static_cast<int64_t>(i);
  return {spread(c, c.cotangent) * permute(others, back)};
}

/// Elements that tie for the extremum share its cotangent evenly.
Cotangents extremum_vjp(const VjpContext& c) {
  const Expr& x = c.arguments[0];
  const Expr ties = convert(eq(x, spread(c, c.result)), x.dtype());
  return {ties * spread(c, c.cotangent / reduce_operand(c, ties))};
}

Scalar number(DType dtype, double of_float, int64_t of_integer, bool of_bool) {
  if (is_float(dtype)) return of_float;
  return is_bool(dtype) ? Scalar(of_bool) : Scalar(of_integer);
}

/// The least or greatest value of an integer dtype.
int64_t integer_bound(DType dtype, bool greatest) {
  const auto bits = static_cast<int>(size_of(dtype) * 8);
  if (!info(dtype).is_signed) return greatest ? (int64_t{1} << bits) - 1 : 0;
  const int64_t least = std::numeric_limits<int64_t>::min() >> (64 - bits);
  return greatest ? ~least : least;
}

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// The product of absolute values and the sum of angles, both in Float64. Angles count half turns,
/// so that products of real and imaginary numbers are exact where those of their sizes are.
ComplexValue complex_product(const Node& node, std::span<const ComplexValue> a) {
  const auto& axes = node.attributes.axes;
  const ComplexValue z{convert(a[0].re, DType::Float64), convert(a[0].im, DType::Float64)};
  const Expr size = prod(complex_abs(z), axes, false);
  const Expr turned = sum(atan2(z.im, z.re) / std::numbers::pi, axes, false);
  const Expr half_turns = turned - round(turned * 0.5) * 2;
  const Expr angle = half_turns * std::numbers::pi;
  const Expr at_quarter = eq(abs(half_turns), 0.5);
  const Expr at_half = eq(abs(half_turns), 1);
  const Expr none = eq(size, 0);
  const DType part = a[0].re.dtype();
  const Expr cosine = select(at_quarter, 0, cos(angle));
  const Expr sine = select(logical_or(none, at_half), 0, sin(angle));
  return {convert(select(eq(cosine, 0), 0, size * cosine), part),
          convert(select(eq(sine, 0), 0, size * sine), part)};
}

const RegisterPrimitive kSum{reduction<"reduce_sum", CoreOp::Add, Operands::Numbers>(
    "The sum over `axes`, which vanish.", [](DType dtype) { return number(dtype, 0, 0, false); },
    [](const VjpContext& c) { return Cotangents{spread(c, c.cotangent)}; }, ir::componentwise)};

const RegisterPrimitive kProd{reduction<"reduce_prod", CoreOp::Mul, Operands::Numbers>(
    "The product over `axes`, which vanish.", [](DType dtype) { return number(dtype, 1, 1, true); },
    prod_vjp, complex_product)};

const RegisterPrimitive kMax{reduction<"reduce_max", CoreOp::Max, Operands::Every>(
    "The maximum over `axes`, which vanish; NaN if any is NaN; -inf or the least of nothing.",
    [](DType dtype) { return number(dtype, -kInfinity, integer_bound(dtype, false), false); },
    extremum_vjp)};

const RegisterPrimitive kMin{reduction<"reduce_min", CoreOp::Min, Operands::Every>(
    "The minimum over `axes`, which vanish; NaN if any is NaN; inf or the greatest of nothing.",
    [](DType dtype) { return number(dtype, kInfinity, integer_bound(dtype, true), true); },
    extremum_vjp)};

const RegisterPrimitive kAnd{reduction<"reduce_and", CoreOp::And, Operands::BoolOrIntegers>(
    "The conjunction over `axes`, which vanish; bitwise on integers; all ones of nothing.",
    [](DType dtype) { return number(dtype, 0, info(dtype).is_signed ? -1 : 255, true); }, nullptr)};

const RegisterPrimitive kOr{reduction<"reduce_or", CoreOp::Or, Operands::BoolOrIntegers>(
    "The disjunction over `axes`, which vanish; bitwise on integers; zero of nothing.",
    [](DType dtype) { return number(dtype, 0, 0, false); }, nullptr)};

}  // namespace
}  // namespace flambeau::prim
