#pragma once
// Compositions that several definitions share, in forms that are stable backward too.

#include "prim/build.h"

namespace flambeau::ops {

/// 1 / (1 + exp(-x)), never through an overflow.
ir::Expr sigmoid(const ir::Expr& x);
/// log(1 + exp(x)), never through an overflow.
ir::Expr softplus(const ir::Expr& x);
/// log(exp(a) + exp(b)); infinities of one sign give themselves.
ir::Expr log_add_exp(const ir::Expr& a, const ir::Expr& b);
/// x with its elements where `condition` replaced, so that what follows stays finite there and the
/// gradient is 0.
ir::Expr replace_where(const ir::Expr& condition, const ir::Expr& x, double value);
/// -1, 0, 1 or NaN; no gradient.
ir::Expr sign(const ir::Expr& x);
/// |x|^2: x * x for a real x.
ir::Expr abs_squared(const ir::Expr& x);
/// x * x.
ir::Expr square(const ir::Expr& x);
/// exp(x - max) / sum along `axis`.
ir::Expr softmax(const ir::Expr& x, int axis);
ir::Expr log_softmax(const ir::Expr& x, int axis);
/// The number of elements along `axes`, in `dtype`, shape [].
ir::Expr count(const ir::Expr& x, std::span<const int64_t> axes, DType dtype);
ir::Expr mean(const ir::Expr& x, std::span<const int64_t> axes, bool keep = true);
/// floor(a / b) with Python's rule for signs, for floats as PyTorch rounds it.
ir::Expr floor_divide(const ir::Expr& a, const ir::Expr& b);
/// a - floor(a / b) * b: the sign of the divisor.
ir::Expr modulo(const ir::Expr& a, const ir::Expr& b);
/// `like`'s dtype and shape filled with `value`.
ir::Expr full_like(const ir::Expr& like, double value);
/// Every axis of a tensor of rank `rank`.
Ints all_axes(int64_t rank);

}  // namespace flambeau::ops
