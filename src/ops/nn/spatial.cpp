#include "ops/nn/spatial.h"

#include <algorithm>

namespace flambeau::ops {

using namespace prim;

Ints spatial_argument(const Call& call, const Ints& given, size_t rank, const char* name) {
  check(given.size() == 1 || given.size() == rank, [&] {
    return concat(call.name(), ": expected ", name, " to be a single integer value or a list of ",
                  rank, " values, but got ", list_text(given));
  });
  return given.size() == rank ? given : Ints(rank, given[0]);
}

Shape dims_of(const Ints& values) {
  Shape shape;
  for (const int64_t value : values) shape.push_back(value);
  return shape;
}

Shape space_of(const Expr& x) {
  Shape space;
  for (int axis = 2; axis < x.rank(); ++axis) space.push_back(x.dim(axis));
  return space;
}

Shape counts_of(const Windows& w, const Expr& x) {
  Shape counts = space_of(x);
  for (size_t i = 0; i < counts.size(); ++i) counts[i] = w.count(i, counts[i]);
  return counts;
}

namespace {

/// What there is of a margin, and what is cut where it is negative.
struct Margin {
  Dim added, cut;
};
Margin margin_of(const Dim& margin) {
  const bool is_maximum = margin.op() == ir::DimOp::Max && margin.right().is_constant();
  if (is_maximum && margin.right().constant() >= 0) return {margin, 0};
  return {max(margin, 0), max(Dim(0) - margin, 0)};
}

}  // namespace

Expr with_margins(const Expr& given, const Shape& low, const Shape& high, const Ints& interior,
                  double value) {
  Expr x = given;
  std::vector<Dim> before(2, Dim(0));
  std::vector<Dim> after(2, Dim(0));
  std::vector<Dim> between(2, Dim(0));
  bool any = false;
  for (size_t i = 0; i < low.size(); ++i) {
    before.push_back(margin_of(low[i]).added);
    after.push_back(margin_of(high[i]).added);
    between.emplace_back(interior[i]);
    any = any || !before.back().is_zero() || !after.back().is_zero() || interior[i] > 0;
  }
  if (any) x = pad(x, constant(x, x.dtype(), Scalar(value)), before, after, between);
  for (size_t i = 0; i < low.size(); ++i) {
    const int axis = static_cast<int>(i) + 2;
    const Dim start = margin_of(low[i]).cut;
    const Dim cut = start + margin_of(high[i]).cut;
    if (!cut.is_zero()) x = slice(x, axis, start, x.dim(axis) - cut);
  }
  return x;
}
Expr with_margins(const Expr& x, const Windows& w, double value) {
  return with_margins(x, dims_of(w.low), dims_of(w.high), Ints(w.size.size(), 0), value);
}

Expr windows_of(const Expr& padded, const Shape& counts, const Windows& w) {
  const size_t rank = w.size.size();
  Shape shape{padded.dim(0), padded.dim(1)};
  for (const Dim& count : counts) shape.push_back(count);
  for (const int64_t size : w.size) shape.push_back(size);
  const auto all_one = [](const Ints& list) {
    return std::all_of(list.begin(), list.end(), [](int64_t n) { return n == 1; });
  };
  if (all_one(w.size) && all_one(w.stride)) return reshape(padded, shape);
  Builder& builder = padded.builder();
  std::vector<Expr> places{iota(builder, shape, 0), iota(builder, shape, 1)};
  for (size_t i = 0; i < rank; ++i) {
    const Expr window = iota(builder, shape, static_cast<int>(i) + 2);
    const Expr inside = iota(builder, shape, static_cast<int>(i + rank) + 2);
    places.push_back(window * static_cast<double>(w.stride[i]) +
                     inside * static_cast<double>(w.dilation[i]));
  }
  return gather(padded, places);
}

Expr with_batch(const Expr& x, size_t spatial) {
  return static_cast<size_t>(x.rank()) == spatial + 1 ? unsqueeze(x, 0) : x;
}
Expr without_batch(const Expr& y, const Expr& x, size_t spatial) {
  const Ints first{0};
  return static_cast<size_t>(x.rank()) == spatial + 1 ? squeeze(y, first) : y;
}
Ints batched_sizes(const Call& call, const Ints& sizes, size_t spatial) {
  check(sizes.size() == spatial + 1 || sizes.size() == spatial + 2, [&] {
    return concat(call.name(), ": Expected ", spatial + 1, "D (unbatched) or ", spatial + 2,
                  "D (batched) input, but got input of size: ", list_text(sizes));
  });
  Ints result = sizes;
  if (sizes.size() == spatial + 1) result.insert(0, 1);
  return result;
}

Expr weighted(const Expr& x, int axis, const Expr& weights) {
  const int last = x.rank() - 1;
  const Expr moved = transpose(x, axis, last);
  Dim rows = 1;
  Shape shape;
  for (int k = 0; k < last; ++k) {
    rows = rows * moved.dim(k);
    shape.push_back(moved.dim(k));
  }
  shape.push_back(weights.dim(1));
  const Expr product =
      contract(reshape(moved, {rows, moved.dim(last)}), convert(weights, x.dtype()));
  return transpose(reshape(product, shape), axis, last);
}

Expr adaptive_average(const Expr& x, int axis, const Dim& n, const Dim& out) {
  const Shape square{n, out};
  const auto real = [&](const Expr& value) { return convert(value, DType::Float64); };
  const auto number = [&](const Dim& value) { return real(extent(x.builder(), value)); };
  // Quotients of integers below 2^53 round to no other integer: this is exact.
  const Expr i = real(iota(x.builder(), square, 0));
  const Expr o = real(iota(x.builder(), square, 1));
  const Expr start = floor(o * number(n) / number(out));
  const Expr end = ceil((o + 1.0) * number(n) / number(out));
  const Expr inside = logical_and(ge(i, start), lt(i, end));
  const Expr weights = convert(inside, x.dtype()) / convert(end - start, x.dtype());
  return weighted(x, axis, weights);
}

}  // namespace flambeau::ops
