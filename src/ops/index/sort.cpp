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
void sort_kernel(HostCall& host) {
  const HostTensor x = host.input("self");
  const HostTensor values = host.output(0);
  const HostTensor places = host.output(1);
  const Rows rows(x.info.sizes, axis_of(host.call()));
  for (int64_t row = 0; row < rows.count() && x.info.numel() > 0; ++row) {
    const auto order = sorted_places(x, rows, row, host.call().boolean("descending"));
    for (int64_t i = 0; i < rows.n; ++i) {
      const int64_t from = order[static_cast<size_t>(i)];
      store(values, rows.at(row, i), load(x, rows.at(row, from)));
      store(places, rows.at(row, i), static_cast<ir::Container>(from));
    }
  }
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
          for (int64_t row = 0; row < rows.count() && x.info.numel() > 0; ++row) {
            const auto order = sorted_places(x, rows, row, host.call().boolean("descending"));
            for (int64_t i = 0; i < rows.n; ++i)
              store(places, rows.at(row, i),
                    static_cast<ir::Container>(order[static_cast<size_t>(i)]));
          }
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
          for (int64_t row = 0; row < rows.count() && x.info.numel() > 0; ++row) {
            const auto order = sorted_places(x, rows, row, false);
            for (int64_t i = 0; i < rows.n; ++i)
              store(values, rows.at(row, i), load(x, rows.at(row, order[static_cast<size_t>(i)])));
          }
        },
    .samples = [] { return SampleList{{{t({4, 3})}}}; },
});

const Register kTopk({
    .schema =
        "topk(Tensor self, int k, int dim=-1, bool largest=True, bool sorted=True) -> (Tensor "
        "values, Tensor indices)",
    .doc = "The k largest (or smallest) elements along `dim` in order, and their places.",
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
          for (int64_t row = 0; row < rows.count() && values.info.numel() > 0; ++row) {
            const auto order = sorted_places(x, rows, row, host.call().boolean("largest"));
            for (int64_t i = 0; i < out.n; ++i) {
              const int64_t from = order[static_cast<size_t>(i)];
              store(values, out.at(row, i), load(x, rows.at(row, from)));
              store(places, out.at(row, i), static_cast<ir::Container>(from));
            }
          }
        },
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
/// Writes the element of each row whose place `pick` chooses from the sorted places.
template <class Pick>
void pick_kernel(HostCall& host, const Pick& pick) {
  const HostTensor x = host.input("self");
  const HostTensor values = host.output(0);
  const HostTensor places = host.output(1);
  const Rows rows(x.info.sizes, axis_of(host.call()));
  for (int64_t row = 0; row < rows.count(); ++row) {
    const auto order = sorted_places(x, rows, row, false);
    const int64_t from = pick(x, rows, row, order);
    store(values, row, load(x, rows.at(row, from)));
    store(places, row, static_cast<ir::Container>(from));
  }
}
const Register kKthvalue({
    .schema = "kthvalue(Tensor self, int k, int dim=-1, bool keepdim=False) -> (Tensor values, "
              "Tensor indices)",
    .doc = "The k-th smallest element along `dim` (k counts from 1) and its place.",
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
          const auto k = static_cast<size_t>(host.call().integer("k") - 1);
          pick_kernel(host, [&](const HostTensor&, const Rows&, int64_t,
                                const std::vector<int64_t>& order) { return order[k]; });
        },
    .samples =
        [] {
          return SampleList{{{t({4, 5}), Scalar(2)}},
                            {{t({4, 5}), Scalar(3), Scalar(0), Scalar(true)}}};
        },
});
/// The lower median; the first NaN if there is one.
template <bool kSkipsNan>
int64_t median_place(const HostTensor& x, const Rows& rows, int64_t row,
                     const std::vector<int64_t>& order) {
  int64_t count = rows.n;
  while (count > 0 && std::isnan(number_at(x, rows.at(row, order[static_cast<size_t>(count - 1)]))))
    --count;
  if (count < rows.n && (!kSkipsNan || count == 0)) return order[static_cast<size_t>(count)];
  return order[static_cast<size_t>((count - 1) / 2)];
}
template <bool kSkipsNan>
Definition median_definition(std::string_view schema, std::string_view doc) {
  return {.schema = schema,
          .doc = doc,
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
int64_t mode_place(const HostTensor& x, const Rows& rows, int64_t row,
                   const std::vector<int64_t>& order) {
  size_t best = 0;
  size_t best_count = 0;
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin + 1;
    while (end < order.size() && !comes_before(x.info.dtype, load(x, rows.at(row, order[begin])),
                                               load(x, rows.at(row, order[end]))))
      ++end;
    if (end - begin > best_count) {
      best_count = end - begin;
      best = end - 1;
    }
    begin = end;
  }
  return order[best];
}
const Register kMode({
    .schema =
        "mode(Tensor self, int dim=-1, bool keepdim=False) -> (Tensor values, Tensor indices)",
    .doc = "The most frequent element along `dim` (the smallest of several) and its last place.",
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
                const auto order = sorted_places(x, rows, 0, false);
                store(out, 0, load(x, median_place<kSkipsNan>(x, rows, 0, order)));
              },
          .samples = [] { return SampleList{{{t({4, 5})}}, {{t({})}}}; }};
}
const Register kMedian(whole_median<false>("median(Tensor self) -> Tensor",
                                           "The lower median of all elements."));
const Register kNanmedian(whole_median<true>("nanmedian(Tensor self) -> Tensor",
                                             "The lower median of the elements that are not NaN."));

}  // namespace
}  // namespace flambeau::ops
