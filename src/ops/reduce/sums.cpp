// Sums, products, means, truth of all and any.

#include "ops/reduce/reduce.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

/// The dtype of a sum: the one asked for, int64 for integers and bool, else the input's.
DType sum_dtype(const Call& call) {
  const DType own = call.tensor("self").dtype;
  return call.dtype_or("dtype", is_inexact(own) ? own : DType::Int64);
}
Expr sum_input(Lowering& l) {
  const DType dtype = sum_dtype(l.call());
  return convert(convert(l["self"], dtype), compute_dtype(dtype));
}
void sum_shape(const Call& call, ResultInfos& results) {
  reduced_result(call, results, sum_dtype(call));
}
DType mean_dtype(const Call& call) {
  const DType dtype = call.dtype_or("dtype", call.tensor("self").dtype);
  check(is_inexact(dtype), [&] {
    return concat(call.name(),
                  "(): could not infer output dtype. Input dtype must be either a floating point "
                  "or complex dtype. Got: ",
                  info(dtype).name);
  });
  return dtype;
}

SampleList summing_samples() {
  SampleList list = reduction_samples();
  list.push_back({{t({2, 0}), Ints{1}}});
  list.push_back({{t({2, 3})}, {{"dtype", DType::Float64}}});
  list.push_back({{mask({2, 3}), Ints{0}}});
  return list;
}
std::vector<ErrorSample> axis_errors() {
  return {{{{t({2, 3}), Ints{2}}}, "IndexError", "expected to be in range of [-2, 1], but got 2"},
          {{{t({2, 3}), Ints{0, 0}}}, "RuntimeError", "appears multiple times"}};
}

const Register kSum({
    .schema = "sum.dim_IntList(Tensor self, int[1]? dim=None, bool keepdim=False, *, ScalarType? "
              "dtype=None) -> Tensor",
    .doc = "The sum over the axes `dim` (all by default), kept with extent 1 if keepdim. Integers "
           "and bool sum in int64.",
    .variants = {.out = true},
    .axes = {"dim"},
    .shape = sum_shape,
    .lower =
        [](Lowering& l) {
          l.result(sum(sum_input(l), reduced_axes(l.call()), keeps_axes(l.call())));
        },
    .samples = summing_samples,
    .errors = axis_errors,
});
const Register kNansum({
    .schema = "nansum(Tensor self, int[1]? dim=None, bool keepdim=False, *, ScalarType? "
              "dtype=None) -> Tensor",
    .doc = "The sum in which NaN counts as 0.",
    .variants = {.out = true},
    .axes = {"dim"},
    .shape = sum_shape,
    .lower =
        [](Lowering& l) {
          Expr x = sum_input(l);
          if (is_inexact(x.dtype())) x = replace_where(is_nan(x), x, 0.0);
          l.result(sum(x, reduced_axes(l.call()), keeps_axes(l.call())));
        },
    .samples = summing_samples,
});
const Register kMean({
    .schema = "mean.dim(Tensor self, int[1]? dim=None, bool keepdim=False, *, ScalarType? "
              "dtype=None) -> Tensor",
    .doc = "The sum over the axes `dim` (all by default) divided by the number of elements.",
    .variants = {.out = true},
    .axes = {"dim"},
    .shape = [](const Call& call,
                ResultInfos& results) { reduced_result(call, results, mean_dtype(call)); },
    .lower =
        [](Lowering& l) {
          l.result(mean(as_dtype(l, l["self"]), reduced_axes(l.call()), keeps_axes(l.call())));
        },
    .samples = [] { return reduction_samples(); },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{indices({2}, 3)}}, "RuntimeError", "could not infer output dtype"}};
        },
});
const Register kNanmean({
    .schema = "nanmean(Tensor self, int[1]? dim=None, bool keepdim=False, *, ScalarType? "
              "dtype=None) -> Tensor",
    .doc = "The mean of the elements that are not NaN.",
    .variants = {.out = true},
    .axes = {"dim"},
    .shape = [](const Call& call,
                ResultInfos& results) { reduced_result(call, results, mean_dtype(call)); },
    .lower =
        [](Lowering& l) {
          const Expr x = as_dtype(l, l["self"]);
          const Ints axes = reduced_axes(l.call());
          const bool keep = keeps_axes(l.call());
          const Expr present = convert(logical_not(is_nan(x)), x.dtype());
          l.result(sum(replace_where(is_nan(x), x, 0.0), axes, keep) / sum(present, axes, keep));
        },
    .samples = [] { return reduction_samples(); },
});

// One axis or all: PyTorch has no list here.
const Register kProdDim({
    .schema = "prod.dim_int(Tensor self, int dim, bool keepdim=False, *, ScalarType? dtype=None) "
              "-> Tensor",
    .doc = "The product along `dim`. Integers and bool multiply in int64.",
    .variants = {.out = true},
    .axes = {"dim"},
    .shape = sum_shape,
    .lower =
        [](Lowering& l) {
          l.result(prod(sum_input(l), reduced_axes(l.call()), keeps_axes(l.call())));
        },
    .autocast = "float32",
    .samples =
        [] {
          return SampleList{{{t({2, 3}), Scalar(1)}},
                            {{t({2, 3}), Scalar(0), Scalar(true)}},
                            {{t({}), Scalar(0)}}};
        },
});
const Register kProd({
    .schema = "prod(Tensor self, *, ScalarType? dtype=None) -> Tensor",
    .doc = "The product of all elements.",
    .shape = [](const Call& call,
                ResultInfos& results) { results.push_back({sum_dtype(call), {}, {}}); },
    .lower =
        [](Lowering& l) {
          const Expr x = sum_input(l);
          l.result(prod(x, all_axes(x.rank()), false));
        },
    .autocast = "float32",
    .samples = [] { return SampleList{{{t({2, 3})}}, {{t({})}}, {{t({0})}}}; },
});

/// Bool, but for uint8, which stays.
void truth_shape(const Call& call, ResultInfos& results) {
  const bool byte = call.tensor("self").dtype == DType::UInt8;
  reduced_result(call, results, byte ? DType::UInt8 : DType::Bool);
}
Definition truth(std::string_view schema, std::string_view doc, void (*lower)(Lowering&)) {
  return {.schema = schema,
          .doc = doc,
          .variants = {.out = true},
          .axes = {"dim"},
          .shape = truth_shape,
          .lower = lower,
          .differentiable = false,
          .samples = [] {
            return SampleList{{{mask({2, 3})}}, {{t({2, 3}), Ints{0}}}, {{mask({0, 3}), Ints{0}}}};
          }};
}
const Register kAll(truth(
    "all.dims(Tensor self, int[1]? dim=None, bool keepdim=False) -> Tensor",
    "True where every element along the axes `dim` (all by default) is not 0.", [](Lowering& l) {
      const Expr x = convert(l["self"], DType::Bool);
      l.result(all(x, reduced_axes(l.call()), keeps_axes(l.call())));
    }));
const Register kAny(truth("any.dims(Tensor self, int[1]? dim=None, bool keepdim=False) -> Tensor",
                          "True where some element along the axes `dim` (all by default) is not 0.",
                          [](Lowering& l) {
                            const Expr x = convert(l["self"], DType::Bool);
                            l.result(any(x, reduced_axes(l.call()), keeps_axes(l.call())));
                          }));
const Register kCountNonzero({
    .schema = "count_nonzero(Tensor self, int[1]? dim=None) -> Tensor",
    .doc = "The number of elements that are not 0 along `dim` (all by default), int64.",
    .axes = {"dim"},
    .shape =
        [](const Call& call, ResultInfos& results) {
          const Ints axes = reduced_axes(call);
          results.push_back(
              {DType::Int64, reduced_sizes(call.tensor("self").sizes, axes, false), {}});
        },
    .lower =
        [](Lowering& l) {
          const Expr nonzero = convert(convert(l["self"], DType::Bool), DType::Int64);
          l.result(sum(nonzero, reduced_axes(l.call()), false));
        },
    .differentiable = false,
    .samples = [] { return SampleList{{{mask({2, 3})}}, {{t({2, 3}), Ints{0}}}}; },
});

}  // namespace
}  // namespace flambeau::ops
