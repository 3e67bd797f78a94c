// Writing at computed indices along one axis.

#include "ops/index/index.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

int axis_of(const Call& call) { return static_cast<int>(call.integer("dim")); }
int64_t extent_along(const Call& call) {
  const TensorInfo& self = call.tensor("self");
  return self.dim() == 0 ? 1 : self.sizes[static_cast<size_t>(axis_of(call))];
}
void same_as_self(const Call& call, ResultInfos& results) {
  const TensorInfo& self = call.tensor("self");
  results.push_back({self.dtype, self.sizes, {}});
}

// ---- scatter: an index for every element
// ---------------------------------------------------------
void check_scatter(const Call& call, const char* source) {
  const TensorInfo& self = call.tensor("self");
  const TensorInfo& index = call.tensor("index");
  check_index_dtype(call, "index");
  if (index.numel() == 0) return;
  check(std::max(self.dim(), 1) == std::max(index.dim(), 1), [&] {
    return concat(call.name(),
                  "(): Index tensor must have the same number of dimensions as self tensor, got ",
                  index.dim(), " and ", self.dim());
  });
  const TensorInfo* src = nullptr;
  if (source != nullptr) {
    src = &call.tensor(source);
    check(src->dtype == self.dtype, [&] {
      return concat(call.name(), "(): Expected self.dtype to be equal to src.dtype, got ",
                    info(self.dtype).name, " and ", info(src->dtype).name);
    });
    check(std::max(src->dim(), 1) == std::max(index.dim(), 1), [&] {
      return concat(call.name(),
                    "(): Index tensor must have the same number of dimensions as src "
                    "tensor, got ",
                    index.dim(), " and ", src->dim());
    });
  }
  for (int i = 0; i < std::min(self.dim(), index.dim()); ++i) {
    const auto k = static_cast<size_t>(i);
    const bool fits_self = i == axis_of(call) || index.sizes[k] <= self.sizes[k];
    const bool fits_source = src == nullptr || src->dim() == 0 || index.sizes[k] <= src->sizes[k];
    check(fits_self && fits_source, [&] {
      return concat(call.name(), "(): Expected index ", list_text(index.sizes),
                    " to be no larger than self ", list_text(self.sizes), " apart from dimension ",
                    axis_of(call), src == nullptr ? "" : " and to be no larger size than src ",
                    src == nullptr ? "" : list_text(src->sizes));
    });
  }
}
template <bool kHasSource>
void scatter_shape(const Call& call, ResultInfos& results) {
  check_scatter(call, kHasSource ? "src" : nullptr);
  same_as_self(call, results);
}
/// The part of `src` that has an index.
Expr covered(const Expr& src, const Expr& index) {
  Expr result = src;
  for (int i = 0; i < index.rank(); ++i) result = slice(result, i, 0, index.dim(i));
  return result;
}
enum class Update { Set, Add };
void lower_scatter(Lowering& l, Update update, const Expr& given) {
  Expr x = l["self"];
  Expr index = l["index"];
  Expr src = given;
  const bool scalar = x.rank() == 0;
  if (scalar) x = unsqueeze(x, 0);
  if (index.rank() == 0) index = unsqueeze(index, 0);
  if (src.rank() == 0) src = broadcast_to(src, index.shape());
  const std::vector<Expr> places = along_axis(x, axis_of(l.call()), index);
  const Expr part = covered(src, index);
  const Expr value =
      update == Update::Add ? scatter_add(x, places, part) : scatter_set(x, places, part);
  l.result(scalar ? reshape(value, {}) : value);
}
void scatter_checks(HostCall& host) {
  check_bounds<RuntimeError>(host, "index", axis_of(host.call()), extent_along(host.call()), 0);
}
std::vector<ErrorSample> scatter_errors() {
  return {{{{t({2, 3}), Scalar(0), typed({2, 3}, DType::Int64, 7, 7), t({2, 3})}},
           "RuntimeError",
           "index 7 is out of bounds"}};
}
SampleList scatter_samples() {
  return {{{t({4, 3}), Scalar(0), indices({2, 3}, 4), t({3, 3})}},
          {{t({4, 3}), Scalar(-1), indices({4, 2}, 3), t({4, 2})}}};
}
const Register kScatter({
    .schema = "scatter.src(Tensor self, int dim, Tensor index, Tensor src) -> Tensor",
    .doc = "A copy of self with result[index[i][j]][j] = src[i][j] for dim 0, and likewise for the "
           "others; of several writes the last stays.",
    .variants = {.in_place = true, .out = true},
    .axes = {"dim"},
    .shape = scatter_shape<true>,
    .lower = [](Lowering& l) { lower_scatter(l, Update::Set, l["src"]); },
    .checks = scatter_checks,
    .samples =
        [] {
          return SampleList{{{t({4, 3}), Scalar(0), typed({1, 3}, DType::Int64, 0, 4), t({3, 3})}}};
        },
    .errors = scatter_errors,
});
const Register kScatterValue({
    .schema = "scatter.value(Tensor self, int dim, Tensor index, Scalar value) -> Tensor",
    .doc = "A copy of self with `value` at these places.",
    .variants = {.in_place = true, .out = true},
    .axes = {"dim"},
    .shape = scatter_shape<false>,
    .lower =
        [](Lowering& l) {
          lower_scatter(l, Update::Set, convert(l.number("value"), l["self"].dtype()));
        },
    .checks = scatter_checks,
    .samples = [] { return SampleList{{{t({4, 3}), Scalar(0), indices({2, 3}, 4), 0.5}}}; },
});
const Register kScatterAdd({
    .schema = "scatter_add(Tensor self, int dim, Tensor index, Tensor src) -> Tensor",
    .doc = "A copy of self to which src is added at these places, in the order of src.",
    .variants = {.in_place = true, .out = true},
    .axes = {"dim"},
    .shape = scatter_shape<true>,
    .lower = [](Lowering& l) { lower_scatter(l, Update::Add, l["src"]); },
    .checks = scatter_checks,
    .samples = scatter_samples,
    .errors = scatter_errors,
});

// ---- whole slices at the places of a vector
// ------------------------------------------------------
/// Checks the vector `index` and, where there is one, that `source` is self with its length at dim.
void check_slices(const Call& call, const char* source) {
  const TensorInfo& self = call.tensor("self");
  const TensorInfo& index = call.tensor("index");
  check<IndexError>(index.dim() <= 1, [&] {
    return concat(call.name(), "(): Index should have dimension 1 or 0 (got ", index.dim(), ")");
  });
  check_index_dtype(call, "index");
  if (source == nullptr) return;
  const TensorInfo& src = call.tensor(source);
  check(src.dtype == self.dtype, [&] {
    return concat(call.name(), "(): self and source expected to have the same dtype, but got ",
                  info(self.dtype).name, " and ", info(src.dtype).name);
  });
  Ints wanted = self.sizes;
  if (!wanted.empty()) wanted[static_cast<size_t>(axis_of(call))] = index.numel();
  check(src.sizes == wanted || (wanted.empty() && src.numel() == 1), [&] {
    return concat(call.name(), "(): source of shape ", list_text(src.sizes),
                  " does not fit; expected ", list_text(wanted));
  });
}
void lower_slices(Lowering& l, Update update, const Expr& given) {
  Expr x = l["self"];
  const bool scalar = x.rank() == 0;
  if (scalar) x = unsqueeze(x, 0);
  const int axis = axis_of(l.call());
  const Expr index = convert(l["index"], DType::Int64);
  std::vector<Expr> places;
  for (int i = 0; i < x.rank(); ++i)
    places.push_back(as_axis(i == axis ? index : iota(x.builder(), {x.dim(i)}, 0), i, x.rank()));
  Shape shape = x.shape();
  shape[static_cast<size_t>(axis)] = index.rank() == 0 ? Dim(1) : index.dim(0);
  const Expr source = given.rank() == x.rank() ? given : broadcast_to(given, shape);
  const Expr value =
      update == Update::Add ? scatter_add(x, places, source) : scatter_set(x, places, source);
  l.result(scalar ? reshape(value, {}) : value);
}
void slice_checks(HostCall& host) {
  check_bounds<IndexError>(host, "index", axis_of(host.call()), extent_along(host.call()), 0);
}
const Register kIndexAdd({
    .schema = "index_add(Tensor self, int dim, Tensor index, Tensor source, *, Scalar alpha=1) -> "
              "Tensor",
    .doc = "A copy of self to whose slices at the places `index` the slices of alpha * source are "
           "added.",
    .variants = {.in_place = true, .out = true},
    .axes = {"dim"},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_slices(call, "source");
          same_as_self(call, results);
        },
    .lower =
        [](Lowering& l) {
          const Scalar alpha = l.call().number("alpha");
          const bool plain = l.call().definition().is_special("alpha", alpha);
          lower_slices(l, Update::Add, plain ? l["source"] : l["source"] * l["alpha"]);
        },
    .checks = slice_checks,
    .special = {{"alpha", {1}}},
    .samples =
        [] {
          return SampleList{{{t({4, 3}), Scalar(0), indices({5}, 4), t({5, 3})}},
                            {{t({4, 3}), Scalar(1), indices({2}, 3), t({4, 2})}, {{"alpha", 0.5}}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2, 3}), Scalar(0), typed({1}, DType::Int64, 9, 9), t({1, 3})}},
               "IndexError",
               "index 9 is out of bounds"}};
        },
});
const Register kIndexCopy({
    .schema = "index_copy(Tensor self, int dim, Tensor index, Tensor source) -> Tensor",
    .doc = "A copy of self whose slices at the places `index` are those of source.",
    .variants = {.in_place = true, .out = true},
    .axes = {"dim"},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_slices(call, "source");
          same_as_self(call, results);
        },
    .lower = [](Lowering& l) { lower_slices(l, Update::Set, l["source"]); },
    .checks = slice_checks,
    .samples = [] { return SampleList{{{t({4, 3}), Scalar(0), indices({1}, 4), t({1, 3})}}}; },
});
const Register kIndexFill({
    .schema = "index_fill.Tensor(Tensor self, int dim, Tensor index, Tensor value) -> Tensor",
    .doc = "A copy of self with `value` in the slices at the places `index`.",
    .variants = {.in_place = true},
    .numbers = {"value"},
    .axes = {"dim"},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_slices(call, nullptr);
          same_as_self(call, results);
        },
    .lower =
        [](Lowering& l) {
          lower_slices(l, Update::Set, convert(l.number("value"), l["self"].dtype()));
        },
    .checks = slice_checks,
    .samples =
        [] {
          return SampleList{{{t({4, 3}), Scalar(0), indices({2}, 4), 0.5}},
                            {{t({4, 3}), Scalar(1), indices({1}, 3), t({})}}};
        },
});

}  // namespace
}  // namespace flambeau::ops
