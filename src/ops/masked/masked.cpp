// Reductions and normalisations of the elements that a mask leaves: the others count as the
// identity of the operation.

#include <cmath>

#include "ops/reduce/reduce.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

void check_mask(const Call& call) {
  const TensorInfo* mask = call.optional_tensor("mask");
  if (mask == nullptr) return;
  check<TypeError>(is_bool(mask->dtype), [&] {
    return concat(call.name(), ": expected a bool mask, got ", info(mask->dtype).name);
  });
  const SmallVector<Ints, 2> shapes{call.tensor("input").sizes, mask->sizes};
  check(call.broadcast(shapes) == call.tensor("input").sizes, [&] {
    return concat(call.name(), ": mask of shape ", list_text(mask->sizes),
                  " does not broadcast to the input ", list_text(call.tensor("input").sizes));
  });
}
bool keeps(const Call& call) { return !call.is_none("keepdim") && call.boolean("keepdim"); }

/// The dtype in which a call computes: `dtype` if given, else the input's, or a wider one for sums
/// of integers and a float for means.
enum class Kind { Same, Sum, Float };
DType dtype_for(const Call& call, Kind kind) {
  const DType own = call.tensor("input").dtype;
  const DType natural = is_inexact(own) || kind == Kind::Same ? own
                        : kind == Kind::Sum                   ? DType::Int64
                                                              : default_dtype();
  for (const Parameter& p : call.definition().parsed.parameters)
    if (p.name == "dtype") return call.dtype_or("dtype", natural);
  return natural;
}
Expr input_as(Lowering& l, Kind kind) {
  const DType dtype = dtype_for(l.call(), kind);
  return convert(convert(l["input"], dtype), compute_dtype(dtype));
}
/// The input with `identity` where the mask is false.
Expr filled(Lowering& l, const Expr& x, double identity) {
  return l["mask"].valid() ? select(l["mask"], x, full_like(x, identity)) : x;
}
template <Kind kKind>
void reduced_shape(const Call& call, ResultInfos& results) {
  check_mask(call);
  const Ints axes = reduced_axes(call);
  const Ints& sizes = call.tensor("input").sizes;
  // PyTorch gives places in the dtype of the input, unless one is asked for.
  results.push_back({dtype_for(call, kKind), reduced_sizes(sizes, axes, keeps(call)), {}});
}
Expr dropped(Lowering& l, const Expr& kept) {
  const Ints axes = reduced_axes(l.call());
  return keeps(l.call()) || axes.empty() ? kept : squeeze(kept, axes);
}
/// How many elements the mask leaves along the axes.
Expr left(Lowering& l, const Expr& x) {
  return sum(filled(l, full_like(x, 1.0), 0.0), reduced_axes(l.call()));
}
double lowest(const Expr& x) {
  if (is_float(x.dtype())) return -INFINITY;
  return info(x.dtype()).is_signed ? -std::ldexp(1.0, static_cast<int>(8 * size_of(x.dtype())) - 1)
                                   : 0.0;
}
double highest(const Expr& x) {
  if (is_float(x.dtype())) return INFINITY;
  const int bits = static_cast<int>(8 * size_of(x.dtype()));
  // The largest float64 that is an int64.
  if (bits == 64) return 9223372036854774784.0;
  return std::ldexp(1.0, info(x.dtype()).is_signed ? bits - 1 : bits) - 1;
}

SampleList reduction_samples_with_mask() {
  return {{{t({2, 3}), Ints{0, 1}}},
          {{t({2, 3}), Ints{1}}, {{"keepdim", Scalar(true)}}},
          {{t({3, 4}), Ints{0}}, {{"mask", typed({3, 1}, DType::Bool, 0.5, 1.5)}}}};
}
template <Kind kKind, bool kIndex = false>
Definition reduction(std::string_view schema, std::string_view doc, std::string alias,
                     void (*lower)(Lowering&)) {
  return {.schema = schema,
          .doc = doc,
          .variants = {.function = false, .method = false, .aliases = {std::move(alias)}},
          .axes = {"dim"},
          .shape = reduced_shape<kKind>,
          .lower = lower,
          .differentiable = !kIndex,
          .samples = reduction_samples_with_mask};
}
const Register kSum(reduction<Kind::Sum>(
    "_masked_sum(Tensor input, int[1]? dim=None, *, bool? keepdim=False, ScalarType? dtype=None, "
    "Tensor? mask=None) -> Tensor",
    "The sum of the elements that the mask leaves.", "masked.sum", [](Lowering& l) {
      const Expr x = filled(l, input_as(l, Kind::Sum), 0.0);
      l.result(dropped(l, sum(x, reduced_axes(l.call()))));
    }));
const Register kProd(reduction<Kind::Sum>(
    "_masked_prod(Tensor input, int[1]? dim=None, *, bool? keepdim=False, ScalarType? dtype=None, "
    "Tensor? mask=None) -> Tensor",
    "The product of the elements that the mask leaves.", "masked.prod", [](Lowering& l) {
      const Expr x = filled(l, input_as(l, Kind::Sum), 1.0);
      l.result(dropped(l, prod(x, reduced_axes(l.call()))));
    }));
const Register kAmax(reduction<Kind::Same>(
    "_masked_amax(Tensor input, int[1]? dim=None, *, bool? keepdim=False, ScalarType? dtype=None, "
    "Tensor? mask=None) -> Tensor",
    "The maximum of the elements that the mask leaves.", "masked.amax", [](Lowering& l) {
      const Expr x = input_as(l, Kind::Same);
      l.result(dropped(l, amax(filled(l, x, lowest(x)), reduced_axes(l.call()))));
    }));
const Register kAmin(reduction<Kind::Same>(
    "_masked_amin(Tensor input, int[1]? dim=None, *, bool? keepdim=False, ScalarType? dtype=None, "
    "Tensor? mask=None) -> Tensor",
    "The minimum of the elements that the mask leaves.", "masked.amin", [](Lowering& l) {
      const Expr x = input_as(l, Kind::Same);
      l.result(dropped(l, amin(filled(l, x, highest(x)), reduced_axes(l.call()))));
    }));
const Register kMean(reduction<Kind::Float>(
    "_masked_mean(Tensor input, int[1]? dim=None, *, bool? keepdim=False, ScalarType? dtype=None, "
    "Tensor? mask=None) -> Tensor",
    "The mean of the elements that the mask leaves.", "masked.mean", [](Lowering& l) {
      const Expr x = input_as(l, Kind::Float);
      l.result(dropped(l, sum(filled(l, x, 0.0), reduced_axes(l.call())) / left(l, x)));
    }));
const Register kLogsumexp(reduction<Kind::Same>(
    "_masked_logsumexp(Tensor input, int[1]? dim=None, *, bool? keepdim=False, ScalarType? "
    "dtype=None, "
    "Tensor? mask=None) -> Tensor",
    "The logarithm of the sum of exponentials of the elements that the mask leaves.",
    "masked.logsumexp", [](Lowering& l) {
      const Expr x = filled(l, input_as(l, Kind::Float), -INFINITY);
      const Ints axes = reduced_axes(l.call());
      const Expr m = stop_gradient(amax(real(x), axes));
      const Expr shift = replace_where(eq(abs(m), INFINITY), m, 0.0);
      l.result(dropped(l, log(sum(exp(x - shift), axes)) + shift));
    }));

/// Variance about the mean of what is left: of n elements, n - correction count (n - 1 if
/// unbiased).
Expr variance(Lowering& l) {
  const Expr x = input_as(l, Kind::Float);
  const Ints axes = reduced_axes(l.call());
  const Expr n = left(l, real(x));
  const Expr center = sum(filled(l, x, 0.0), axes) / n;
  const Expr squares = sum(filled(l, abs_squared(x - center), 0.0), axes);
  const bool unbiased = l.call().is_none("unbiased") || l.call().boolean("unbiased");
  const double correction = l.call().is_none("correction")
                                ? (unbiased ? 1.0 : 0.0)
                                : static_cast<double>(l.call().integer("correction"));
  const Expr divisor = n - correction;
  return dropped(l, squares / select(lt(divisor, 0.0), 0.0, divisor));
}
const Register kVar(reduction<Kind::Float>(
    "_masked_var(Tensor input, int[1]? dim=None, bool? unbiased=None, *, int? correction=None, "
    "bool? keepdim=False, ScalarType? dtype=None, Tensor? mask=None) -> Tensor",
    "The variance of the elements that the mask leaves.", "masked.var",
    [](Lowering& l) { l.result(variance(l)); }));
const Register kStd(reduction<Kind::Float>(
    "_masked_std(Tensor input, int[1]? dim=None, bool? unbiased=None, *, int? correction=None, "
    "bool? keepdim=False, ScalarType? dtype=None, Tensor? mask=None) -> Tensor",
    "The standard deviation of the elements that the mask leaves.", "masked.std",
    [](Lowering& l) { l.result(safe_sqrt(variance(l))); }));

/// Places of extremes along one axis or in the flattened tensor.
template <bool kLargest>
void lower_index(Lowering& l) {
  const Expr given = l["input"];
  const Expr x = filled(l, given, kLargest ? lowest(given) : highest(given));
  const Ints axes = reduced_axes(l.call());
  l.result(dropped(l, index_of_extreme(x, kLargest ? amax(x, axes) : amin(x, axes), axes)));
}
Definition index_definition(Definition d) {
  d.accepts = Accepts::NumbersNoBool;
  d.samples = [] {
    return SampleList{{{t({2, 3})}},
                      {{t({3, 4}), Scalar(0)}, {{"mask", typed({3, 1}, DType::Bool, 0.5, 1.5)}}}};
  };
  return d;
}
const Register kArgmax(index_definition(reduction<Kind::Same, true>(
    "_masked_argmax(Tensor input, int? dim=None, *, bool? keepdim=False, ScalarType? dtype=None, "
    "Tensor? mask=None) -> Tensor",
    "The place of the first maximum of the elements that the mask leaves.", "masked.argmax",
    lower_index<true>)));
const Register kArgmin(index_definition(reduction<Kind::Same, true>(
    "_masked_argmin(Tensor input, int? dim=None, *, bool? keepdim=False, ScalarType? dtype=None, "
    "Tensor? mask=None) -> Tensor",
    "The place of the first minimum of the elements that the mask leaves.", "masked.argmin",
    lower_index<false>)));

/// The norm of order `ord`; elements that do not count are 0, or infinite where the least counts.
const Register kNorm([] {
  Definition d = reduction<Kind::Float>(
      "_masked_norm(Tensor input, float ord=2, int[1]? dim=None, *, bool? keepdim=False, "
      "ScalarType? dtype=None, Tensor? mask=None) -> Tensor",
      "(sum |x|^ord)^(1/ord) of the elements that the mask leaves; with infinite orders their "
      "largest or smallest magnitude.",
      "masked.norm", [](Lowering& l) {
        const Expr x = input_as(l, Kind::Float);
        const Ints axes = reduced_axes(l.call());
        const Scalar order = l.call().number("ord");
        if (!(order.to_double() < 0) || !l.call().definition().is_special("ord", order))
          return l.result(dropped(l, p_norm(l, filled(l, x, 0.0), axes, true, "ord")));
        l.result(dropped(l, amin(abs(filled(l, x, INFINITY)), axes)));
      });
  d.special = {{"ord", norm_orders()}};
  d.samples = [] {
    SampleList list;
    for (const double order :
         {2.0, 1.0, 3.0, static_cast<double>(INFINITY), -static_cast<double>(INFINITY)})
      list.push_back(
          {{t({3, 4}), order, Ints{0}}, {{"mask", typed({3, 1}, DType::Bool, 0.5, 1.5)}}});
    return list;
  };
  return d;
}());

// ---- scans and pairs
// -----------------------------------------------------------------------------
Definition scan(std::string_view schema, std::string_view doc, std::string alias,
                void (*lower)(Lowering&)) {
  return {.schema = schema,
          .doc = doc,
          .variants = {.function = false, .method = false, .aliases = {std::move(alias)}},
          .accepts = Accepts::NumbersNoBool,
          .axes = {"dim"},
          .shape =
              [](const Call& call, ResultInfos& results) {
                check_mask(call);
                results.push_back({dtype_for(call, Kind::Same), call.tensor("input").sizes, {}});
              },
          .lower = lower,
          .samples =
              [] {
                return SampleList{{{t({2, 3}), Scalar(1)}},
                                  {{t({2, 9}), Scalar(1)}, {{"mask", mask({2, 9})}}},
                                  {{t({3, 2}), Scalar(0)}, {{"mask", mask({3, 1})}}}};
              }};
}
template <class Scan>
void lower_masked_scan(Lowering& l, double identity, const Scan& scan) {
  const Expr x = filled(l, input_as(l, Kind::Same), identity);
  const int axis = static_cast<int>(l.call().integer("dim"));
  l.result(x.rank() == 0 ? x : scan(x, axis, false));
}
const Register kCumsum(scan(
    "_masked_cumsum(Tensor input, int dim, *, ScalarType? dtype=None, Tensor? mask=None) -> Tensor",
    "The running sum along `dim` of the elements that the mask leaves.", "masked.cumsum",
    [](Lowering& l) { lower_masked_scan(l, 0.0, running_sum); }));
const Register kCumprod(
    scan("_masked_cumprod(Tensor input, int dim, *, ScalarType? dtype=None, Tensor? mask=None) -> "
         "Tensor",
         "The running product along `dim` of the elements that the mask leaves.", "masked.cumprod",
         [](Lowering& l) { lower_masked_scan(l, 1.0, running_prod); }));
const Register kLogaddexp({
    .schema = "_masked_logaddexp(Tensor input, Tensor other, *, ScalarType? dtype=None, Tensor? "
              "input_mask=None, Tensor? other_mask=None) -> Tensor",
    .doc = "log(exp(input) + exp(other)), where elements outside their mask count as -inf.",
    .variants = {.function = false, .method = false, .aliases = {"masked.logaddexp"}},
    .promotion = Promotion::Promote,
    .accepts = Accepts::Floats,
    .unpromoted = {"input_mask", "other_mask"},
    .broadcasts = true,
    .shape =
        [](const Call& call, ResultInfos& results) {
          SmallVector<Ints, 4> shapes;
          for (const char* name : {"input", "other", "input_mask", "other_mask"})
            if (const TensorInfo* t = call.optional_tensor(name)) shapes.push_back(t->sizes);
          results.push_back(
              {call.dtype_or("dtype", common_dtype(call)), call.broadcast(shapes), {}});
        },
    .lower =
        [](Lowering& l) {
          const auto masked = [&](const char* name, const char* mask_name) {
            const Expr x = as_dtype(l, l[name]);
            const Expr keep = l[mask_name];
            return keep.valid() ? select(keep, x, -INFINITY) : x;
          };
          l.result(log_add_exp(masked("input", "input_mask"), masked("other", "other_mask")));
        },
    .samples =
        [] {
          return SampleList{{{t({2, 3}), t({2, 3})}},
                            {{t({2, 3}), t({2, 3})}, {{"input_mask", mask({2, 3})}}}};
        },
});

// ---- normalisations
// ------------------------------------------------------------------------------
Definition normalisation(std::string_view schema, std::string_view doc, std::string alias,
                         void (*lower)(Lowering&), std::function<SampleList()> samples) {
  return {.schema = schema,
          .doc = doc,
          .variants = {.function = false, .method = false, .aliases = {std::move(alias)}},
          .axes = {"dim"},
          .shape =
              [](const Call& call, ResultInfos& results) {
                check_mask(call);
                results.push_back({dtype_for(call, Kind::Float), call.tensor("input").sizes, {}});
              },
          .lower = lower,
          .samples = std::move(samples)};
}
SampleList masked_rows() {
  return {{{t({2, 3}), Scalar(1)}}, {{t({2, 9}), Scalar(1)}, {{"mask", mask({2, 9})}}}};
}
// Where the mask is false the result is -inf, whose slope nobody can measure.
SampleList whole_rows() { return {{{t({2, 3}), Scalar(1)}}, {{t({3, 2}), Scalar(0)}}}; }
int axis_of(const Lowering& l) { return static_cast<int>(l.call().integer("dim")); }
const Register kSoftmax(normalisation(
    "_masked_softmax(Tensor input, int dim, *, ScalarType? dtype=None, Tensor? "
    "mask=None) -> Tensor",
    "softmax over the elements that the mask leaves; 0 elsewhere.", "masked.softmax",
    [](Lowering& l) {
      l.result(softmax(filled(l, input_as(l, Kind::Float), -INFINITY), axis_of(l)));
    },
    masked_rows));
const Register kSoftmin(normalisation(
    "_masked_softmin(Tensor input, int dim, *, ScalarType? dtype=None, Tensor? "
    "mask=None) -> Tensor",
    "softmax of the negated elements that the mask leaves; 0 elsewhere.", "masked.softmin",
    [](Lowering& l) {
      l.result(softmax(-filled(l, input_as(l, Kind::Float), INFINITY), axis_of(l)));
    },
    masked_rows));
const Register kLogSoftmax(normalisation(
    "_masked_log_softmax(Tensor input, int dim, *, ScalarType? dtype=None, Tensor? mask=None) -> "
    "Tensor",
    "log_softmax over the elements that the mask leaves; -inf elsewhere.", "masked.log_softmax",
    [](Lowering& l) {
      l.result(log_softmax(filled(l, input_as(l, Kind::Float), -INFINITY), axis_of(l)));
    },
    whole_rows));

}  // namespace
}  // namespace flambeau::ops
