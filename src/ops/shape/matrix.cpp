// Triangles and diagonals of matrices.

#include <algorithm>
#include <cstdlib>

#include "ops/checks.h"
#include "ops/functions.h"
#include "ops/registry.h"
#include "ops/samples.h"
#include "ops/shape/diagonal.h"

namespace flambeau::ops {
namespace {

using namespace prim;

/// self where the column index minus the row index is on the kept side of `diagonal`.
template <bool kUpper>
Definition triangle(std::string_view schema, std::string_view doc) {
  return {
      .schema = schema,
      .doc = doc,
      .variants = {.in_place = true, .out = true},
      .shape =
          [](const Call& call, ResultInfos& results) {
            const TensorInfo& self = call.tensor("self");
            check(self.dim() >= 2, [&] {
              return concat(call.name(), ": input tensor must have at least 2 dimensions, got ",
                            self.dim());
            });
            results.push_back({self.dtype, self.sizes, {}});
          },
      .lower =
          [](Lowering& l) {
            const Expr x = l["self"];
            const Expr offset = extent(x.builder(), l.integer("diagonal"));
            const Expr row = iota(x.builder(), x.shape(), x.rank() - 2) + offset;
            const Expr column = iota(x.builder(), x.shape(), x.rank() - 1);
            l.result(select(kUpper ? ge(column, row) : le(column, row), x, full_like(x, 0.0)));
          },
      .dynamic = {"diagonal"},
      .samples =
          [] {
            return SampleList{
                {{t({3, 4})}}, {{t({2, 3, 3}), Scalar(-1)}}, {{t({3, 4}), Scalar(2)}}};
          },
      .errors =
          [] {
            return std::vector<ErrorSample>{{{{t({3})}}, "RuntimeError", "at least 2 dimensions"}};
          }};
}
const Register kTril(
    triangle<false>("tril(Tensor self, int diagonal=0) -> Tensor",
                    "The lower triangle of the last two axes, up to `diagonal`; 0 elsewhere."));
const Register kTriu(
    triangle<true>("triu(Tensor self, int diagonal=0) -> Tensor",
                   "The upper triangle of the last two axes, from `diagonal`; 0 elsewhere."));

Expr on_diagonal(const Expr& x, const Expr& like) {
  return eq(iota(x.builder(), like.shape(), like.rank() - 2),
            iota(x.builder(), like.shape(), like.rank() - 1));
}
const Register kTrace({
    .schema = "trace(Tensor self) -> Tensor",
    .doc = "The sum of the main diagonal; integers sum in int64.",
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& self = call.tensor("self");
          check(self.dim() == 2,
                [&] { return concat(call.name(), ": expected a matrix, got ", self.dim(), "D"); });
          results.push_back({is_inexact(self.dtype) ? self.dtype : DType::Int64, {}, {}});
        },
    .lower =
        [](Lowering& l) {
          Expr x = l["self"];
          if (!is_inexact(x.dtype())) x = convert(x, DType::Int64);
          const Ints axes{0, 1};
          l.result(sum(select(on_diagonal(x, x), x, 0.0), axes, false));
        },
    .autocast = "float32",
    .samples = [] { return SampleList{{{t({3, 4})}}}; },
    .errors =
        [] { return std::vector<ErrorSample>{{{{t({3})}}, "RuntimeError", "expected a matrix"}}; },
});

// ---- a diagonal as a matrix
// ------------------------------------------------------------------------
/// Matrices along axes axis1 and axis2 of the result with `x`'s last axis on their diagonal
/// `offset`.
Expr embedded(const Expr& x, const DiagonalOffset& offset, int64_t axis1, int64_t axis2) {
  const Dim n = x.dim(-1) + offset.row + offset.column;
  Shape shape = x.shape();
  shape.back() = n;
  shape.push_back(n);
  const int rank = static_cast<int>(shape.size());
  const Expr row = iota(x.builder(), shape, rank - 2);
  const Expr column = iota(x.builder(), shape, rank - 1);
  // Element i of x is at column i + offset.column.
  std::vector<Dim> low(static_cast<size_t>(x.rank()), Dim(0));
  std::vector<Dim> high = low;
  const std::vector<Dim> none = low;
  low.back() = offset.column;
  high.back() = offset.row;
  const Expr wide = pad(x, constant(x, x.dtype(), Scalar(0)), low, high, none);
  const Expr values = broadcast_to(unsqueeze(wide, x.rank() - 1), shape);
  const Expr place = extent(x.builder(), offset.column - offset.row);
  const Expr matrix = select(eq(column - row, place), values, full_like(values, 0.0));
  Ints order;
  int64_t next = 0;
  for (int64_t i = 0; i < rank; ++i)
    order.push_back(i == axis1 ? rank - 2 : i == axis2 ? rank - 1 : next++);
  return permute(matrix, order);
}
Ints embedded_sizes(const Ints& sizes, int64_t offset, int64_t axis1, int64_t axis2) {
  Ints result;
  size_t next = 0;
  const int64_t n = sizes.back() + std::abs(offset);
  for (int64_t i = 0; i <= static_cast<int64_t>(sizes.size()); ++i)
    result.push_back(i == axis1 || i == axis2 ? n : sizes[next++]);
  return result;
}
const Register kDiagEmbed({
    .schema = "diag_embed(Tensor self, int offset=0, int dim1=-2, int dim2=-1) -> Tensor",
    .doc = "Matrices along dim1 and dim2 whose diagonals are the last axis of self.",
    .canonical =
        [](const Call& call, Arguments& arguments) {
          const int64_t rank = call.tensor("self").dim() + 1;
          const int64_t dim1 = call.axis(call.integer("dim1"), rank);
          const int64_t dim2 = call.axis(call.integer("dim2"), rank);
          check(dim1 != dim2, [&] {
            return concat(call.name(), ": diagonal dimensions cannot be identical ", dim1, ", ",
                          dim2);
          });
          // Exchanged axes are the other diagonal.
          arguments[1] = Scalar(dim1 < dim2 ? call.integer("offset") : -call.integer("offset"));
          arguments[2] = Scalar(std::min(dim1, dim2));
          arguments[3] = Scalar(std::max(dim1, dim2));
        },
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& self = call.tensor("self");
          results.push_back({self.dtype,
                             embedded_sizes(self.sizes, call.integer("offset"),
                                            call.integer("dim1"), call.integer("dim2")),
                             {}});
        },
    .lower =
        [](Lowering& l) {
          l.result(embedded(l["self"], diagonal_offset(l, "offset"), l.call().integer("dim1"),
                            l.call().integer("dim2")));
        },
    .dynamic = {"offset"},
    .signs = {"offset"},
    .samples =
        [] {
          return SampleList{{{t({2, 3})}},
                            {{t({2, 3}), Scalar(1)}},
                            {{t({2, 3}), Scalar(-1), Scalar(0), Scalar(2)}}};
        },
});
const Register kDiag({
    .schema = "diag(Tensor self, int diagonal=0) -> Tensor",
    .doc = "The diagonal of a matrix, or the matrix with a vector as its diagonal.",
    .variants = {.out = true},
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& self = call.tensor("self");
          const int64_t offset = call.integer("diagonal");
          check(self.dim() == 1 || self.dim() == 2, [&] {
            return concat(call.name(), "(): Supports 1D or 2D tensors. Got ", self.dim(), "D");
          });
          TensorInfo result{self.dtype, {}, {}};
          if (self.dim() == 1) {
            result.sizes = embedded_sizes(self.sizes, offset, 0, 1);
          } else {
            const int64_t rows = self.sizes[0] - std::max<int64_t>(-offset, 0);
            const int64_t columns = self.sizes[1] - std::max<int64_t>(offset, 0);
            result.sizes = {std::max<int64_t>(std::min(rows, columns), 0)};
          }
          results.push_back(result);
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          const DiagonalOffset offset = diagonal_offset(l, "diagonal");
          if (x.rank() == 1) return l.result(embedded(x, offset, 0, 1));
          const Expr along = iota(x.builder(), {diagonal_length(x, offset)}, 0);
          const std::vector<Expr> places{along + extent(x.builder(), offset.row),
                                         along + extent(x.builder(), offset.column)};
          l.result(gather(x, places));
        },
    .dynamic = {"diagonal"},
    .signs = {"diagonal"},
    .samples =
        [] { return SampleList{{{t({3})}}, {{t({3}), Scalar(-1)}}, {{t({3, 4}), Scalar(1)}}}; },
});
const Register kDiagflat({
    .schema = "diagflat(Tensor self, int offset=0) -> Tensor",
    .doc = "The matrix whose diagonal is the flattened tensor.",
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& self = call.tensor("self");
          results.push_back(
              {self.dtype, embedded_sizes({self.numel()}, call.integer("offset"), 0, 1), {}});
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          l.result(
              embedded(reshape(x, {element_count(x.shape())}), diagonal_offset(l, "offset"), 0, 1));
        },
    .dynamic = {"offset"},
    .signs = {"offset"},
    .samples = [] { return SampleList{{{t({2, 2})}}, {{t({3}), Scalar(2)}}}; },
});

template <bool kUpper>
Definition triangle_indices(std::string_view schema, std::string_view doc) {
  return {.schema = schema,
          .doc = doc,
          .variants = {.method = false},
          .shape =
              [](const Call& call, ResultInfos& r) {
                check_layout(call);
                r.push_back({call.dtype_or("dtype", DType::Int64), {2, -1}, {}});
              },
          .kernel =
              [](HostCall& host) {
                const Call& call = host.call();
                const int64_t rows = call.integer("row");
                const int64_t columns = call.integer("col");
                check(rows >= 0 && columns >= 0, [&] {
                  return concat(call.name(), ": row and col must be non-negative, got ", rows,
                                " and ", columns);
                });
                std::vector<std::pair<int64_t, int64_t>> places;
                for (int64_t i = 0; i < rows; ++i)
                  for (int64_t j = 0; j < columns; ++j)
                    if (kUpper ? j - i >= call.integer("offset") : j - i <= call.integer("offset"))
                      places.emplace_back(i, j);
                const auto n = static_cast<int64_t>(places.size());
                const DType dtype = call.dtype_or("dtype", DType::Int64);
                check(dtype == DType::Int64, [&] {
                  return concat(call.name(), ": indices are int64, got dtype ", info(dtype).name);
                });
                const HostTensor out = host.output(0, {dtype, {2, n}, {n, 1}});
                auto* values = static_cast<int64_t*>(out.data);
                for (int64_t i = 0; i < n; ++i) {
                  values[i] = places[static_cast<size_t>(i)].first;
                  values[n + i] = places[static_cast<size_t>(i)].second;
                }
              },
          .differentiable = false,
          .samples = [] { return SampleList{{{Scalar(3), Scalar(4), Scalar(1)}}}; }};
}
const Register kTrilIndices(triangle_indices<false>(
    "tril_indices(int row, int col, int offset=0, *, ScalarType? dtype=None, Layout? layout=None, "
    "Device? device=None, bool? pin_memory=None) -> Tensor",
    "The indices of the lower triangle: row 0 the rows, row 1 the columns."));
const Register kTriuIndices(triangle_indices<true>(
    "triu_indices(int row, int col, int offset=0, *, ScalarType? dtype=None, Layout? layout=None, "
    "Device? device=None, bool? pin_memory=None) -> Tensor",
    "The indices of the upper triangle: row 0 the rows, row 1 the columns."));

}  // namespace
}  // namespace flambeau::ops
