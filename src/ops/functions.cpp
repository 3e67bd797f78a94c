#include "ops/functions.h"

#include <limits>

namespace flambeau::ops {

using namespace prim;

Expr sigmoid(const Expr& x) {
  const Expr positive = ge(real(x), 0.0);
  const Expr z = exp(select(positive, -x, x));
  const Expr one = full_like(z, 1.0);
  return select(positive, one, z) / (z + 1.0);
}

Expr softplus(const Expr& x) {
  // The larger part by selection, not by maximum, whose gradient is shared at 0.
  const Expr positive = gt(x, 0.0);
  return select(positive, x, 0.0) + log1p(exp(select(positive, -x, x)));
}

Expr log_add_exp(const Expr& a, const Expr& b) {
  if (is_complex(a.dtype())) {
    // The operand of the larger real part keeps its angle, which the logarithm would reduce.
    const Expr first = ge(real(a), real(b));
    const Expr larger = select(first, a, b);
    return larger + log1p(exp(select(first, b, a) - larger));
  }
  const Expr m = stop_gradient(maximum(a, b));
  const Expr shift =
      replace_where(logical_not(lt(abs(m), std::numeric_limits<double>::infinity())), m, 0.0);
  return log(exp(a - shift) + exp(b - shift)) + shift;
}

Expr replace_where(const Expr& condition, const Expr& x, double value) {
  return select(condition, value, x);
}

Expr sign(const Expr& x) {
  if (is_bool(x.dtype())) return x;
  return stop_gradient(convert(gt(x, 0.0), x.dtype()) - convert(lt(x, 0.0), x.dtype()));
}

Expr square(const Expr& x) { return x * x; }

Expr abs_squared(const Expr& x) {
  return is_complex(x.dtype()) ? square(real(x)) + square(imag(x)) : square(x);
}

Expr softmax(const Expr& x, int axis) {
  const Ints axes = x.rank() == 0 ? Ints{} : Ints{axis};
  const Expr e = exp(x - stop_gradient(amax(x, axes)));
  // One quotient a row: the sum is at least 1, and a division takes as long as half of exp.
  return e * (1.0 / sum(e, axes));
}

Expr log_softmax(const Expr& x, int axis) {
  const Ints axes = x.rank() == 0 ? Ints{} : Ints{axis};
  const Expr shifted = x - stop_gradient(amax(x, axes));
  return shifted - log(sum(exp(shifted), axes));
}

Expr count(const Expr& x, std::span<const int64_t> axes, DType dtype) {
  Dim n = 1;
  for (const int64_t axis : axes) n = n * x.dim(static_cast<int>(axis));
  return convert(extent(x.builder(), n), dtype);
}

Expr mean(const Expr& x, std::span<const int64_t> axes, bool keep) {
  if (is_complex(x.dtype())) return complex(mean(real(x), axes, keep), mean(imag(x), axes, keep));
  return sum(x, axes, keep) / count(x, axes, x.dtype());
}

Expr floor_divide(const Expr& a, const Expr& b) {
  const Expr rest = remainder(a, b);
  const Expr adjust = logical_and(ne(rest, 0.0), logical_xor(lt(rest, 0.0), lt(b, 0.0)));
  if (!is_float(a.dtype())) return a / b - convert(adjust, a.dtype());
  const Expr quotient = (a - rest) / b - convert(adjust, a.dtype());
  const Expr down = floor(quotient);
  const Expr nearest = select(gt(quotient - down, 0.5), down + 1.0, down);
  const Expr ratio = a / b;
  // A zero keeps the sign of the true quotient; dividing by zero gives what division gives.
  return select(eq(b, 0.0), ratio, select(eq(quotient, 0.0), ratio * 0.0, nearest));
}

Expr modulo(const Expr& a, const Expr& b) {
  const Expr rest = remainder(a, b);
  const Expr adjust = logical_and(ne(rest, 0.0), logical_xor(lt(rest, 0.0), lt(b, 0.0)));
  return select(adjust, rest + b, rest);
}

Expr full_like(const Expr& like, double value) {
  return broadcast_to(constant(like, like.dtype(), Scalar(value)), like.shape());
}

Ints all_axes(int64_t rank) {
  Ints axes;
  for (int64_t i = 0; i < rank; ++i) axes.push_back(i);
  return axes;
}

}  // namespace flambeau::ops
