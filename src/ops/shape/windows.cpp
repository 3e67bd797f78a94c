// Views that index maps cannot say: diagonals, sliding windows, any strides.

#include <algorithm>

#include "ops/functions.h"
#include "ops/registry.h"
#include "ops/samples.h"
#include "ops/shape/diagonal.h"

namespace flambeau::ops {
namespace {

using namespace prim;

// ---- diagonals
// -------------------------------------------------------------------------------------
struct Diagonal {
  size_t axis1, axis2;
  int64_t row, column, length;  // where it starts, how long it is
};
Diagonal diagonal_of(const Call& call) {
  const TensorInfo& self = call.tensor("self");
  Diagonal d{};
  d.axis1 = static_cast<size_t>(call.integer("dim1"));
  d.axis2 = static_cast<size_t>(call.integer("dim2"));
  check(d.axis1 != d.axis2, [&] {
    return concat(call.name(), ": diagonal dimensions cannot be identical ", d.axis1, ", ",
                  d.axis2);
  });
  const int64_t offset = call.integer("offset");
  d.row = std::max<int64_t>(-offset, 0);
  d.column = std::max<int64_t>(offset, 0);
  d.length =
      std::max<int64_t>(std::min(self.sizes[d.axis1] - d.row, self.sizes[d.axis2] - d.column), 0);
  return d;
}
/// The axes other than those of the diagonal.
Ints other_axes(const TensorInfo& self, const Diagonal& d) {
  Ints axes;
  for (size_t i = 0; i < self.sizes.size(); ++i)
    if (i != d.axis1 && i != d.axis2) axes.push_back(static_cast<int64_t>(i));
  return axes;
}
TensorInfo diagonal_info(const Call& call) {
  const TensorInfo& self = call.tensor("self");
  const Diagonal d = diagonal_of(call);
  TensorInfo result{self.dtype, {}, {}};
  for (const int64_t axis : other_axes(self, d)) {
    result.sizes.push_back(self.sizes[static_cast<size_t>(axis)]);
    result.strides.push_back(self.strides[static_cast<size_t>(axis)]);
  }
  result.sizes.push_back(d.length);
  result.strides.push_back(self.strides[d.axis1] + self.strides[d.axis2]);
  return result;
}
void lower_diagonal(Lowering& l) {
  const Expr x = l["self"];
  const TensorInfo& self = l.call().tensor("self");
  const Diagonal d = diagonal_of(l.call());
  Ints order = other_axes(self, d);
  order.push_back(static_cast<int64_t>(d.axis1));
  order.push_back(static_cast<int64_t>(d.axis2));
  const Expr matrices = permute(x, order);
  const DiagonalOffset offset = diagonal_offset(l, "offset");
  std::vector<Expr> places;
  Shape shape;
  for (size_t i = 0; i + 2 < order.size(); ++i) shape.push_back(matrices.dim(static_cast<int>(i)));
  shape.push_back(diagonal_length(matrices, offset));
  for (size_t i = 0; i + 2 < order.size(); ++i)
    places.push_back(iota(x.builder(), shape, static_cast<int>(i)));
  const Expr along = iota(x.builder(), shape, static_cast<int>(shape.size()) - 1);
  places.push_back(along + extent(x.builder(), offset.row));
  places.push_back(along + extent(x.builder(), offset.column));
  l.result(gather(matrices, places));
}
Definition diagonal_definition(std::string_view schema, std::string_view doc, Variants variants) {
  Definition d{.schema = schema,
               .doc = doc,
               .variants = std::move(variants),
               .returns = Returns::View,
               .axes = {"dim1", "dim2"},
               .shape = [](const Call& call,
                           ResultInfos& results) { results.push_back(diagonal_info(call)); },
               .lower = lower_diagonal,
               .dynamic = {"offset"},
               .signs = {"offset"},
               .samples =
                   [] {
                     return SampleList{{{t({3, 4})}},
                                       {{t({3, 4}), Scalar(1)}},
                                       {{t({2, 3, 4}), Scalar(-1), Scalar(0), Scalar(2)}},
                                       {{t({3, 4}), Scalar(7)}}};
                   }};
  d.alias = [](const Call& call, AliasInfo& alias) {
    const TensorInfo& self = call.tensor("self");
    const Diagonal place = diagonal_of(call);
    TensorInfo info = diagonal_info(call);
    alias.sizes = info.sizes;
    alias.strides = info.strides;
    if (place.length > 0)
      alias.offset +=
          place.row * self.strides[place.axis1] + place.column * self.strides[place.axis2];
  };
  return d;
}
const Register kDiagonal(diagonal_definition(
    "diagonal(Tensor(a) self, int offset=0, int dim1=0, int dim2=1) -> Tensor(a)",
    "The diagonal of the matrices along dim1 and dim2 as the last axis; a positive offset is above "
    "the main one.",
    {.copy = true}));
const Register kLinalgDiagonal(diagonal_definition(
    "linalg_diagonal(Tensor(a) self, *, int offset=0, int dim1=-2, int dim2=-1) -> Tensor(a)",
    "The diagonal of the last two axes.",
    {.function = false, .method = false, .aliases = {"linalg.diagonal"}}));

// ---- sliding windows
// -------------------------------------------------------------------------------
TensorInfo window_info(const Call& call) {
  TensorInfo result = call.tensor("self");
  const int64_t size = call.integer("size");
  const int64_t step = call.integer("step");
  const int64_t axis = call.integer("dimension");
  const int64_t extent = result.dim() == 0 ? 1 : result.sizes[static_cast<size_t>(axis)];
  check(size >= 0 && size <= extent, [&] {
    return concat(call.name(), ": maximum size for tensor at dimension ", axis, " is ", extent,
                  " but size is ", size);
  });
  check(step > 0, [&] { return concat(call.name(), ": step is ", step, " but must be > 0"); });
  const int64_t last = result.dim() == 0 ? 1 : result.strides[static_cast<size_t>(axis)];
  if (result.dim() > 0) {
    result.sizes[static_cast<size_t>(axis)] = (extent - size) / step + 1;
    result.strides[static_cast<size_t>(axis)] *= step;
  }
  result.sizes.push_back(size);
  result.strides.push_back(last);
  return result;
}
void lower_windows(Lowering& l) {
  const Expr x = l["self"];
  const Dim size = l.integer("size");
  if (x.rank() == 0) return l.result(broadcast_to(x, {size}));
  const int axis = static_cast<int>(l.call().integer("dimension"));
  const Dim step = l.integer("step");
  Shape shape = x.shape();
  shape[static_cast<size_t>(axis)] = (x.dim(axis) - size).floor_div(step) + 1;
  shape.push_back(size);
  std::vector<Expr> places;
  for (int i = 0; i < x.rank(); ++i) {
    const Expr index = iota(x.builder(), shape, i);
    places.push_back(
        i != axis ? index : index * extent(x.builder(), step) + iota(x.builder(), shape, x.rank()));
  }
  l.result(gather(x, places));
}
Definition unfold_definition(std::string_view schema, std::string_view doc, Variants variants) {
  Definition d{
      .schema = schema,
      .doc = doc,
      .variants = std::move(variants),
      .returns = Returns::View,
      .axes = {"dimension"},
      .shape = [](const Call& call, ResultInfos& results) { results.push_back(window_info(call)); },
      .lower = lower_windows,
      .dynamic = {"size", "step"},
      .samples =
          [] {
            return SampleList{{{t({5, 2}), Scalar(0), Scalar(3), Scalar(1)}},
                              {{t({2, 6}), Scalar(1), Scalar(2), Scalar(2)}}};
          },
      .errors =
          [] {
            return std::vector<ErrorSample>{{{{t({2, 3}), Scalar(0), Scalar(4), Scalar(1)}},
                                             "RuntimeError",
                                             "is 2 but size is 4"}};
          }};
  d.alias = [](const Call& call, AliasInfo& alias) {
    const TensorInfo info = window_info(call);
    alias.sizes = info.sizes;
    alias.strides = info.strides;
  };
  return d;
}
const Register kUnfold(unfold_definition(
    "unfold(Tensor(a) self, int dimension, int size, int step) -> Tensor(a)",
    "Windows of `size` elements along `dimension`, one every `step`, as a new last axis.",
    {.function = false, .copy = true}));
// ---- any strides
// -------------------------------------------------------------------------------------
/// The places of a window's elements, `start` being that of its first one.
Expr places_of(ir::Builder& builder, const TensorInfo& window, int64_t start) {
  Shape shape;
  for (const int64_t size : window.sizes) shape.push_back(Dim(size));
  Expr place = broadcast_to(constant(builder, DType::Int64, Scalar(start)), shape);
  for (size_t i = 0; i < shape.size(); ++i)
    place =
        place + iota(builder, shape, static_cast<int>(i)) * static_cast<double>(window.strides[i]);
  return place;
}
int64_t last_place(const TensorInfo& window) {
  int64_t last = 0;
  for (size_t i = 0; i < window.sizes.size(); ++i)
    last += (window.sizes[i] - 1) * window.strides[i];
  return last;
}
/// True if no two elements share a place, as far as strides alone show it.
bool are_places_apart(const TensorInfo& window) {
  SmallVector<std::pair<int64_t, int64_t>, 6> axes;
  for (size_t i = 0; i < window.sizes.size(); ++i)
    if (window.sizes[i] > 1) axes.push_back({window.strides[i], window.sizes[i]});
  std::sort(axes.begin(), axes.end());
  int64_t last = 0;
  for (const auto& [stride, size] : axes) {
    if (stride <= last) return false;
    last += (size - 1) * stride;
  }
  return true;
}
/// The elements of self are put where they lie, and those of the result taken from there. Where
/// several elements of self share a place each is its equal part, as in PyTorch, so that the
/// gradient of the place is divided among them.
void lower_as_strided(Lowering& l) {
  const TensorInfo& self = l.call().tensor("self");
  Expr x = l["self"];
  const TensorInfo result{self.dtype, l.call().integers("size"), l.call().integers("stride")};
  const int64_t start = l.call().integer("storage_offset");
  const bool any = result.numel() > 0;
  const int64_t first = any ? std::min<int64_t>(start, 0) : 0;
  const int64_t last = std::max(last_place(self), any ? start + last_place(result) : 0);
  ir::Builder& builder = x.builder();
  Shape memory;
  memory.push_back(Dim(last - first + 1));
  const std::vector<Expr> own{places_of(builder, self, -first)};
  const std::vector<Expr> wanted{places_of(builder, result, start - first)};
  if (self.is_contiguous() && last - first + 1 == self.numel())
    return l.result(gather(reshape(x, memory), wanted));
  const Expr nothing = broadcast_to(constant(x, x.dtype(), Scalar(0.0)), memory);
  if (!is_inexact(x.dtype())) return l.result(gather(scatter_set(nothing, own, x), wanted));
  if (!are_places_apart(self)) {
    const Expr ones = broadcast_to(constant(x, x.dtype(), Scalar(1.0)), x.shape());
    x = x / stop_gradient(gather(scatter_add(nothing, own, ones), own));
  }
  l.result(gather(scatter_add(nothing, own, x), wanted));
}
const Register kAsStrided({
    .schema = "as_strided(Tensor(a) self, int[] size, int[] stride, int? storage_offset=None) -> "
              "Tensor(a)",
    .doc = "A view of the storage with these sizes and strides, from storage_offset (that of self "
           "by default).",
    .returns = Returns::View,
    .shape =
        [](const Call& call, ResultInfos& results) {
          const Ints& sizes = call.integers("size");
          const Ints& strides = call.integers("stride");
          check(sizes.size() == strides.size(), [&] {
            return concat(call.name(),
                          ": mismatch in length of strides and shape: ", strides.size(), " and ",
                          sizes.size());
          });
          for (const int64_t stride : strides)
            check(stride >= 0, [&] {
              return concat(call.name(),
                            ": Negative strides are not supported at the moment, got "
                            "strides: ",
                            list_text(strides));
            });
          for (const int64_t size : sizes)
            check(size >= 0,
                  [&] { return concat(call.name(), ": negative size in ", list_text(sizes)); });
          results.push_back({call.tensor("self").dtype, sizes, strides});
        },
    .lower = lower_as_strided,
    .alias =
        [](const Call& call, AliasInfo& alias) {
          alias.sizes = call.integers("size");
          alias.strides = call.integers("stride");
          alias.offset += call.integer("storage_offset");
          check(alias.offset >= 0, [&] {
            return concat(call.name(), ": storage_offset must not be negative, got ", alias.offset);
          });
        },
    .from_storage = "storage_offset",
    .fixed = every_axis,
    .samples = [] { return SampleList{{{t({2, 6}), Ints{3, 2}, Ints{2, 1}, Scalar(1)}}}; },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({6}), Ints{3}, Ints{-1}}}, "RuntimeError", "Negative strides"}};
        },
});

}  // namespace
}  // namespace flambeau::ops
