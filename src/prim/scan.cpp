// Rows of running reduction. Their order of combination is ir/order.h's.

#include <limits>
#include <numbers>

#include "ir/order.h"
#include "prim/complex.h"
#include "prim/exponential.h"
#include "prim/structural.h"

namespace flambeau::prim {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <RowName name, Operands allowed>
Type infer_scan(std::span<const Type> arguments, const Attributes& attributes) {
  const Type type = common_type(name.view(), arguments, allowed);
  check<InternalError>(attributes.axes.size() == 1 && attributes.axes[0] >= 0 &&
                           attributes.axes[0] < static_cast<int64_t>(type.shape.size()) &&
                           !is_half(type.dtype),
                       [&] {
                         return concat(name.view(), ": axes ", list_text(attributes.axes), " of ",
                                       info(type.dtype).name, " of rank ", type.shape.size(),
                                       "; wanted one axis, 16-bit floats as float32");
                       });
  return type;
}

ArrayValue interpret_scan(const Node& node, std::span<const ArrayValue> arguments,
                          const DimBindings&) {
  return ir::scan_array(*node.primitive, arguments, node.attributes);
}

Expr scan_batch(const BatchContext& c) {
  std::vector<Expr> arguments;
  for (size_t i = 0; i < c.arguments.size(); ++i) arguments.push_back(batched_argument(c, i));
  Attributes attributes = c.node.attributes;
  ++attributes.axes[0];
  return add_node(c.node.primitive->name, arguments, std::move(attributes));
}

int axis_of(const VjpContext& c) { return static_cast<int>(c.node.attributes.axes[0]); }
bool runs_backwards(const VjpContext& c) { return c.node.attributes.index != 0; }

/// `a` moved one step along `axis` in the direction of a scan; `first` where nothing moves to.
Expr moved(const Expr& a, int axis, bool backwards, double first) {
  const auto position = static_cast<size_t>(axis);
  Shape low(a.shape().size(), Dim(0));
  Shape high = low;
  const Shape none = low;
  (backwards ? high : low)[position] = 1;
  const Expr wider = pad(a, constant(a, a.dtype(), Scalar(first)), low, high, none);
  return slice(wider, axis, backwards ? Dim(1) : Dim(0), a.dim(axis));
}

/// The cotangent of each element of a scan, what later elements pass on to it included: `passed`
/// is the derivative of an element with respect to the one before.
Expr accumulated(const VjpContext& c, const Expr& passed) {
  const bool back = !runs_backwards(c);
  return linear_recurrence(moved(passed, axis_of(c), back, 0), c.cotangent, axis_of(c), back);
}

template <RowName name, Operands allowed, Value (*combine)(const Value&, const Value&)>
Primitive running(std::string_view doc, Cotangents (*vjp)(const VjpContext&)) {
  return {.name = name.view(),
          .cls = PrimitiveClass::Scan,
          .arity = 1,
          .doc = doc,
          .infer = infer_scan<name, allowed>,
          .emit = emit_binary<combine>,
          .interpret = interpret_scan,
          .vjp = vjp,
          .batch = scan_batch};
}

Value add_values(const Value& a, const Value& b) { return a + b; }
Value multiply_values(const Value& a, const Value& b) { return a * b; }
Value larger_value(const Value& a, const Value& b) { return a.apply(CoreOp::Max, b); }
Value smaller_value(const Value& a, const Value& b) { return a.apply(CoreOp::Min, b); }

Value log_sum_exp_value(const Value& a, const Value& b) {
  const Value larger = a.apply(CoreOp::Max, b);
  const Value rest = log1p_value(exp_value(a.apply(CoreOp::Min, b) - larger));
  return select(abs(larger) == kInfinity, larger, larger + rest);
}

Primitive componentwise(Primitive row) {
  row.on_complex = ir::componentwise;
  return row;
}

const RegisterPrimitive kSum{componentwise(running<"scan_sum", Operands::Numbers, add_values>(
    "The sum of the elements up to each along axes[0]; from the last element on if `index` is 1.",
    [](const VjpContext& c) {
      return Cotangents{running_sum(c.cotangent, axis_of(c), !runs_backwards(c))};
    }))};

/// Running magnitudes and angles, in float64.
ComplexValue complex_running_product(const Node& node, std::span<const ComplexValue> a) {
  const auto axis = static_cast<int>(node.attributes.axes[0]);
  const bool backwards = node.attributes.index != 0;
  const ComplexValue z{convert(a[0].re, DType::Float64), convert(a[0].im, DType::Float64)};
  const Expr size = running_prod(complex_abs(z), axis, backwards);
  const Expr turned = running_sum(atan2(z.im, z.re) / std::numbers::pi, axis, backwards);
  const Expr half_turns = turned - round(turned * 0.5) * 2;
  const Expr angle = half_turns * std::numbers::pi;
  const Expr cosine = select(eq(abs(half_turns), 0.5), 0, cos(angle));
  const Expr sine = select(logical_or(eq(size, 0), eq(abs(half_turns), 1)), 0, sin(angle));
  const DType part = a[0].re.dtype();
  return {convert(select(eq(cosine, 0), 0, size * cosine), part),
          convert(select(eq(sine, 0), 0, size * sine), part)};
}
Primitive with_complex_product(Primitive row) {
  row.on_complex = complex_running_product;
  return row;
}

const RegisterPrimitive kProd{with_complex_product(running<"scan_prod", Operands::Numbers,
                                                           multiply_values>(
    "The product of the elements up to each along axes[0]; from the last one on if `index` is 1.",
    [](const VjpContext& c) {
      if (is_complex(c.result.dtype())) {
        const Expr sums = running_sum(c.cotangent * c.result, axis_of(c), !runs_backwards(c));
        return Cotangents{sums / c.arguments[0]};
      }
      const Expr before = moved(c.result, axis_of(c), runs_backwards(c), 1);
      return Cotangents{accumulated(c, c.arguments[0]) * before};
    }))};

/// The latest element that is as extreme as any before it has the cotangent.
Cotangents extreme_vjp(const VjpContext& c) {
  const Expr& x = c.arguments[0];
  const Expr place =
      latest_place(logical_or(eq(x, c.result), is_nan(x)), axis_of(c), runs_backwards(c));
  std::vector<Expr> places;
  for (int axis = 0; axis < x.rank(); ++axis)
    places.push_back(axis == axis_of(c) ? place : iota(c.builder, x.shape(), axis));
  return {scatter_add(filled_like(x, 0), places, c.cotangent)};
}

const RegisterPrimitive kMax{running<"scan_max", Operands::Numbers, larger_value>(
    "The maximum up to each element along axes[0], NaN from the first NaN on; from the last "
    "element on if `index` is 1.",
    extreme_vjp)};

const RegisterPrimitive kMin{running<"scan_min", Operands::Numbers, smaller_value>(
    "The minimum up to each element along axes[0], NaN from the first NaN on; from the last "
    "element on if `index` is 1.",
    extreme_vjp)};

/// exp(a - b), where a <= b may both be infinite.
Expr exp_of_difference(const Expr& a, const Expr& b) {
  const Expr same_infinity = logical_and(eq(a, b), eq(abs(a), kInfinity));
  return exp(select(same_infinity, 0, a) - select(same_infinity, 0, b));
}

const RegisterPrimitive kLogSumExp{running<"scan_log_sum_exp", Operands::Floats, log_sum_exp_value>(
    "The logarithm of the sum of exponentials up to each element along axes[0]; from the last "
    "element on if `index` is 1.",
    [](const VjpContext& c) {
      const Expr before = moved(c.result, axis_of(c), runs_backwards(c), -kInfinity);
      const Expr sums = accumulated(c, exp_of_difference(before, c.result));
      return Cotangents{sums * exp_of_difference(c.arguments[0], c.result)};
    })};

Operand emit_recurrence(Emitter& emitter, DType, std::span<const Operand> a, const Attributes&) {
  return (Value(emitter, a[1]) * Value(emitter, a[0]) + Value(emitter, a[2])).operand();
}

const RegisterPrimitive kLinear{{
    .name = "scan_linear",
    .cls = PrimitiveClass::Scan,
    .arity = 2,
    .doc = "result[i] = a[i] * result[i - 1] + b[i] along axes[0], result[0] = b[0]; from the last "
           "element on if `index` is 1.",
    .infer = infer_scan<"scan_linear", Operands::Numbers>,
    .emit = emit_recurrence,
    .interpret = interpret_scan,
    .vjp =
        [](const VjpContext& c) {
          const Expr sums = accumulated(c, c.arguments[0]);
          return Cotangents{sums * moved(c.result, axis_of(c), runs_backwards(c), 0), sums};
        },
    .batch = scan_batch,
}};

}  // namespace

namespace {

Expr add_scan(std::string_view name, std::initializer_list<Expr> arguments, int axis,
              bool backwards) {
  const Expr& last = *(arguments.end() - 1);
  if (last.dim(axis).is_one()) return last;
  return add_node(name, arguments, {.axes = {axis}, .index = backwards ? 1 : 0});
}

}  // namespace

Expr running_sum(const Expr& a, int axis, bool backwards) {
  return add_scan("scan_sum", {a}, axis, backwards);
}
Expr running_prod(const Expr& a, int axis, bool backwards) {
  return add_scan("scan_prod", {a}, axis, backwards);
}
Expr running_max(const Expr& a, int axis, bool backwards) {
  return add_scan("scan_max", {a}, axis, backwards);
}
Expr running_min(const Expr& a, int axis, bool backwards) {
  return add_scan("scan_min", {a}, axis, backwards);
}
Expr running_log_sum_exp(const Expr& a, int axis, bool backwards) {
  return add_scan("scan_log_sum_exp", {a}, axis, backwards);
}
Expr linear_recurrence(const Expr& a, const Expr& b, int axis, bool backwards) {
  return add_scan("scan_linear", {a, b}, axis, backwards);
}

Expr latest_place(const Expr& hit, int axis, bool backwards) {
  const Expr place = iota(hit.builder(), hit.shape(), axis);
  const Expr last = extent(hit.builder(), hit.dim(axis) - 1);
  return backwards ? running_min(select(hit, place, broadcast_to(last, hit.shape())), axis, true)
                   : running_max(select(hit, place, 0), axis);
}

Expr product_of_others(const Expr& a, int axis) {
  return moved(running_prod(a, axis), axis, false, 1) *
         moved(running_prod(a, axis, true), axis, true, 1);
}

}  // namespace flambeau::prim
