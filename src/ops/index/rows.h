#pragma once
// Host kernels along one axis: the elements of a contiguous tensor as rows.

#include <compare>
#include <span>
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
/// An element of a row: keys are ordered as the elements, NaN last, zeros being equal (or all the
/// other way round).
struct Ranked {
  uint64_t key;
  int64_t place;
  friend auto operator<=>(const Ranked&, const Ranked&) = default;
};

/// Orders the rows of a tensor, equal elements by their places.
class RowOrder {
 public:
  RowOrder(const HostTensor& tensor, const Rows& rows, bool descending)
      : tensor_(tensor), rows_(rows), descending_(descending) {}
  // What they give is there until the next call.
  /// All elements of the row.
  std::span<const Ranked> sorted(int64_t row);
  /// The first `count` of them.
  std::span<const Ranked> first(int64_t row, int64_t count);
  struct Nans {
    int64_t count = 0;
    int64_t first = -1;
  };
  Nans nans(int64_t row);
  /// The row as it is, element number `k` of its order in its place, those before it before it.
  std::span<const Ranked> split_at(int64_t row, int64_t k);

 private:
  void read(int64_t row);
  const HostTensor& tensor_;
  Rows rows_;
  bool descending_;
  std::vector<Ranked> elements_;
  std::vector<Ranked> spare_;
};

/// Calls body(order, row) for all rows, on several threads.
void for_ordered_rows(HostCall& host, const HostTensor& tensor, const Rows& rows, bool descending,
                      FunctionRef<void(RowOrder& order, int64_t row)> body);
/// Copies element `from` of one tensor to element `to` of another of its dtype.
void copy_element(const HostTensor& from_tensor, int64_t from, const HostTensor& to_tensor,
                  int64_t to);
/// The gradient of values that were picked along `axis` at `index` (axes as in `like`): each
/// cotangent goes to its place.
ir::Expr put_back(const ir::Expr& like, int axis, const ir::Expr& index, const ir::Expr& cotangent);

}  // namespace flambeau::ops
