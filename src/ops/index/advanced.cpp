// Indexing with one index tensor for some of the axes, as NumPy.

#include <algorithm>

#include "ops/index/index.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

const TensorRefs& index_list(const Call& call) { return call.tensors("indices"); }

/// Where the axes of the result come from: the indexed ones, broadcast together, replace the
/// indexed axes if those are neighbours, and go in front otherwise.
struct Layout {
  int before = 0;             ///< axes of self in front of the broadcast ones
  int broadcast = 0;          ///< rank of the broadcast index
  int rank = 0;               ///< of the result
  std::vector<bool> indexed;  ///< per axis of self
};
Layout layout_of(const Call& call) {
  const TensorInfo& self = call.tensor("self");
  Layout layout;
  layout.indexed.resize(self.sizes.size());
  int first = -1;
  int last = -1;
  int count = 0;
  for (size_t i = 0; i < index_list(call).size(); ++i) {
    const TensorInfo* index = index_list(call)[i];
    if (index == nullptr) continue;
    layout.indexed[i] = true;
    layout.broadcast = std::max(layout.broadcast, index->dim());
    if (first < 0) first = static_cast<int>(i);
    last = static_cast<int>(i);
    ++count;
  }
  layout.before = last - first + 1 == count ? std::max(first, 0) : 0;
  layout.rank = self.dim() - count + layout.broadcast;
  return layout;
}
void check_indices(const Call& call) {
  const TensorInfo& self = call.tensor("self");
  check<IndexError>(index_list(call).size() <= self.sizes.size(), [&] {
    return concat(call.name(), ": too many indices for tensor of dimension ", self.dim(), " (got ",
                  index_list(call).size(), ")");
  });
  for (const TensorInfo* index : index_list(call))
    check<IndexError>(
        index == nullptr || index->dtype == DType::Int64 || index->dtype == DType::Int32, [&] {
          return concat(call.name(),
                        ": tensors used as indices must be long or int "
                        "here (masks are taken as their places), got ",
                        info(index->dtype).name);
        });
}
Ints indexed_sizes(const Call& call) {
  check_indices(call);
  const TensorInfo& self = call.tensor("self");
  const Layout layout = layout_of(call);
  SmallVector<Ints, 4> shapes;
  for (const TensorInfo* index : index_list(call))
    if (index != nullptr) shapes.push_back(index->sizes);
  Ints broadcast;
  try {
    broadcast = call.broadcast(shapes);
  } catch (const RuntimeError&) {
    throw IndexError(concat(call.name(),
                            ": shape mismatch: indexing tensors could not be "
                            "broadcast together"));
  }
  Ints sizes;
  const auto add_broadcast = [&] { sizes.append(broadcast.begin(), broadcast.end()); };
  if (layout.before == 0) add_broadcast();
  for (size_t i = 0; i < self.sizes.size(); ++i) {
    if (!layout.indexed[i]) sizes.push_back(self.sizes[i]);
    if (layout.before > 0 && static_cast<int>(i) == layout.before - 1) add_broadcast();
  }
  return sizes;
}
/// `x` placed so that right-aligned broadcasting leaves `after` axes behind it.
Expr before_axes(const Expr& x, int after) {
  Expr result = x;
  for (int i = 0; i < after; ++i) result = unsqueeze(result, result.rank());
  return result;
}
/// One index array per axis of x, for gather and scatter.
std::vector<Expr> places(Lowering& l, const Expr& x) {
  const Layout layout = layout_of(l.call());
  const std::vector<Expr> given = l.tensors("indices");
  std::vector<Expr> result;
  int free_axis = 0;
  for (int i = 0; i < x.rank(); ++i) {
    if (layout.indexed[static_cast<size_t>(i)]) {
      const int after = layout.rank - layout.before - layout.broadcast;
      result.push_back(before_axes(wrap_index(given[static_cast<size_t>(i)], x.dim(i)), after));
    } else {
      const int at = free_axis < layout.before ? free_axis : free_axis + layout.broadcast;
      result.push_back(before_axes(iota(x.builder(), {x.dim(i)}, 0), layout.rank - 1 - at));
      ++free_axis;
    }
  }
  return result;
}
void check_places(HostCall& host) {
  const Call& call = host.call();
  const TensorInfo& self = call.tensor("self");
  for (size_t i = 0; i < index_list(call).size(); ++i) {
    if (index_list(call)[i] == nullptr) continue;
    // Inputs are counted without those that are None.
    size_t position = 0;
    for (size_t k = 0; k < i; ++k) position += index_list(call)[k] != nullptr;
    const int64_t n = self.sizes[i];
    const std::optional<int64_t> bad = find_outside(host.input("indices", position), -n, n);
    check<IndexError>(!bad, [&] {
      return concat(call.name(), ": index ", *bad, " is out of bounds for dimension ", i,
                    " with size ", n);
    });
  }
}
const Register kIndex({
    .schema = "index.Tensor(Tensor self, Tensor?[] indices) -> Tensor",
    .doc = "self[indices]: one integer tensor, or None for all, for each of the first axes; the "
           "index tensors broadcast together.",
    .variants = {.function = false, .method = false},
    .shape =
        [](const Call& call, ResultInfos& results) {
          results.push_back({call.tensor("self").dtype, indexed_sizes(call), {}});
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          l.result(x.rank() == 0 ? x : gather(x, places(l, x)));
        },
    .checks = check_places,
    .samples =
        [] {
          return SampleList{{{t({4, 3}), std::vector{indices({5}, 4)}}},
                            {{t({4, 3}), std::vector{indices({2, 1}, 4), indices({3}, 3)}}},
                            {{t({4, 3, 2}), std::vector{typed({2}, DType::Int64, -4, 4)}}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2, 3}), std::vector{typed({1}, DType::Int64, 9, 9)}}},
               "IndexError",
               "index 9 is out of bounds for dimension 0 with size 2"}};
        },
});
const Register kIndexPut({
    .schema = "index_put(Tensor self, Tensor?[] indices, Tensor values, bool accumulate=False) -> "
              "Tensor",
    .doc = "A copy of self with self[indices] = values, or with values added there.",
    .variants = {.in_place = true},
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& self = call.tensor("self");
          const TensorInfo& values = call.tensor("values");
          check(self.dtype == values.dtype, [&] {
            return concat(call.name(),
                          ": Index put requires the source and destination dtypes "
                          "match, got ",
                          info(self.dtype).name, " for the destination and ",
                          info(values.dtype).name, " for the source.");
          });
          const Ints sizes = indexed_sizes(call);
          const SmallVector<Ints, 2> shapes{sizes, values.sizes};
          bool fits = true;
          try {
            fits = call.broadcast(shapes) == sizes;
          } catch (const RuntimeError&) {
            fits = false;
          }
          check(fits, [&] {
            return concat(call.name(), ": shape mismatch: value tensor of shape ",
                          list_text(values.sizes),
                          " cannot be broadcast to indexing result of "
                          "shape ",
                          list_text(sizes));
          });
          results.push_back({self.dtype, self.sizes, {}});
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          const Expr values = l["values"];
          if (x.rank() == 0) return l.result(l.call().boolean("accumulate") ? x + values : values);
          const std::vector<Expr> at = places(l, x);
          l.result(l.call().boolean("accumulate") ? scatter_add(x, at, values)
                                                  : scatter_set(x, at, values));
        },
    .checks = check_places,
    .samples =
        [] {
          return SampleList{{{t({4, 3}), std::vector{indices({5}, 4)}, t({5, 3}), Scalar(true)}},
                            {{t({4, 3}), std::vector{indices({1}, 4)}, t({3})}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2, 3}), std::vector{indices({1}, 2)}, t({4})}},
               "RuntimeError",
               "cannot be broadcast to indexing result of shape [1, 3]"}};
        },
});

// ---- indices that a mask guards: where it is false they may be anything
/// Indices brought into range.
std::vector<Expr> guarded_places(Lowering& l, const Expr& x) {
  std::vector<Expr> result = places(l, x);
  for (int i = 0; i < x.rank(); ++i) {
    Expr& place = result[static_cast<size_t>(i)];
    const Expr last = extent(x.builder(), x.dim(i) - 1);
    const Expr low = select(lt(place, 0.0), 0.0, place);
    place = select(gt(low, last), last, low);
  }
  return result;
}
/// The mask seen along the axes of the indexing result.
Expr guard(Lowering& l, const Shape& shape) {
  const Layout layout = layout_of(l.call());
  Expr mask = l["mask"];
  for (int i = layout.before + layout.broadcast; i < layout.rank; ++i)
    mask = unsqueeze(mask, mask.rank());
  return broadcast_to(mask, shape);
}
void check_guard(const Call& call) {
  const TensorInfo& mask = call.tensor("mask");
  check(is_bool(mask.dtype),
        [&] { return concat(call.name(), ": expected a bool mask, got ", info(mask.dtype).name); });
  SmallVector<Ints, 4> shapes;
  for (const TensorInfo* index : index_list(call))
    if (index != nullptr) shapes.push_back(index->sizes);
  const Ints broadcast = call.broadcast(shapes);
  check(call.broadcast(SmallVector<Ints, 2>{broadcast, mask.sizes}) == broadcast, [&] {
    return concat(call.name(), ": a mask of shape ", list_text(mask.sizes),
                  " does not broadcast to the indices' ", list_text(broadcast));
  });
}
/// True if there is no element to read, so that the mask can hold nowhere.
bool is_empty(const Call& call) { return call.tensor("self").numel() == 0; }
const Register kMaskedIndex({
    .schema = "_unsafe_masked_index(Tensor self, Tensor mask, Tensor?[] indices, Scalar fill) -> "
              "Tensor",
    .doc = "self[indices] where the mask is true, `fill` elsewhere; indices there may be out of "
           "range.",
    .variants = {.method = false},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_guard(call);
          results.push_back({call.tensor("self").dtype, indexed_sizes(call), {}});
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          const Expr fill = convert(l.number("fill"), x.dtype());
          if (is_empty(l.call())) {
            Shape shape;
            for (const int64_t size : indexed_sizes(l.call())) shape.emplace_back(size);
            return l.result(broadcast_to(fill, shape));
          }
          const Expr value = gather(x, guarded_places(l, x));
          l.result(select(guard(l, value.shape()), value, broadcast_to(fill, value.shape())));
        },
    .fixed = every_axis,
    .samples =
        [] {
          return SampleList{
              {{t({4, 3}), mask({5}), std::vector{indices({5}, 9)}, Scalar(2)}},
              {{t({4, 3}), mask({2, 3}),
                std::vector{typed({2, 1}, DType::Int64, -3, 9), indices({3}, 3)}, Scalar(0)}}};
        },
});
const Register kMaskedIndexPut({
    .schema = "_unsafe_masked_index_put_accumulate(Tensor self, Tensor mask, Tensor?[] indices, "
              "Tensor values) -> Tensor",
    .doc = "A copy of self to which values are added at these indices where the mask is true; "
           "indices elsewhere may be out of range.",
    .variants = {.method = false},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_guard(call);
          const Ints sizes = indexed_sizes(call);
          check(call.broadcast(SmallVector<Ints, 2>{sizes, call.tensor("values").sizes}) == sizes,
                [&] {
                  return concat(call.name(), ": values of shape ",
                                list_text(call.tensor("values").sizes),
                                " do not broadcast to the indexing result ", list_text(sizes));
                });
          results.push_back({call.tensor("self").dtype, call.tensor("self").sizes, {}});
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          if (is_empty(l.call())) return l.result(x);
          const std::vector<Expr> at = guarded_places(l, x);
          const Shape shape = gather(x, at).shape();
          const Expr values = broadcast_to(convert(l["values"], x.dtype()), shape);
          l.result(scatter_add(x, at, select(guard(l, shape), values, 0.0)));
        },
    .fixed = every_axis,
    .samples =
        [] {
          return SampleList{
              {{t({4, 3}), mask({5}), std::vector{indices({5}, 9)}, t({5, 3})}},
              {{t({4, 3}), mask({2, 3}),
                std::vector{typed({2, 1}, DType::Int64, -3, 9), indices({3}, 3)}, t({2, 3})}}};
        },
});

}  // namespace
}  // namespace flambeau::ops
