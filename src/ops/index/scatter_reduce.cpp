// Writing at computed indices with another combination than a sum.

#include <algorithm>
#include <cmath>

#include "ops/index/index.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

/// The names of the combinations, as the parameter `reduce` has them.
void check_reduce(const Call& call, std::initializer_list<std::string_view> names) {
  const std::string& given = call.string("reduce");
  check(given != "mean" || !is_bool(call.tensor("self").dtype),
        [&] { return concat('"', call.name(), "\" of a mean is not implemented for 'Bool'"); });
  std::string wanted;
  for (const std::string_view name : names) {
    if (name == given) return;
    wanted += concat(wanted.empty() ? "" : ", ", name);
  }
  throw RuntimeError(
      concat(call.name(), "(): reduce argument must be one of ", wanted, ", got ", given));
}

/// What the combination leaves unchanged.
Scalar neutral_of(const std::string& reduce, DType dtype) {
  const bool largest = reduce == "amax";
  if (!largest && reduce != "amin") return Scalar(int64_t{reduce == "prod"});
  if (is_float(dtype)) return Scalar(largest ? -INFINITY : INFINITY);
  const bool is_signed = info(dtype).is_signed;
  const size_t bits = std::min<size_t>(8 * size_of(dtype), 64) - (is_signed ? 1 : 0);
  const uint64_t greatest = ~uint64_t{0} >> (64 - bits);
  if (!largest) return Scalar(static_cast<int64_t>(greatest));
  return Scalar(is_signed ? -static_cast<int64_t>(greatest) - 1 : int64_t{0});
}

/// The update that `reduce` and `include_self` ask for.
Scatter reducing(const Call& call) {
  const std::string& reduce = call.string("reduce");
  const bool includes_self = call.boolean("include_self");
  return [=](const Expr& x, std::span<const Expr> places, const Expr& source) {
    Expr base = x;
    if (!includes_self) {
      const Expr neutral = constant(x, x.dtype(), neutral_of(reduce, x.dtype()));
      base = select(written_at(x, places, source), broadcast_to(neutral, x.shape()), x);
    }
    if (reduce == "prod") return scatter_prod(base, places, source);
    if (reduce == "amax") return scatter_max(base, places, source);
    if (reduce == "amin") return scatter_min(base, places, source);
    const Expr total = scatter_add(base, places, source);
    if (reduce == "sum") return total;
    const Expr own = includes_self ? full_like(x, 1.0)
                                   : select(written_at(x, places, source), 0.0, full_like(x, 1.0));
    const Expr count = scatter_add(own, places, full_like(source, 1.0));
    return is_float(x.dtype()) ? total / count : floor_divide(total, count);
  };
}

const Register kScatterReduce({
    .schema = "scatter_reduce.two(Tensor self, int dim, Tensor index, Tensor src, str reduce, *, "
              "bool include_self=True) -> Tensor",
    .doc =
        "A copy of self in which the elements of src combine at these places by `reduce`: sum, "
        "prod, mean, amax or amin. Without include_self, the elements of self there do not count.",
    .variants = {.in_place = true, .out = true},
    .axes = {"dim"},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_reduce(call, {"sum", "prod", "mean", "amax", "amin"});
          check_scatter(call, "src");
          same_as_self(call, results);
        },
    .lower = [](Lowering& l) { l.result(scatter_elements(l, reducing(l.call()), l["src"])); },
    .checks = scatter_checks,
    .samples =
        [] {
          SampleList list;
          for (const char* reduce : {"sum", "prod", "mean", "amax", "amin"})
            for (const bool include : {true, false})
              list.push_back({{t({4, 3}, 0.5, 2), Scalar(0), indices({5, 3}, 4), t({5, 3}, 0.5, 2),
                               std::string(reduce)},
                              {{"include_self", Scalar(include)}}});
          list.push_back(
              {{t({4, 3}), Scalar(1), indices({2, 2}, 3), t({3, 2}), std::string("sum")}});
          list.push_back({{t({}), Scalar(0), indices({}, 1), t({}), std::string("amax")}});
          return list;
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2, 3}), Scalar(0), indices({2, 3}, 2), t({2, 3}), std::string("middle")}},
               "RuntimeError",
               "reduce argument must be one of sum, prod, mean, amax, amin, got middle"}};
        },
});

template <bool kHasSource>
void combined_shape(const Call& call, ResultInfos& results) {
  check_reduce(call, {"add", "multiply"});
  check_scatter(call, kHasSource ? "src" : nullptr);
  same_as_self(call, results);
}
void lower_combined(Lowering& l, const Expr& source) {
  const bool adds = l.call().string("reduce") == "add";
  l.result(scatter_elements(l, adds ? scatter_add : scatter_prod, source));
}
const Register kScatterOfReduce({
    .schema = "scatter.reduce(Tensor self, int dim, Tensor index, Tensor src, *, str reduce) -> "
              "Tensor",
    .doc = "A copy of self to which src is added (reduce=\"add\"), or by which it is multiplied "
           "(\"multiply\"), at these places.",
    .variants = {.in_place = true, .out = true},
    .axes = {"dim"},
    .shape = combined_shape<true>,
    .lower = [](Lowering& l) { lower_combined(l, l["src"]); },
    .checks = scatter_checks,
    .differentiable = false,
    .missing_gradients = {"self"},
    .samples =
        [] {
          return SampleList{{{t({4, 3}), Scalar(0), indices({5, 3}, 4), t({5, 3})},
                             {{"reduce", std::string("multiply")}}}};
        },
});

const Register kScatterValueReduce({
    .schema = "scatter.value_reduce(Tensor self, int dim, Tensor index, Scalar value, *, str "
              "reduce) -> Tensor",
    .doc =
        "A copy of self to which `value` is added (reduce=\"add\"), or by which it is multiplied "
        "(\"multiply\"), at these places.",
    .variants = {.in_place = true, .out = true},
    .fitting = {"value"},
    .axes = {"dim"},
    .shape = combined_shape<false>,
    .lower = [](Lowering& l) { lower_combined(l, convert(l.number("value"), l["self"].dtype())); },
    .checks = scatter_checks,
    .differentiable = false,
    .missing_gradients = {"self"},
    .samples =
        [] {
          return SampleList{{{t({4, 3}), Scalar(0), indices({5, 3}, 4), 0.5},
                             {{"reduce", std::string("multiply")}}}};
        },
});

const Register kIndexReduce({
    .schema = "index_reduce(Tensor self, int dim, Tensor index, Tensor source, str reduce, *, bool "
              "include_self=True) -> Tensor",
    .doc = "A copy of self in whose slices at the places `index` those of source combine by "
           "`reduce`: prod, mean, amax or amin. Without include_self, the slices of self there do "
           "not count.",
    .variants = {.in_place = true, .out = true},
    .axes = {"dim"},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_reduce(call, {"prod", "mean", "amax", "amin"});
          check_slices(call, "source");
          same_as_self(call, results);
        },
    .lower = [](Lowering& l) { l.result(scatter_slices(l, reducing(l.call()), l["source"])); },
    .checks = slice_checks,
    .samples =
        [] {
          SampleList list;
          for (const char* reduce : {"prod", "mean", "amax", "amin"})
            for (const bool include : {true, false})
              list.push_back({{t({4, 3}, 0.5, 2), Scalar(0), indices({6}, 4), t({6, 3}, 0.5, 2),
                               std::string(reduce)},
                              {{"include_self", Scalar(include)}}});
          return list;
        },
});

/// self as a vector, updated at places of the flattened tensor.
const Register kPut({
    .schema = "put(Tensor self, Tensor index, Tensor source, bool accumulate=False) -> Tensor",
    .doc = "A copy of self with source written (or added) at these places of the flattened tensor; "
           "negative ones count from its end.",
    .variants = {.in_place = true},
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& index = call.tensor("index");
          const TensorInfo& source = call.tensor("source");
          check<IndexError>(index.dtype == DType::Int64, [&] {
            return concat(call.name(), "(): Expected a long tensor for index, but got ",
                          info(index.dtype).name);
          });
          check(source.dtype == call.tensor("self").dtype, [&] {
            return concat(call.name(), "(): self and source expected to have the same dtype, got ",
                          info(call.tensor("self").dtype).name, " and ", info(source.dtype).name);
          });
          check<IndexError>(index.numel() == source.numel(), [&] {
            return concat(call.name(),
                          "(): Expected source and index to have the same number of "
                          "elements, got ",
                          source.numel(), " and ", index.numel());
          });
          same_as_self(call, results);
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          const Dim n = element_count(x.shape());
          const Expr index = l["index"];
          const Shape count{element_count(index.shape())};
          const std::vector<Expr> places{wrap_index(reshape(index, count), n)};
          const Expr source = reshape(l["source"], count);
          const Expr flat = reshape(x, {n});
          l.result(reshape(l.call().boolean("accumulate") ? scatter_add(flat, places, source)
                                                          : scatter_set(flat, places, source),
                           x.shape()));
        },
    .checks =
        [](HostCall& host) {
          const int64_t n = host.call().tensor("self").numel();
          check_bounds<IndexError>(host, "index", 0, n, -n);
        },
    .samples =
        [] {
          return SampleList{
              {{t({2, 3}), typed({1}, DType::Int64, -6, 6), t({1})}},
              {{t({2, 3}), typed({2, 2}, DType::Int64, -6, 6), t({4}), Scalar(true)}}};
        },
});

}  // namespace
}  // namespace flambeau::ops
