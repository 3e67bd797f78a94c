#pragma once
// Host kernels along one axis: the elements of a contiguous tensor as rows.

#include <vector>

#include "ir/core_function.h"
#include "ops/index/index.h"

namespace flambeau::ops {

/// A contiguous tensor as [outer, n, inner], n along the axis.
struct Rows {
  int64_t outer = 1, n = 1, inner = 1;
  Rows(const Ints& sizes, int64_t axis);
  int64_t count() const { return outer * inner; }
  /// Position of element `i` of row `row`.
  int64_t at(int64_t row, int64_t i) const { return (row / inner * n + i) * inner + row % inner; }
};

/// The address of element `position`.
inline std::byte* address(const HostTensor& t, int64_t position) {
  return static_cast<std::byte*>(t.data) + position * static_cast<int64_t>(size_of(t.info.dtype));
}
inline ir::Container load(const HostTensor& t, int64_t position) {
  return ir::load_element(t.info.dtype, address(t, position));
}
inline void store(const HostTensor& t, int64_t position, ir::Container value) {
  ir::store_element(t.info.dtype, address(t, position), value);
}
/// A complex tensor's parts along a further last axis of 2.
inline HostTensor parts_of(HostTensor t) {
  t.info.dtype = real_dtype(t.info.dtype);
  t.info.sizes.push_back(2);
  t.info.strides = contiguous_strides(t.info.sizes);
  return t;
}
/// Element `position` as a number; integers of more than 53 bits lose their last ones.
inline double number_at(const HostTensor& t, int64_t position) {
  return ir::to_double(t.info.dtype, load(t, position));
}
/// True if `a` comes before `b` in ascending order; NaN comes last.
bool comes_before(DType dtype, ir::Container a, ir::Container b);
/// The places of a row's elements in sorted order, equal ones in their own order.
std::vector<int64_t> sorted_places(const HostTensor& t, const Rows& rows, int64_t row,
                                   bool descending);
/// The gradient of values that were picked along `axis` at `index` (axes as in `like`): each
/// cotangent goes to its place.
ir::Expr put_back(const ir::Expr& like, int axis, const ir::Expr& index, const ir::Expr& cotangent);

}  // namespace flambeau::ops
