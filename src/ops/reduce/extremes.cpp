// Maxima, minima and where they are.

#include "ops/reduce/reduce.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

Expr largest(const Expr& x, const Ints& axes) { return amax(x, axes); }
Expr smallest(const Expr& x, const Ints& axes) { return amin(x, axes); }
using Extreme = Expr (*)(const Expr&, const Ints&);

Expr drop(const Expr& x, const Ints& axes, bool keep) { return keep ? x : squeeze(x, axes); }

void same_dtype_shape(const Call& call, ResultInfos& results) {
  check_not_empty(call);
  reduced_result(call, results, call.tensor("self").dtype);
}
template <Extreme kExtreme>
void lower_extreme(Lowering& l) {
  const Ints axes = reduced_axes(l.call());
  const Expr x = l["self"];
  l.result(drop(kExtreme(x, axes), axes, keeps_axes(l.call())));
}
SampleList extreme_samples() {
  SampleList list = reduction_samples();
  list.pop_back();
  list.push_back({{special_values({4, 5}), Ints{1}}});
  return list;
}
std::vector<ErrorSample> empty_errors() {
  return {{{{t({0, 3}), Ints{0}}}, "IndexError", "Expected reduction dim 0 to have non-zero size"}};
}
const Register kAmax({
    .schema = "amax(Tensor self, int[1] dim=[], bool keepdim=False) -> Tensor",
    .doc = "The maximum over the axes `dim` (all by default); equal ones share the gradient.",
    .variants = {.out = true},
    .axes = {"dim"},
    .shape = same_dtype_shape,
    .lower = lower_extreme<largest>,
    .samples = extreme_samples,
    .errors = empty_errors,
});
const Register kAmin({
    .schema = "amin(Tensor self, int[1] dim=[], bool keepdim=False) -> Tensor",
    .doc = "The minimum over the axes `dim` (all by default); equal ones share the gradient.",
    .variants = {.out = true},
    .axes = {"dim"},
    .shape = same_dtype_shape,
    .lower = lower_extreme<smallest>,
    .samples = extreme_samples,
    .errors = empty_errors,
});

void check_all_not_empty(const Call& call, ResultInfos& results) {
  const TensorInfo& self = call.tensor("self");
  check(self.numel() > 0, [&] {
    return concat(call.name(),
                  "(): Expected reduction dim to be specified for input.numel() == 0. "
                  "Specify the reduction dim with the 'dim' argument.");
  });
  results.push_back({self.dtype, {}, {}});
}
template <Extreme kExtreme>
void lower_whole(Lowering& l) {
  const Expr x = l["self"];
  const Ints axes = all_axes(x.rank());
  l.result(drop(kExtreme(x, axes), axes, false));
}
// PyTorch's: where there are NaNs, these share the gradient, which the derived one makes NaN.
void whole_vjp(VjpLowering& v) {
  const Expr x = v.forward["self"];
  const Expr value = broadcast_to(v.results[0], x.shape());
  const Expr is_tie = logical_or(eq(x, value), logical_and(is_nan(x), is_nan(value)));
  const Expr ties = convert(is_tie, x.dtype());
  const Expr count = sum(ties, all_axes(x.rank()), false);
  v.gradients[0] = ties * broadcast_to(v.cotangents[0] / count, x.shape());
}
const Register kMax({
    .schema = "max(Tensor self) -> Tensor",
    .doc = "The maximum of all elements; equal ones, or those that are NaN, share the gradient.",
    .variants = {.out = true},
    .shape = check_all_not_empty,
    .lower = lower_whole<largest>,
    .vjp = whole_vjp,
    .samples = [] { return SampleList{{{t({2, 3})}}, {{t({})}}, {{special_values({9})}}}; },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({0})}}, "RuntimeError", "Expected reduction dim to be specified"}};
        },
});
const Register kMin({
    .schema = "min(Tensor self) -> Tensor",
    .doc = "The minimum of all elements; equal ones, or those that are NaN, share the gradient.",
    .variants = {.out = true},
    .shape = check_all_not_empty,
    .lower = lower_whole<smallest>,
    .vjp = whole_vjp,
    .samples = [] { return SampleList{{{t({2, 3})}}, {{t({})}}, {{special_values({9})}}}; },
});

// ---- values and indices along one axis
// -----------------------------------------------------------
void values_indices_shape(const Call& call, ResultInfos& results) {
  check_not_empty(call);
  reduced_result(call, results, call.tensor("self").dtype);
  reduced_result(call, results, DType::Int64);
}
template <Extreme kExtreme>
void lower_with_index(Lowering& l) {
  const Ints axes = reduced_axes(l.call());
  const bool keep = keeps_axes(l.call());
  const Expr x = l["self"];
  const Expr value = kExtreme(x, axes);
  l.result(drop(value, axes, keep));
  l.result(drop(index_of_extreme(x, value, axes), axes, keep));
}
// The gradient goes to the one element whose index is returned, not to all that are equal.
void at_index_vjp(VjpLowering& v) {
  if (!v.cotangents[0].valid()) return;
  const Expr x = v.forward["self"];
  const Ints axes = reduced_axes(v.forward.call());
  if (axes.empty()) {
    v.gradients[0] = v.cotangents[0];
    return;
  }
  const Expr index = with_axes(v.results[1], axes, x.rank());
  const Expr cotangent = with_axes(v.cotangents[0], axes, x.rank());
  const Expr position = iota(x.builder(), x.shape(), static_cast<int>(axes[0]));
  v.gradients[0] = select(eq(position, index), cotangent, 0.0);
}
SampleList axis_samples() {
  return {{{t({2, 3}), Scalar(1)}},
          {{t({2, 3}), Scalar(-2), Scalar(true)}},
          {{t({}), Scalar(0)}},
          {{special_values({4, 5}), Scalar(1)}}};
}
// Before the overloads with an axis, which an integer tensor could stand for.
const Register kMaxOther({
    .schema = "max.other(Tensor self, Tensor other) -> Tensor",
    .doc = "The larger of two numbers: maximum.",
    .variants = {.out = true},
    .promotion = Promotion::Promote,
    .lower = [](Lowering& l) { l.result(maximum(l["self"], l["other"])); },
    .samples = binary_samples,
});
const Register kMinOther({
    .schema = "min.other(Tensor self, Tensor other) -> Tensor",
    .doc = "The smaller of two numbers: minimum.",
    .variants = {.out = true},
    .promotion = Promotion::Promote,
    .lower = [](Lowering& l) { l.result(minimum(l["self"], l["other"])); },
    .samples = binary_samples,
});

const Register kMaxDim({
    .schema = "max.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor "
              "indices)",
    .doc = "The maximum along `dim` and the index of its first occurrence.",
    .variants = {.out = true},
    .axes = {"dim"},
    .shape = values_indices_shape,
    .lower = lower_with_index<largest>,
    .vjp = at_index_vjp,
    .saves_result = true,
    .samples = axis_samples,
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2, 3}), Scalar(5)}}, "IndexError", "[-2, 1], but got 5"}};
        },
});
const Register kMinDim({
    .schema = "min.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor "
              "indices)",
    .doc = "The minimum along `dim` and the index of its first occurrence.",
    .variants = {.out = true},
    .axes = {"dim"},
    .shape = values_indices_shape,
    .lower = lower_with_index<smallest>,
    .vjp = at_index_vjp,
    .saves_result = true,
    .samples = axis_samples,
});
void index_shape(const Call& call, ResultInfos& results) {
  check<IndexError>(!call.is_none("dim") || call.tensor("self").numel() > 0, [&] {
    return concat(call.name(),
                  "(): Expected reduction dim to be specified for input.numel() == 0.");
  });
  check_not_empty(call);
  reduced_result(call, results, DType::Int64);
  if (call.is_none("dim") && keeps_axes(call))
    results[0].sizes = Ints(call.tensor("self").sizes.size(), 1);
}
template <Extreme kExtreme>
void lower_index(Lowering& l) {
  const Ints axes = reduced_axes(l.call());
  const Expr x = l["self"];
  l.result(drop(index_of_extreme(x, kExtreme(x, axes), axes), axes, keeps_axes(l.call())));
}
SampleList index_samples() {
  SampleList list = axis_samples();
  list.push_back({{t({2, 3})}});
  return list;
}
const Register kArgmax({
    .schema = "argmax(Tensor self, int? dim=None, bool keepdim=False) -> Tensor",
    .doc = "The index of the first maximum along `dim`, or in the flattened tensor.",
    .variants = {.out = true},
    .accepts = Accepts::NumbersNoBool,
    .axes = {"dim"},
    .shape = index_shape,
    .lower = lower_index<largest>,
    .differentiable = false,
    .samples = index_samples,
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({0, 3}), Scalar(0)}}, "IndexError", "dim 0 to have non-zero size"},
              {{{t({0, 3})}}, "IndexError", "Expected reduction dim to be specified"}};
        },
});
const Register kArgmin({
    .schema = "argmin(Tensor self, int? dim=None, bool keepdim=False) -> Tensor",
    .doc = "The index of the first minimum along `dim`, or in the flattened tensor.",
    .variants = {.out = true},
    .accepts = Accepts::NumbersNoBool,
    .axes = {"dim"},
    .shape = index_shape,
    .lower = lower_index<smallest>,
    .differentiable = false,
    .samples = index_samples,
});

const Register kAminmax({
    .schema = "aminmax(Tensor self, *, int? dim=None, bool keepdim=False) -> (Tensor min, Tensor "
              "max)",
    .doc = "The minimum and the maximum, along `dim` or of all elements.",
    .variants = {.out = true},
    .axes = {"dim"},
    .shape =
        [](const Call& call, ResultInfos& results) {
          same_dtype_shape(call, results);
          same_dtype_shape(call, results);
        },
    .lower =
        [](Lowering& l) {
          lower_extreme<smallest>(l);
          lower_extreme<largest>(l);
        },
    .differentiable = false,
    .missing_gradients = {"self"},  // as in PyTorch
    .samples =
        [] {
          return SampleList{{{t({2, 3})}},
                            {{t({2, 3})}, {{"dim", Scalar(1)}, {"keepdim", Scalar(true)}}}};
        },
});

}  // namespace
}  // namespace flambeau::ops
