#include "ops/index/rows.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace flambeau::ops {

using namespace prim;

Rows::Rows(const Ints& sizes, int64_t axis) {
  for (size_t i = 0; i < sizes.size(); ++i) {
    const auto position = static_cast<int64_t>(i);
    if (position < axis) outer *= sizes[i];
    if (position == axis) n = sizes[i];
    if (position > axis) inner *= sizes[i];
  }
}

bool comes_before(DType dtype, ir::Container a, ir::Container b) {
  if (!is_float(dtype)) return static_cast<int64_t>(a) < static_cast<int64_t>(b);
  const double x = ir::to_double(dtype, a);
  const double y = ir::to_double(dtype, b);
  return x < y || (std::isnan(y) && !std::isnan(x));
}

std::vector<int64_t> sorted_places(const HostTensor& t, const Rows& rows, int64_t row,
                                   bool descending) {
  std::vector<ir::Container> values(static_cast<size_t>(rows.n));
  for (int64_t i = 0; i < rows.n; ++i) values[static_cast<size_t>(i)] = load(t, rows.at(row, i));
  std::vector<int64_t> places(values.size());
  std::iota(places.begin(), places.end(), 0);
  std::sort(places.begin(), places.end(), [&](int64_t a, int64_t b) {
    const ir::Container x = values[static_cast<size_t>(a)];
    const ir::Container y = values[static_cast<size_t>(b)];
    const bool less =
        descending ? comes_before(t.info.dtype, y, x) : comes_before(t.info.dtype, x, y);
    const bool more =
        descending ? comes_before(t.info.dtype, x, y) : comes_before(t.info.dtype, y, x);
    return less || (!more && a < b);
  });
  return places;
}

Expr put_back(const Expr& like, int axis, const Expr& index, const Expr& cotangent) {
  if (like.rank() == 0) return cotangent;
  return scatter_add(full_like(like, 0.0), along_axis(like, axis, index), cotangent);
}

}  // namespace flambeau::ops
