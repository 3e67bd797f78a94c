#pragma once
// What the operations with index tensors share.

#include "ops/checks.h"
#include "ops/functions.h"

namespace flambeau::ops {

/// `index` with negative elements counted from the end of an axis of extent `n`.
ir::Expr wrap_index(const ir::Expr& index, const ir::Dim& n);
/// The index arrays with which prim::gather reads `x` along `axis` at `index` (an Int64 array of
/// the rank of x) and at its own place along the other axes.
std::vector<ir::Expr> along_axis(const ir::Expr& x, int axis, const ir::Expr& index);
/// A one-axis `index` seen along `axis` of arrays of rank `rank`.
ir::Expr as_axis(const ir::Expr& index, int axis, int rank);
/// RuntimeError or IndexError `E` unless `parameter` has an integer dtype (bool refused).
void check_index_dtype(const Call& call, std::string_view parameter);
/// "index 7 is out of bounds for dimension 0 with size 2": E unless -low <= index < n.
template <class E>
void check_bounds(HostCall& host, std::string_view parameter, int64_t axis, int64_t n,
                  int64_t low) {
  const std::optional<int64_t> bad = find_outside(host, parameter, low, n);
  check<E>(!bad, [&] {
    return concat(host.call().name(), ": index ", *bad, " is out of bounds for dimension ", axis,
                  " with size ", n);
  });
}

}  // namespace flambeau::ops
