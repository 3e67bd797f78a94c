#pragma once
// What the operations with index tensors share.

#include <functional>

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

/// The extent of self along the call's `dim`.
int64_t extent_along(const Call& call);
/// Pushes a result of self's type.
void same_as_self(const Call& call, ResultInfos& results);

/// What is done at the places: prim::scatter_add, or a composition of such.
using Scatter = std::function<ir::Expr(const ir::Expr& target, std::span<const ir::Expr> places,
                                       const ir::Expr& source)>;
/// Bool, like `target`: true at the places that `source` is written to.
ir::Expr written_at(const ir::Expr& target, std::span<const ir::Expr> places,
                    const ir::Expr& source);
// An `index` for every element: checks of types (`source`: the parameter, or nullptr for a number)
// and of bounds, and self updated along `dim`.
void check_scatter(const Call& call, const char* source);
void scatter_checks(HostCall& host);
ir::Expr scatter_elements(Lowering& l, const Scatter& update, const ir::Expr& source);
// A vector `index` of whole slices; `source` is self with its length along `dim`.
void check_slices(const Call& call, const char* source);
void slice_checks(HostCall& host);
ir::Expr scatter_slices(Lowering& l, const Scatter& update, const ir::Expr& source);
// The same where negative indices count from the end.
void wrapping_slice_checks(HostCall& host);
ir::Expr scatter_wrapping_slices(Lowering& l, const Scatter& update, const ir::Expr& source);

}  // namespace flambeau::ops
