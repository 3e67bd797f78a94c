#include "ops/reduce/reduce.h"

#include <algorithm>
#include <limits>

#include "ops/samples.h"

namespace flambeau::ops {

using namespace prim;

Ints reduced_axes(const Call& call, std::string_view parameter) {
  const auto* self = std::get_if<const TensorInfo*>(&call.arguments()[0]);
  const int64_t rank = (*self)->dim();
  if (rank == 0) return {};
  const Argument& dim = call[parameter];
  if (const auto* one = std::get_if<Scalar>(&dim)) return {one->to_int()};
  if (const auto* list = std::get_if<Ints>(&dim); list != nullptr && !list->empty()) {
    Ints sorted = *list;
    std::sort(sorted.begin(), sorted.end());
    return sorted;
  }
  return all_axes(rank);
}

Ints reduced_sizes(const Ints& sizes, const Ints& axes, bool keep) {
  Ints result;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const bool reduced = std::find(axes.begin(), axes.end(), static_cast<int64_t>(i)) != axes.end();
    if (!reduced) {
      result.push_back(sizes[i]);
    } else if (keep) {
      result.push_back(1);
    }
  }
  return result;
}

bool keeps_axes(const Call& call) { return call.boolean("keepdim"); }

void reduced_result(const Call& call, ResultInfos& results, DType dtype) {
  const TensorInfo& self = *std::get<const TensorInfo*>(call.arguments()[0]);
  results.push_back({dtype, reduced_sizes(self.sizes, reduced_axes(call), keeps_axes(call)), {}});
}

void check_not_empty(const Call& call) {
  const TensorInfo& self = *std::get<const TensorInfo*>(call.arguments()[0]);
  if (self.numel() > 0) return;
  const Ints axes = reduced_axes(call);
  const bool all = axes.size() == self.sizes.size() && !std::get_if<Scalar>(&call["dim"]);
  check(!all, [&] {
    return concat(call.name(),
                  "(): Expected reduction dim to be specified for input.numel() == 0. "
                  "Specify the reduction dim with the 'dim' argument.");
  });
  for (const int64_t axis : axes)
    check<IndexError>(self.sizes[static_cast<size_t>(axis)] != 0, [&] {
      return concat(call.name(), "(): Expected reduction dim ", axis, " to have non-zero size.");
    });
}

Expr index_of_extreme(const Expr& x, const Expr& extreme, const Ints& axes) {
  const Shape shape = x.shape();
  Expr position = broadcast_to(constant(x, DType::Int64, 0), shape);
  Dim total = 1;
  for (const int64_t axis : axes) {
    const Dim& n = shape[static_cast<size_t>(axis)];
    position = position * extent(x.builder(), n) + iota(x.builder(), shape, static_cast<int>(axis));
    total = total * n;
  }
  Expr found = eq(x, extreme);
  if (is_float(x.dtype())) found = logical_or(found, is_nan(x));
  if (axes.empty()) return position;
  return amin(select(found, position, extent(x.builder(), total)), axes);
}

Expr safe_sqrt(const Expr& x) {
  const Expr zero = eq(x, 0.0);
  return select(zero, 0.0, sqrt(replace_where(zero, x, 1.0)));
}

std::vector<double> norm_orders() { return {0, 1, 2, INFINITY, -INFINITY}; }

Expr p_norm(Lowering& l, const Expr& x, const Ints& axes, bool keep, const char* order_name) {
  const Expr size = abs(x);
  const Scalar given = l.call().number(order_name);
  if (l.call().definition().is_special(order_name, given)) {
    const double p = given.to_double();
    if (p == 0) return sum(convert(ne(size, 0.0), size.dtype()), axes, keep);
    if (p == 1) return sum(size, axes, keep);
    if (p == 2) {
      const Expr& root = is_complex(x.dtype()) ? size : x;
      return safe_sqrt(sum(root * root, axes, keep));
    }
    return p < 0 ? amin(size, axes, keep) : amax(size, axes, keep);
  }
  const Expr zero = eq(size, 0.0);
  const Expr order = convert(l.number(order_name), size.dtype());
  const Expr powers = select(zero, 0.0, pow(replace_where(zero, size, 1.0), order));
  const Expr total = sum(powers, axes, keep);
  const Expr none = eq(total, 0.0);
  return select(none, 0.0, pow(replace_where(none, total, 1.0), 1.0 / order));
}

void check_norm_exists(const Call& call, const Scalar& p, const Ints& sizes, const Ints& axes) {
  const double order = p.to_double();
  if (!(order < 0 || order == INFINITY)) return;
  for (const int64_t axis : axes)
    check(sizes[static_cast<size_t>(axis)] != 0, [&] {
      return concat(call.name(), ": cannot compute the ", order, " norm on the dimension ", axis,
                    " because this dimension is empty and the operation does not have an identity");
    });
}

Expr with_axes(const Expr& value, const Ints& axes, int rank) {
  Expr result = value;
  if (result.rank() == rank) return result;
  for (const int64_t axis : axes) result = unsqueeze(result, static_cast<int>(axis));
  return result;
}

Expr as_dtype(Lowering& l, const Expr& x) {
  if (l.call().is_none("dtype")) return x;
  const DType dtype = l.call().dtype_or("dtype", x.dtype());
  return convert(convert(x, dtype), compute_dtype(dtype));
}

SampleList reduction_samples() {
  return {{{t({2, 3, 4})}},
          {{t({2, 3, 4}), Ints{1}}},
          {{t({2, 3, 4}), Ints{0, -1}, Scalar(true)}},
          {{t({1, 3}), Ints{0}}},
          {{t({})}},
          {{special_values({4, 5}), Ints{1}}}};
}

}  // namespace flambeau::ops
