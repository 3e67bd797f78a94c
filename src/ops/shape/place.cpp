// Copies in which a part is another tensor, and tensors built of blocks of others.

#include <algorithm>

#include "ops/functions.h"
#include "ops/registry.h"
#include "ops/samples.h"
#include "ops/shape/diagonal.h"

namespace flambeau::ops {
namespace {

using namespace prim;

void same_as_self(const Call& call, ResultInfos& results) {
  const TensorInfo& self = call.tensor("self");
  results.push_back({self.dtype, self.sizes, {}});
}
void check_source(const Call& call, const Ints& wanted) {
  check(call.tensor("src").sizes == wanted, [&] {
    return concat(call.name(),
                  ": expected src to have a size equal to the slice of self. src "
                  "size = ",
                  list_text(call.tensor("src").sizes), ", slice size = ", list_text(wanted));
  });
}
int axis_of(const Call& call) { return static_cast<int>(call.integer("dim")); }
int64_t extent_of(const Call& call) {
  check(call.tensor("self").dim() > 0,
        [&] { return concat(call.name(), "() cannot be applied to a 0-dim tensor."); });
  return call.tensor("self").sizes[static_cast<size_t>(axis_of(call))];
}

const Register kSelectScatter({
    .schema = "select_scatter(Tensor self, Tensor src, int dim, int index) -> Tensor",
    .doc = "A copy of self with src at `index` of axis `dim`.",
    .variants = {.out = true},
    .axes = {"dim"},
    .canonical =
        [](const Call& call, Arguments& arguments) {
          const int64_t extent = extent_of(call);
          const int64_t index = call.integer("index");
          check<IndexError>(index >= -extent && index < extent, [&] {
            return concat(call.name(), "(): index ", index, " out of range for tensor of size ",
                          list_text(call.tensor("self").sizes), " at dimension ", axis_of(call));
          });
          arguments[3] = Scalar(index < 0 ? index + extent : index);
        },
    .shape =
        [](const Call& call, ResultInfos& results) {
          Ints wanted = call.tensor("self").sizes;
          wanted.erase(static_cast<size_t>(axis_of(call)));
          check_source(call, wanted);
          same_as_self(call, results);
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          const int axis = axis_of(l.call());
          const Expr place = iota(x.builder(), x.shape(), axis);
          const Expr index = extent(x.builder(), l.integer("index"));
          const Expr source = convert(unsqueeze(l["src"], axis), x.dtype());
          l.result(select(eq(place, index), broadcast_to(source, x.shape()), x));
        },
    .dynamic = {"index"},
    .samples =
        [] {
          return SampleList{{{t({4, 3}), t({3}), Scalar(0), Scalar(2)}},
                            {{t({4, 3}), t({4}), Scalar(1), Scalar(-1)}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2, 3}), t({3}), Scalar(0), Scalar(5)}}, "IndexError", "index 5 out of range"},
              {{{t({2, 3}), t({2}), Scalar(0), Scalar(0)}}, "RuntimeError", "slice size = [3]"}};
        },
});

const Register kSliceScatter({
    .schema = "slice_scatter(Tensor self, Tensor src, int dim=0, int? start=None, int? end=None, "
              "int step=1) -> Tensor",
    .doc = "A copy of self with src in the places start, start + step, ... before end of axis "
           "`dim`.",
    .variants = {.out = true},
    .axes = {"dim"},
    .canonical =
        [](const Call& call, Arguments& arguments) {
          const int64_t extent = extent_of(call);
          check(call.integer("step") > 0,
                [&] { return concat(call.name(), ": slice step must be positive"); });
          const auto bound = [&](const char* name, int64_t otherwise) {
            if (call.is_none(name)) return otherwise;
            const int64_t given = call.integer(name);
            return std::clamp<int64_t>(given < 0 ? given + extent : given, 0, extent);
          };
          const int64_t start = bound("start", 0);
          arguments[3] = Scalar(start);
          arguments[4] = Scalar(std::max(start, bound("end", extent)));
        },
    .shape =
        [](const Call& call, ResultInfos& results) {
          Ints wanted = call.tensor("self").sizes;
          const int64_t step = call.integer("step");
          wanted[static_cast<size_t>(axis_of(call))] =
              (call.integer("end") - call.integer("start") + step - 1) / step;
          check_source(call, wanted);
          same_as_self(call, results);
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          const int axis = axis_of(l.call());
          const Expr source = convert(l["src"], x.dtype());
          const Expr start = extent(x.builder(), l.integer("start"));
          const Expr step = extent(x.builder(), l.integer("step"));
          std::vector<Expr> places;
          for (int i = 0; i < x.rank(); ++i) {
            const Expr place = iota(x.builder(), source.shape(), i);
            places.push_back(i == axis ? place * step + start : place);
          }
          l.result(x.rank() == 0 ? source : scatter_set(x, places, source));
        },
    .dynamic = {"start", "end", "step"},
    .samples =
        [] {
          return SampleList{{{t({5, 3}), t({2, 3}), Scalar(0), Scalar(1), Scalar(5), Scalar(2)}},
                            {{t({2, 4}), t({2, 3}), Scalar(1), Scalar(-3)}}};
        },
});

struct Diagonal {
  int64_t row, column, length;
};
Diagonal diagonal_of(const Call& call) {
  const Ints& sizes = call.tensor("self").sizes;
  const auto axis1 = static_cast<size_t>(call.integer("dim1"));
  const auto axis2 = static_cast<size_t>(call.integer("dim2"));
  check(axis1 != axis2, [&] {
    return concat(call.name(), ": diagonal dimensions cannot be identical ", axis1, ", ", axis2);
  });
  const int64_t offset = call.integer("offset");
  Diagonal d{std::max<int64_t>(-offset, 0), std::max<int64_t>(offset, 0), 0};
  d.length = std::max<int64_t>(std::min(sizes[axis1] - d.row, sizes[axis2] - d.column), 0);
  return d;
}
const Register kDiagonalScatter({
    .schema = "diagonal_scatter(Tensor self, Tensor src, int offset=0, int dim1=0, int dim2=1) -> "
              "Tensor",
    .doc = "A copy of self with src on the diagonal `offset` of axes dim1 and dim2.",
    .variants = {.out = true},
    .axes = {"dim1", "dim2"},
    .shape =
        [](const Call& call, ResultInfos& results) {
          const Diagonal d = diagonal_of(call);
          Ints wanted;
          for (int64_t i = 0; i < call.tensor("self").dim(); ++i)
            if (i != call.integer("dim1") && i != call.integer("dim2"))
              wanted.push_back(call.tensor("self").sizes[static_cast<size_t>(i)]);
          wanted.push_back(d.length);
          check_source(call, wanted);
          same_as_self(call, results);
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          const Expr source = convert(l["src"], x.dtype());
          const DiagonalOffset offset = diagonal_offset(l, "offset");
          const int last = source.rank() - 1;
          const Expr along = iota(x.builder(), source.shape(), last);
          std::vector<Expr> places;
          int next = 0;
          for (int64_t i = 0; i < x.rank(); ++i) {
            if (i == l.call().integer("dim1"))
              places.push_back(along + extent(x.builder(), offset.row));
            else if (i == l.call().integer("dim2"))
              places.push_back(along + extent(x.builder(), offset.column));
            else
              places.push_back(iota(x.builder(), source.shape(), next++));
          }
          l.result(scatter_set(x, places, source));
        },
    .dynamic = {"offset"},
    .signs = {"offset"},
    .samples =
        [] {
          return SampleList{{{t({3, 4}), t({3})}},
                            {{t({2, 3, 4}), t({3, 2}), Scalar(1), Scalar(0), Scalar(2)}}};
        },
});

// ---- tensors made of blocks
const TensorRefs& list_of(const Call& call) { return call.tensors("tensors"); }
/// A matrix's sizes for a tensor of at most two axes.
Ints matrix_sizes(const TensorInfo& t) {
  if (t.dim() == 0) return {1, 1};
  return t.dim() == 1 ? Ints{1, t.sizes[0]} : t.sizes;
}
const Register kBlockDiag({
    .schema = "block_diag(Tensor[] tensors) -> Tensor",
    .doc = "A matrix with the tensors, as matrices, along its diagonal and 0 elsewhere.",
    .variants = {.method = false},
    .promotion = Promotion::Promote,
    .shape =
        [](const Call& call, ResultInfos& results) {
          Ints sizes{0, 0};
          for (size_t i = 0; i < list_of(call).size(); ++i) {
            const TensorInfo& t = *list_of(call)[i];
            check(t.dim() <= 2, [&] {
              return concat(call.name(), ": Input tensors must have 2 or fewer dimensions. Input ",
                            i, " has ", t.dim(), " dimensions");
            });
            sizes[0] += matrix_sizes(t)[0];
            sizes[1] += matrix_sizes(t)[1];
          }
          results.push_back({common_dtype(call), list_of(call).empty() ? Ints{1, 0} : sizes, {}});
        },
    .lower =
        [](Lowering& l) {
          const Ints total = infer(l.call())[0].sizes;
          const std::vector<Expr> all = l.tensors("tensors");
          if (all.empty())
            return l.result(
                broadcast_to(constant(l.builder(), l.compute(), Scalar(0)), {Dim(1), Dim(0)}));
          std::vector<Expr> bands;
          int64_t before = 0;
          for (size_t i = 0; i < all.size(); ++i) {
            const Ints sizes = matrix_sizes(*list_of(l.call())[i]);
            const Expr matrix = reshape(all[i], {Dim(sizes[0]), Dim(sizes[1])});
            const Shape low{Dim(0), Dim(before)};
            before += sizes[1];
            const Shape high{Dim(0), Dim(total[1] - before)};
            const Shape none{Dim(0), Dim(0)};
            bands.push_back(
                pad(matrix, constant(matrix, matrix.dtype(), Scalar(0)), low, high, none));
          }
          l.result(concatenate(bands, 0));
        },
    .fixed = every_axis,
    .samples =
        [] {
          return SampleList{{{std::vector{t({2, 3}), t({}), t({2})}}}, {{std::vector{t({1, 2})}}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{std::vector{t({2, 3, 4})}}}, "RuntimeError", "2 or fewer dimensions"}};
        },
});

const Register kCartesianProd({
    .schema = "cartesian_prod(Tensor[] tensors) -> Tensor",
    .doc = "Every combination of one element of each vector, a row each, the last changing "
           "fastest; a single vector is its own.",
    .variants = {.method = false},
    .promotion = Promotion::Promote,
    .shape =
        [](const Call& call, ResultInfos& results) {
          check(!list_of(call).empty(),
                [&] { return concat(call.name(), ": meshgrid expects a non-empty TensorList"); });
          int64_t rows = 1;
          for (const TensorInfo* t : list_of(call)) {
            check(t->dim() == 1, [&] {
              return concat(call.name(), ": Expect a 1D vector, but got shape ",
                            list_text(t->sizes));
            });
            check(t->dtype == list_of(call)[0]->dtype, [&] {
              return concat(call.name(), ": meshgrid expects all tensors to have the same dtype");
            });
            rows *= t->sizes[0];
          }
          const auto count = static_cast<int64_t>(list_of(call).size());
          results.push_back({common_dtype(call), count == 1 ? Ints{rows} : Ints{rows, count}, {}});
        },
    .lower =
        [](Lowering& l) {
          const std::vector<Expr> all = l.tensors("tensors");
          if (all.size() == 1) return l.result(all[0]);
          Shape grid;
          Dim rows = 1;
          for (const Expr& x : all) {
            grid.push_back(x.dim(0));
            rows = rows * x.dim(0);
          }
          std::vector<Expr> columns;
          for (size_t i = 0; i < all.size(); ++i) {
            const Ints axes{static_cast<int64_t>(i)};
            columns.push_back(reshape(broadcast(all[i], axes, grid), {rows, Dim(1)}));
          }
          l.result(concatenate(columns, 1));
        },
    .samples =
        [] { return SampleList{{{std::vector{t({2}), t({3}), t({2})}}}, {{std::vector{t({3})}}}}; },
});

const Register kSumToSize({
    .schema = "sum_to_size(Tensor self, int[] size) -> Tensor",
    .doc = "The sum over what broadcasting `size` to self's shape would stretch.",
    .variants = {.function = false},
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& self = call.tensor("self");
          const Ints& size = call.integers("size");
          bool fits = size.size() <= self.sizes.size();
          for (size_t i = 0; fits && i < size.size(); ++i) {
            const int64_t own = self.sizes[self.sizes.size() - size.size() + i];
            fits = size[i] == own || size[i] == 1;
          }
          check(fits, [&] {
            return concat(call.name(), ": size ", list_text(size), " is not expandable to size ",
                          list_text(self.sizes));
          });
          // Integers sum in int64, as in sum.
          const bool same = (size == self.sizes && !size.empty()) || is_inexact(self.dtype);
          results.push_back({same ? self.dtype : DType::Int64, size, {}});
        },
    .lower =
        [](Lowering& l) {
          Expr x = l["self"];
          const Ints& size = l.call().integers("size");
          const auto extra = static_cast<size_t>(x.rank()) - size.size();
          Ints leading;
          Ints stretched;
          for (size_t i = 0; i < extra; ++i) leading.push_back(static_cast<int64_t>(i));
          for (size_t i = 0; i < size.size(); ++i)
            if (size[i] == 1 && !x.dim(static_cast<int>(extra + i)).is_one())
              stretched.push_back(static_cast<int64_t>(i));
          if (!is_inexact(x.dtype()) && leading.size() + stretched.size() > 0)
            x = convert(x, DType::Int64);
          x = sum(sum(x, leading, false), stretched, true);
          l.result(x);
        },
    .fixed = every_axis,
    .samples =
        [] {
          return SampleList{
              {{t({2, 3, 4}), Ints{3, 1}}}, {{t({2, 3}), Ints{2, 3}}}, {{t({3}), Ints{}}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2, 3}), Ints{2}}}, "RuntimeError", "is not expandable"}};
        },
});

/// Each tensor padded along `dim` to a multiple of num_chunks, its chunks flattened, chunks with
/// the same number joined.
const Register kChunkCat({
    .schema = "_chunk_cat(Tensor[] tensors, int dim, int num_chunks) -> Tensor",
    .doc = "Row i holds, of each tensor in turn, the flattened chunk i of num_chunks along `dim`, "
           "the last padded with zeros.",
    .variants = {.method = false, .out = true},
    .promotion = Promotion::Promote,
    .canonical =
        [](const Call& call, Arguments& arguments) {
          check(!list_of(call).empty(),
                [&] { return concat(call.name(), " expects a non-empty input tensor list"); });
          check(call.integer("num_chunks") >= 1,
                [&] { return concat(call.name(), " expects positive num_chunks"); });
          const TensorInfo& first = *list_of(call)[0];
          for (const TensorInfo* t : list_of(call)) {
            check(t->numel() > 0, [&] { return concat(call.name(), " expects non-empty tensor"); });
            check(t->dtype == first.dtype, [&] {
              return concat(call.name(), " expects all input tensors with the same dtype");
            });
          }
          arguments[1] = Scalar(call.axis(call.integer("dim"), first.dim()));
          const auto axis = static_cast<size_t>(
              call.integer("dim") < 0 ? call.integer("dim") + first.dim() : call.integer("dim"));
          for (const TensorInfo* t : list_of(call)) {
            check(axis < t->sizes.size(),
                  [&] { return concat(call.name(), " expects dim < ndim for all input tensors"); });
            for (size_t i = 0; i < axis; ++i)
              check(t->sizes[i] == first.sizes[i], [&] {
                return concat(call.name(),
                              " expects same sizes of 0,...,dim-1 dimensions for all "
                              "tensors");
              });
          }
        },
    .shape =
        [](const Call& call, ResultInfos& results) {
          const auto axis = static_cast<size_t>(call.integer("dim"));
          const int64_t chunks = call.integer("num_chunks");
          int64_t width = 0;
          for (const TensorInfo* t : list_of(call)) {
            int64_t rest = (t->sizes[axis] + chunks - 1) / chunks;
            for (size_t i = axis + 1; i < t->sizes.size(); ++i) rest *= t->sizes[i];
            width += rest;
          }
          const Ints& first = list_of(call)[0]->sizes;
          Ints sizes(first.begin(), first.begin() + static_cast<ptrdiff_t>(axis));
          sizes.push_back(chunks);
          sizes.push_back(width);
          results.push_back({common_dtype(call), sizes, {}});
        },
    .lower =
        [](Lowering& l) {
          const int axis = axis_of(l.call());
          const int64_t chunks = l.call().integer("num_chunks");
          std::vector<Expr> parts;
          for (size_t i = 0; i < list_of(l.call()).size(); ++i) {
            const Ints& sizes = list_of(l.call())[i]->sizes;
            const Expr x = l.tensors("tensors")[i];
            const int64_t n = sizes[static_cast<size_t>(axis)];
            const int64_t chunk = (n + chunks - 1) / chunks;
            Shape high(sizes.size(), Dim(0));
            const Shape none = high;
            high[static_cast<size_t>(axis)] = Dim(chunk * chunks - n);
            Shape shape;
            for (int k = 0; k < axis; ++k) shape.push_back(x.dim(k));
            Dim width(chunk);
            for (int k = axis + 1; k < x.rank(); ++k) width = width * x.dim(k);
            shape.emplace_back(chunks);
            shape.push_back(width);
            parts.push_back(
                reshape(pad(x, constant(x, x.dtype(), Scalar(0)), none, high, none), shape));
          }
          l.result(concatenate(parts, axis + 1));
        },
    .fixed = every_axis,
    .samples =
        [] {
          return SampleList{{{std::vector{t({3, 2}), t({5})}, Scalar(0), Scalar(2)}},
                            {{std::vector{t({2, 3}), t({2, 4, 2})}, Scalar(1), Scalar(3)}}};
        },
});

}  // namespace
}  // namespace flambeau::ops
