#pragma once
// The primitives as functions on expressions: the language in which operations are defined.
//
//   Expr m = stop_gradient(amax(x, {dim}));   // keeps the axis with extent 1
//   Expr e = exp(x - m);
//   return e / sum(e, {dim});
//
// Operands of elementwise functions broadcast (axes aligned at the right, extent 1 stretches) and
// have one dtype; numbers become constants of that dtype.

#include <initializer_list>
#include <span>

#include "ir/program.h"

namespace flambeau::prim {

using ir::Dim;
using ir::Expr;
using ir::Shape;

/// The shape to which `arguments` broadcast: per axis the first extent that is not the constant 1.
/// `name` is for the error.
Shape broadcast_shape(std::string_view name, std::span<const Expr> arguments);
/// The elementwise row `name` on `arguments`, broadcast to one shape.
Expr elementwise(std::string_view name, std::initializer_list<Expr> arguments);

// Sources. `like` only names the program.
Expr constant(const Expr& like, DType dtype, Scalar value);
Expr constant(ir::Builder& builder, DType dtype, Scalar value);
Expr extent(ir::Builder& builder, const Dim& dim);  ///< Int64, shape []
/// Int64 of `shape`, each element its index along `axis`.
Expr iota(ir::Builder& builder, const Shape& shape, int axis);
/// Int64 of the shape, each element its row-major position.
Expr linear_index(ir::Builder& builder, const Shape& shape_given);

// Elementwise.
Expr operator+(const Expr& a, const Expr& b);
Expr operator-(const Expr& a, const Expr& b);
Expr operator*(const Expr& a, const Expr& b);
Expr operator/(const Expr& a, const Expr& b);
Expr operator-(const Expr& a);
Expr operator+(const Expr& a, double b);
Expr operator-(const Expr& a, double b);
Expr operator*(const Expr& a, double b);
Expr operator/(const Expr& a, double b);
Expr operator+(double a, const Expr& b);
Expr operator-(double a, const Expr& b);
Expr operator*(double a, const Expr& b);
Expr operator/(double a, const Expr& b);
Expr convert(const Expr& a, DType dtype);  ///< the same Expr if it has the dtype
Expr bitcast(const Expr& a, DType dtype);
Expr select(const Expr& condition, const Expr& a, const Expr& b);
Expr select(const Expr& condition, const Expr& a, double b);
Expr select(const Expr& condition, double a, const Expr& b);
// Complex values. Elementwise functions and index maps take them as they take reals, where their
// rows say what that means; real operands beside complex ones become complex; numbers of type
// double are real.
Expr complex(const Expr& re, const Expr& im);
Expr real(const Expr& a);  ///< a real value itself
Expr imag(const Expr& a);  ///< zeros for a real value
Expr conj(const Expr& a);  ///< a real value itself
Expr fma(const Expr& a, const Expr& b, const Expr& c);
Expr eq(const Expr& a, const Expr& b);
Expr ne(const Expr& a, const Expr& b);
Expr lt(const Expr& a, const Expr& b);
Expr le(const Expr& a, const Expr& b);
Expr gt(const Expr& a, const Expr& b);
Expr ge(const Expr& a, const Expr& b);
Expr eq(const Expr& a, double b);
Expr ne(const Expr& a, double b);
Expr lt(const Expr& a, double b);
Expr le(const Expr& a, double b);
Expr gt(const Expr& a, double b);
Expr ge(const Expr& a, double b);
Expr minimum(const Expr& a, const Expr& b);  ///< NaN if either is; ties share the gradient
Expr maximum(const Expr& a, const Expr& b);
Expr logical_and(const Expr& a, const Expr& b);  ///< bitwise on integers
Expr logical_or(const Expr& a, const Expr& b);
Expr logical_xor(const Expr& a, const Expr& b);
Expr logical_not(const Expr& a);
Expr shift_left(const Expr& a, const Expr& b);
Expr shift_right(const Expr& a, const Expr& b);
Expr remainder(const Expr& a, const Expr& b);  ///< C's: the sign of the dividend
Expr abs(const Expr& a);                       ///< of a complex value: real
Expr sqrt(const Expr& a);
Expr floor(const Expr& a);
Expr ceil(const Expr& a);
Expr trunc(const Expr& a);
Expr round(const Expr& a);  ///< ties to even
Expr exp(const Expr& a);
Expr exp2(const Expr& a);
Expr expm1(const Expr& a);
Expr log(const Expr& a);
Expr log2(const Expr& a);
Expr log10(const Expr& a);
Expr log1p(const Expr& a);
Expr sin(const Expr& a);
Expr cos(const Expr& a);
Expr tan(const Expr& a);
Expr asin(const Expr& a);
Expr acos(const Expr& a);
Expr atan(const Expr& a);
Expr atan2(const Expr& y, const Expr& x);
Expr sinh(const Expr& a);
Expr cosh(const Expr& a);
Expr tanh(const Expr& a);
Expr asinh(const Expr& a);
Expr acosh(const Expr& a);
Expr atanh(const Expr& a);
Expr erf(const Expr& a);
Expr erfc(const Expr& a);
Expr erfinv(const Expr& a);
Expr ndtr(const Expr& a);  ///< distribution function of the standard normal
Expr gelu(const Expr& a);  ///< a * ndtr(a)
Expr lgamma(const Expr& a);
Expr digamma(const Expr& a);
Expr polygamma(int order, const Expr& a);  ///< derivative `order` (1 to 24) of digamma
Expr i0e(const Expr& a);                   ///< exp(-|a|) I0(a)
Expr i1e(const Expr& a);                   ///< exp(-|a|) I1(a)
Expr pow(const Expr& a, const Expr& b);
Expr is_nan(const Expr& a);
Expr stop_gradient(const Expr& a);
/// 32 random bits (an Int32) of the Philox 2x32-7 stream `key` at `place`; both Int64.
Expr philox(const Expr& key, const Expr& place);

// Index maps.
/// Axis i of `a` becomes axis axes[i] of the result, whose shape is `shape`; extents 1 stretch.
Expr broadcast(const Expr& a, std::span<const int64_t> axes, const Shape& shape);
/// Right-aligned broadcast to `shape`.
Expr broadcast_to(const Expr& a, const Shape& shape);
/// Result axis i is axis axes[i] of `a`.
Expr permute(const Expr& a, std::span<const int64_t> axes);
Expr transpose(const Expr& a, int axis0, int axis1);
/// New axes of extent 1 at `axis` of the result.
Expr unsqueeze(const Expr& a, int axis);
/// Removes axes of extent 1.
Expr squeeze(const Expr& a, std::span<const int64_t> axes);
/// Along each axis: `length` elements from `start` in steps of `step` (> 0).
Expr slice(const Expr& a, std::span<const Dim> starts, std::span<const Dim> lengths,
           std::span<const Dim> steps);
/// slice of one axis.
Expr slice(const Expr& a, int axis, const Dim& start, const Dim& length, const Dim& step = 1);
Expr flip(const Expr& a, std::span<const int64_t> axes);
Expr reshape(const Expr& a, const Shape& shape);
/// `low` and `high` elements `value` around, `interior` between elements, along each axis.
Expr pad(const Expr& a, const Expr& value, std::span<const Dim> low, std::span<const Dim> high,
         std::span<const Dim> interior);
Expr concatenate(std::span<const Expr> parts, int axis);

// Reductions over `axes` (distinct, each in [0, rank)); `keep` leaves them with extent 1.
Expr sum(const Expr& a, std::span<const int64_t> axes, bool keep = true);
Expr prod(const Expr& a, std::span<const int64_t> axes, bool keep = true);
Expr amax(const Expr& a, std::span<const int64_t> axes, bool keep = true);
Expr amin(const Expr& a, std::span<const int64_t> axes, bool keep = true);
Expr all(const Expr& a, std::span<const int64_t> axes, bool keep = true);  ///< Bool
Expr any(const Expr& a, std::span<const int64_t> axes, bool keep = true);  ///< Bool

// Scans along `axis`, from its first element on, or from its last (`backwards`).
Expr running_sum(const Expr& a, int axis, bool backwards = false);
Expr running_prod(const Expr& a, int axis, bool backwards = false);
Expr running_max(const Expr& a, int axis, bool backwards = false);  ///< NaN from the first on
Expr running_min(const Expr& a, int axis, bool backwards = false);
Expr running_log_sum_exp(const Expr& a, int axis, bool backwards = false);
/// result[i] = a[i] * result[i - 1] + b[i], result[0] = b[0].
Expr linear_recurrence(const Expr& a, const Expr& b, int axis, bool backwards = false);
/// Int64: the index along `axis` of the latest element up to each for which `hit` holds, or that of
/// the first.
Expr latest_place(const Expr& hit, int axis, bool backwards = false);
/// For each element the product of all others along `axis`.
Expr product_of_others(const Expr& a, int axis);

/// result[o] = source[indices[0][o], indices[1][o], ...]: one Int64 index array per axis of
/// `source`, broadcast to one shape. Indices must be in range.
Expr gather(const Expr& source, std::span<const Expr> indices);
/// A copy of `target` to which source[o] is added at [indices[0][o], ...], in ascending order of o.
Expr scatter_add(const Expr& target, std::span<const Expr> indices, const Expr& source);
/// The same with the last write staying.
Expr scatter_set(const Expr& target, std::span<const Expr> indices, const Expr& source);

/// The same with the product, or the larger or smaller of both.
Expr scatter_prod(const Expr& target, std::span<const Expr> indices, const Expr& source);
Expr scatter_max(const Expr& target, std::span<const Expr> indices, const Expr& source);
Expr scatter_min(const Expr& target, std::span<const Expr> indices, const Expr& source);

/// [batch..., m, k] x [batch..., k, n] -> [batch..., m, n]; equal batch axes.
Expr contract(const Expr& a, const Expr& b);

}  // namespace flambeau::prim
