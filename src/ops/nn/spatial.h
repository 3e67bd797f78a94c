#pragma once
// Sliding windows over the spatial axes of [N, C, spatial...], as index arithmetic: convolution and
// pooling are a contraction and reductions over them.

#include "ops/functions.h"
#include "ops/registry.h"

namespace flambeau::ops {

/// The geometry of windows along each spatial axis.
struct Windows {
  Ints size, stride, dilation, low, high;  ///< low, high: padding, which may be negative
  /// Number of windows along axis `i` of extent `n`.
  int64_t count(size_t i, int64_t n) const {
    const int64_t span = n + low[i] + high[i] - dilation[i] * (size[i] - 1) - 1;
    return span < 0 ? 0 : span / stride[i] + 1;
  }
  /// The same where there is one.
  ir::Dim count(size_t i, const ir::Dim& n) const {
    const int64_t span = low[i] + high[i] - dilation[i] * (size[i] - 1) - 1;
    return (n + span).floor_div(stride[i]) + 1;
  }
};
/// An int[] argument with one value for each of `rank` spatial axes: one int stands for all.
Ints spatial_argument(const Call& call, const Ints& given, size_t rank, const char* name);
/// Constants of a program.
ir::Shape dims_of(const Ints& values);
/// The extents of space of x [N, C, spatial...].
ir::Shape space_of(const ir::Expr& x);
/// How many windows x has along each axis of space.
ir::Shape counts_of(const Windows& windows, const ir::Expr& x);
/// x [N, C, spatial...] with margins of `value` (negative ones cut) and `interior` between
/// elements.
ir::Expr with_margins(const ir::Expr& x, const ir::Shape& low, const ir::Shape& high,
                      const Ints& interior, double value);
ir::Expr with_margins(const ir::Expr& x, const Windows& windows, double value);
/// [N, C, counts..., size...] of x with its margins.
ir::Expr windows_of(const ir::Expr& padded, const ir::Shape& counts, const Windows& windows);
/// Of Definition::fixed: all but the batch and the last `kSpatial` axes of the first tensor.
template <int kSpatial>
uint64_t all_but_space(const Call& call, size_t tensor) {
  if (tensor > 0) return ~uint64_t{0};
  const int rank = std::get<const TensorInfo*>(call.arguments()[0])->dim();
  return uint64_t{1} << (rank - kSpatial - 1);
}
/// A call's batch axis: x with one if it has rank `spatial` + 1, and the result without it again.
ir::Expr with_batch(const ir::Expr& x, size_t spatial);
ir::Expr without_batch(const ir::Expr& y, const ir::Expr& x, size_t spatial);
/// The sizes of x with a batch axis.
Ints batched_sizes(const Call& call, const Ints& sizes, size_t spatial);
/// x along `axis` by a matrix of weights [in, out].
ir::Expr weighted(const ir::Expr& x, int axis, const ir::Expr& weights);
/// The mean over i in [floor(o * n / out), ceil((o + 1) * n / out)) along `axis` of extent `n`, as
/// a contraction with the matrix of weights.
ir::Expr adaptive_average(const ir::Expr& x, int axis, const ir::Dim& n, const ir::Dim& out);

}  // namespace flambeau::ops
