// Writing at computed indices along one axis.

#include "ops/index/index.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

// ---- scatter: an index for every element
// ---------------------------------------------------------
template <bool kHasSource>
void scatter_shape(const Call& call, ResultInfos& results) {
  check_scatter(call, kHasSource ? "src" : nullptr);
  same_as_self(call, results);
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
    .lower = [](Lowering& l) { l.result(scatter_elements(l, scatter_set, l["src"])); },
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
    .fitting = {"value"},
    .axes = {"dim"},
    .shape = scatter_shape<false>,
    .lower =
        [](Lowering& l) {
          l.result(scatter_elements(l, scatter_set, convert(l.number("value"), l["self"].dtype())));
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
    .lower = [](Lowering& l) { l.result(scatter_elements(l, scatter_add, l["src"])); },
    .checks = scatter_checks,
    .samples = scatter_samples,
    .errors = scatter_errors,
});

// ---- whole slices at the places of a vector
// ------------------------------------------------------
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
          l.result(scatter_slices(l, scatter_add, plain ? l["source"] : l["source"] * l["alpha"]));
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
          const Ints& source = call.tensor("source").sizes;
          const int64_t places = call.tensor("index").numel();
          const auto axis = static_cast<size_t>(call.integer("dim"));
          check<IndexError>(axis >= source.size() || source[axis] == places, [&] {
            return concat(call.name(), "(): Number of indices (", places,
                          ") should be equal to source.size(dim) (", source[axis], ")");
          });
          check_slices(call, "source");
          same_as_self(call, results);
        },
    .lower = [](Lowering& l) { l.result(scatter_slices(l, scatter_set, l["source"])); },
    .checks = slice_checks,
    .autocast = "promote",
    .samples = [] { return SampleList{{{t({4, 3}), Scalar(0), indices({1}, 4), t({1, 3})}}}; },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({4, 3}), Scalar(0), indices({1}, 4), t({2, 3})}},
               "IndexError",
               "Number of indices (1) should be equal to source.size(dim) (2)"}};
        },
});
const Register kIndexFill({
    .schema = "index_fill.Tensor(Tensor self, int dim, Tensor index, Tensor value) -> Tensor",
    .doc =
        "A copy of self with `value` in the slices at the places `index`; negative ones count from "
        "the end.",
    .variants = {.in_place = true},
    .numbers = {"value"},
    .fitting = {"value"},
    .axes = {"dim"},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_slices(call, nullptr);
          const auto* value = std::get_if<const TensorInfo*>(&call["value"]);
          check(value == nullptr || (*value)->dim() == 0, [&] {
            return concat(call.name(),
                          ": only supports a 0-dimensional value tensor, but got tensor with ",
                          (*value)->dim(), " dimension(s).");
          });
          same_as_self(call, results);
        },
    .lower =
        [](Lowering& l) {
          const Expr value = convert(l.number("value"), l["self"].dtype());
          if (std::holds_alternative<Scalar>(l.call()["value"]))
            return l.result(scatter_wrapping_slices(l, scatter_set, value));
          // Where an index occurs twice, a tensor has its gradient once.
          l.result(scatter_wrapping_slices(
              l,
              [&](const Expr& x, std::span<const Expr> places, const Expr& source) {
                return select(written_at(x, places, source), broadcast_to(value, x.shape()), x);
              },
              value));
        },
    .checks = wrapping_slice_checks,
    .samples =
        [] {
          return SampleList{{{t({4, 3}), Scalar(0), indices({2}, 4), 0.5}},
                            {{t({4, 3}), Scalar(1), indices({1}, 3), t({})}},
                            {{t({4, 3}), Scalar(1), typed({2}, DType::Int64, -3, -1), 0.5}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2, 3}), Scalar(1), typed({1}, DType::Int64, -4, -4), 0.5}},
               "IndexError",
               "index -4 is out of bounds"}};
        },
});

}  // namespace
}  // namespace flambeau::ops
