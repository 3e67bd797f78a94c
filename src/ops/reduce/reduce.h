#pragma once
// What the reductions share: their axes and the types of their results.

#include "ops/functions.h"
#include "ops/registry.h"

namespace flambeau::ops {

/// The axes that a call reduces: those of `parameter` (an int, a list or None), all of the first
/// tensor's if it is None or empty. None for a 0-dim tensor.
Ints reduced_axes(const Call& call, std::string_view parameter = "dim");
/// The sizes of `self` without `axes`; with extent 1 in their place if `keep`.
Ints reduced_sizes(const Ints& sizes, const Ints& axes, bool keep);
/// The call's `keepdim`.
bool keeps_axes(const Call& call);
/// Pushes a result of `dtype` with the reduced sizes of `self`.
void reduced_result(const Call& call, ResultInfos& results, DType dtype);
/// IndexError or RuntimeError as PyTorch's if the call would reduce no element at all.
void check_not_empty(const Call& call);
/// The index along `axes` (one axis, or all of them flattened) of the first element equal to
/// `extreme`, which is the maximum or minimum of x with its axes kept; Int64, axes kept.
Expr index_of_extreme(const Expr& x, const Expr& extreme, const Ints& axes);
/// sqrt with slope 0 at 0.
Expr safe_sqrt(const Expr& x);
/// (sum |x|^p)^(1/p) over `axes` for the call's number `order`, with no slope where it is 0; the
/// definition lists norm_orders() among its special values.
Expr p_norm(Lowering& l, const Expr& x, const Ints& axes, bool keep, const char* order = "p");
std::vector<double> norm_orders();
/// RuntimeError if one of `axes` is empty and the norm of order `p` has no value then: there is no
/// largest, no smallest and no quotient of none.
void check_norm_exists(const Call& call, const Scalar& p, const Ints& sizes, const Ints& axes);
/// Puts `value`, reduced over `axes`, back to rank: extent 1 at each of them.
Expr with_axes(const Expr& value, const Ints& axes, int rank);
/// `x` as the call's `dtype` (or its own), widened for computing.
Expr as_dtype(Lowering& l, const Expr& x);

/// Samples of reductions: all axes, one, several, kept, 0-dim.
SampleList reduction_samples();

}  // namespace flambeau::ops
