// Sorting and order statistics along an axis.

#include <algorithm>
#include <cmath>

#include "ops/index/rows.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

int axis_of(const Call& call) { return static_cast<int>(call.integer("dim")); }
/// The extent along the axis; 1 for a 0-dim tensor.
bool keeps(const Call& call) { return call.boolean("keepdim"); }

void sort_shape(const Call& call, ResultInfos& results) {
  const TensorInfo& self = call.tensor("self");
  results.push_back({self.dtype, self.sizes, {}});
  results.push_back({DType::Int64, self.sizes, {}});
}
/// Writes elements of a row, and their places, as row `row` of `out`.
void write_in_order(const HostTensor& x, const Rows& rows, int64_t row,
                    std::span<const Ranked> elements, const HostTensor* values,
                    const HostTensor* places, const Rows& out) {
  for (size_t i = 0; i < elements.size(); ++i) {
    const int64_t to = out.at(row, static_cast<int64_t>(i));
    if (values != nullptr) copy_element(x, rows.at(row, elements[i].place), *values, to);
    if (places != nullptr) static_cast<int64_t*>(places->data)[to] = elements[i].place;
  }
}
void sort_kernel(HostCall& host) {
  const HostTensor x = host.input("self");
  const HostTensor values = host.output(0);
  const HostTensor places = host.output(1);
  const Rows rows(x.info.sizes, axis_of(host.call()));
  for_ordered_rows(host, x, rows, host.call().boolean("descending"),
                   [&](RowOrder& order, int64_t row) {
                     write_in_order(x, rows, row, order.sorted(row), &values, &places, rows);
                   });
}
/// Each cotangent of values goes to the place that indices names.
void picked_vjp(VjpLowering& v) {
  if (v.cotangents[0].valid())
    v.gradients[0] =
        put_back(v.forward["self"], axis_of(v.forward.call()), v.results[1], v.cotangents[0]);
}
SampleList sort_samples() {
  return {
      {{t({4, 3})}}, {{t({4, 3}), Scalar(0), Scalar(true)}}, {{t({})}}, {{special_values({17})}}};
}
const Register kSort({
    .schema = "sort(Tensor self, int dim=-1, bool descending=False) -> (Tensor values, Tensor "
              "indices)",
    .doc = "The elements along `dim` in order, and their places; equal ones keep their order, NaN "
           "is the largest.",
    .variants = {.out = true},
    .axes = {"dim"},
    .shape = sort_shape,
    .vjp = picked_vjp,
    .kernel = sort_kernel,
    .samples = sort_samples,
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2, 3}), Scalar(4)}}, "IndexError", "[-2, 1], but got 4"}};
        },
});
const Register kSortStable({
    .schema = "sort.stable(Tensor self, *, bool? stable, int dim=-1, bool descending=False) -> "
              "(Tensor values, Tensor indices)",
    .doc = "sort, which always keeps the order of equal elements.",
    .variants = {.out = true},
    .axes = {"dim"},
    .shape = sort_shape,
    .vjp = picked_vjp,
    .kernel = sort_kernel,
    .samples = [] { return SampleList{{{t({4, 3})}, {{"stable", Scalar(true)}}}}; },
});
const Register kArgsort({
    .schema =
        "argsort(Tensor self, int dim=-1, bool descending=False, bool stable=False) -> Tensor",
    .doc = "The places that sort gives.",
    .axes = {"dim"},
    .shape =
        [](const Call& call, ResultInfos& results) {
          results.push_back({DType::Int64, call.tensor("self").sizes, {}});
        },
    .kernel =
        [](HostCall& host) {
          const HostTensor x = host.input("self");
          const HostTensor places = host.output(0);
          const Rows rows(x.info.sizes, axis_of(host.call()));
          for_ordered_rows(
              host, x, rows, host.call().boolean("descending"), [&](RowOrder& order, int64_t row) {
                write_in_order(x, rows, row, order.sorted(row), nullptr, &places, rows);
              });
        },
    .differentiable = false,
    .samples = sort_samples,
});
const Register kMsort({
    .schema = "msort(Tensor self) -> Tensor",
    .doc = "The elements along axis 0 in ascending order.",
    .variants = {.out = true},
    .shape =
        [](const Call& call, ResultInfos& results) {
          results.push_back({call.tensor("self").dtype, call.tensor("self").sizes, {}});
        },
    // The place of an element is the number of those before it.
    .vjp =
        [](VjpLowering& v) {
          const Expr x = v.forward["self"];
          const Expr& g = v.cotangents[0];
          if (x.rank() == 0) {
            v.gradients[0] = g;
            return;
          }
          Shape pairs = x.shape();
          pairs.insert(0, x.dim(0));
          const Expr mine = broadcast_to(unsqueeze(x, 1), pairs);
          const Expr other = broadcast_to(unsqueeze(x, 0), pairs);
          const Expr earlier = lt(iota(x.builder(), pairs, 1), iota(x.builder(), pairs, 0));
          const Expr before = logical_or(lt(other, mine), logical_and(eq(other, mine), earlier));
          const Ints others{1};
          const Expr place = sum(convert(before, DType::Int64), others, false);
          v.gradients[0] = gather(g, along_axis(g, 0, place));
        },
    .kernel =
        [](HostCall& host) {
          const HostTensor x = host.input("self");
          const HostTensor values = host.output(0);
          const Rows rows(x.info.sizes, 0);
          for_ordered_rows(host, x, rows, false, [&](RowOrder& order, int64_t row) {
            write_in_order(x, rows, row, order.sorted(row), &values, nullptr, rows);
          });
        },
    .samples = [] { return SampleList{{{t({4, 3})}}}; },
});

const Register kTopk({
    .schema =
        "topk(Tensor self, int k, int dim=-1, bool largest=True, bool sorted=True) -> (Tensor "
        "values, Tensor indices)",
    .doc = "The k largest (or smallest) elements along `dim` in order, and their places.",
    .variants = {.out = true},
    .accepts = Accepts::NumbersNoBool,
    .axes = {"dim"},
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& self = call.tensor("self");
          const int64_t k = call.integer("k");
          check(k >= 0 && k <= extent_along(call), [&] {
            return concat(call.name(), ": selected index k out of range: ", k, " of ",
                          extent_along(call));
          });
          Ints sizes = self.sizes;
          if (self.dim() > 0) sizes[static_cast<size_t>(axis_of(call))] = k;
          results.push_back({self.dtype, sizes, {}});
          results.push_back({DType::Int64, sizes, {}});
        },
    .vjp = picked_vjp,
    .kernel =
        [](HostCall& host) {
          const HostTensor x = host.input("self");
          const HostTensor values = host.output(0);
          const HostTensor places = host.output(1);
          const Rows rows(x.info.sizes, axis_of(host.call()));
          const Rows out(values.info.sizes, axis_of(host.call()));
          for_ordered_rows(
              host, x, rows, host.call().boolean("largest"), [&](RowOrder& order, int64_t row) {
                write_in_order(x, rows, row, order.first(row, out.n), &values, &places, out);
              });
        },
    .dynamic = {"k"},
    .samples =
        [] {
          return SampleList{{{t({4, 5}), Scalar(2)}},
                            {{t({4, 5}), Scalar(3), Scalar(0), Scalar(false)}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2, 3}), Scalar(5)}}, "RuntimeError", "selected index k out of range"}};
        },
});

// ---- one element of the sorted row
// -----------------------------------------------------------------
void picked_shape(const Call& call, ResultInfos& results) {
  const TensorInfo& self = call.tensor("self");
  check<IndexError>(extent_along(call) > 0, [&] {
    return concat(call.name(), "(): Expected reduction dim ", axis_of(call),
                  " to have non-zero size.");
  });
  Ints sizes;
  for (size_t i = 0; i < self.sizes.size(); ++i) {
    if (static_cast<int>(i) != axis_of(call))
      sizes.push_back(self.sizes[i]);
    else if (keeps(call))
      sizes.push_back(1);
  }
  results.push_back({self.dtype, sizes, {}});
  results.push_back({DType::Int64, sizes, {}});
}
void one_picked_vjp(VjpLowering& v) {
  if (!v.cotangents[0].valid()) return;
  const Expr x = v.forward["self"];
  const int axis = axis_of(v.forward.call());
  const bool restore = !keeps(v.forward.call()) && x.rank() > 0;
  const auto full = [&](const Expr& e) { return restore ? unsqueeze(e, axis) : e; };
  v.gradients[0] = put_back(x, axis, full(v.results[1]), full(v.cotangents[0]));
}
/// Writes the element of each row whose place `pick` chooses.
template <class Pick>
void pick_kernel(HostCall& host, const Pick& pick) {
  const HostTensor x = host.input("self");
  const HostTensor values = host.output(0);
  const HostTensor places = host.output(1);
  const Rows rows(x.info.sizes, axis_of(host.call()));
  for_ordered_rows(host, x, rows, false, [&](RowOrder& order, int64_t row) {
    const int64_t from = pick(rows, order, row);
    copy_element(x, rows.at(row, from), values, row);
    static_cast<int64_t*>(places.data)[row] = from;
  });
}
const Register kKthvalue({
    .schema = "kthvalue(Tensor self, int k, int dim=-1, bool keepdim=False) -> (Tensor values, "
              "Tensor indices)",
    .doc = "The k-th smallest element along `dim` (k counts from 1) and its place.",
    .variants = {.out = true},
    .accepts = Accepts::NumbersNoBool,
    .axes = {"dim"},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check(call.integer("k") >= 1 && call.integer("k") <= extent_along(call), [&] {
            return concat(call.name(), "(): selected number k out of range for dimension ",
                          axis_of(call));
          });
          picked_shape(call, results);
        },
    .vjp = one_picked_vjp,
    .kernel =
        [](HostCall& host) {
          const int64_t k = host.call().integer("k") - 1;
          pick_kernel(host, [&](const Rows&, RowOrder& order, int64_t row) {
            return order.split_at(row, k)[static_cast<size_t>(k)].place;
          });
        },
    .dynamic = {"k"},
    .samples =
        [] {
          return SampleList{{{t({4, 5}), Scalar(2)}},
                            {{t({4, 5}), Scalar(3), Scalar(0), Scalar(true)}}};
        },
});
/// The lower median; the first NaN if there is one.
template <bool kSkipsNan>
int64_t median_place(const Rows& rows, RowOrder& order, int64_t row) {
  const RowOrder::Nans nans = order.nans(row);
  if (nans.count > 0 && (!kSkipsNan || nans.count == rows.n)) return nans.first;
  const int64_t k = (rows.n - nans.count - 1) / 2;
  return order.split_at(row, k)[static_cast<size_t>(k)].place;
}
template <bool kSkipsNan>
Definition median_definition(std::string_view schema, std::string_view doc) {
  return {.schema = schema,
          .doc = doc,
          .variants = {.out = true},
          .accepts = Accepts::NumbersNoBool,
          .axes = {"dim"},
          .shape = picked_shape,
          .vjp = one_picked_vjp,
          .kernel = [](HostCall& host) { pick_kernel(host, median_place<kSkipsNan>); },
          .samples =
              [] {
                return SampleList{{{t({4, 5}), Scalar(1)}}, {{t({4, 5}), Scalar(0), Scalar(true)}}};
              }};
}
const Register kMedianDim(median_definition<false>(
    "median.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)",
    "The lower median along `dim` and its place; NaN if there is one."));
const Register kNanmedianDim(median_definition<true>(
    "nanmedian.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)",
    "The lower median along `dim` of what is not NaN, and its place."));

/// The most frequent element, the smallest of several, at its last place.
int64_t mode_place(const Rows& /*rows*/, RowOrder& order, int64_t row) {
  const std::span<const Ranked> sorted = order.sorted(row);
  size_t best = 0;
  size_t best_count = 0;
  for (size_t begin = 0, end = 0; begin < sorted.size(); begin = end) {
    while (end < sorted.size() && sorted[end].key == sorted[begin].key) ++end;
    if (end - begin <= best_count) continue;
    best_count = end - begin;
    best = end - 1;
  }
  return sorted[best].place;
}
const Register kMode({
    .schema =
        "mode(Tensor self, int dim=-1, bool keepdim=False) -> (Tensor values, Tensor indices)",
    .doc = "The most frequent element along `dim` (the smallest of several) and its last place.",
    .variants = {.out = true},
    .axes = {"dim"},
    .shape = picked_shape,
    .vjp = one_picked_vjp,
    .kernel = [](HostCall& host) { pick_kernel(host, mode_place); },
    .samples = [] { return SampleList{{{t({4, 5})}}, {{typed({3, 6}, DType::Int64, 0, 3)}}}; },
});

/// The median of all elements; equal ones share the gradient.
template <bool kSkipsNan>
Definition whole_median(std::string_view schema, std::string_view doc) {
  return {.schema = schema,
          .doc = doc,
          .accepts = Accepts::NumbersNoBool,
          .shape = [](const Call& call,
                      ResultInfos& r) { r.push_back({call.tensor("self").dtype, {}, {}}); },
          .vjp =
              [](VjpLowering& v) {
                const Expr x = v.forward["self"];
                const Expr& m = v.results[0];
                const Expr same = logical_or(eq(x, m), logical_and(is_nan(x), is_nan(m)));
                const Expr hit = convert(same, x.dtype());
                v.gradients[0] = v.cotangents[0] * hit / sum(hit, all_axes(x.rank()), false);
              },
          .kernel =
              [](HostCall& host) {
                const HostTensor x = host.input("self");
                const HostTensor out = host.output(0);
                const Rows rows({x.info.numel()}, 0);
                if (rows.n == 0) {
                  store(out, 0, ir::container_of(out.info.dtype, std::nan("")));
                  return;
                }
                RowOrder order(x, rows, false);
                copy_element(x, median_place<kSkipsNan>(rows, order, 0), out, 0);
              },
          .samples = [] { return SampleList{{{t({4, 5})}}, {{t({})}}}; }};
}
const Register kMedian(whole_median<false>("median(Tensor self) -> Tensor",
                                           "The lower median of all elements."));
const Register kNanmedian(whole_median<true>("nanmedian(Tensor self) -> Tensor",
                                             "The lower median of the elements that are not NaN."));

}  // namespace
}  // namespace flambeau::ops
