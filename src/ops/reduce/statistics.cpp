// Variance, standard deviation, norms, logsumexp.

#include <cmath>

#include "ops/checks.h"
#include "ops/reduce/reduce.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

struct Moments {
  Expr variance;
  Expr mean;
};

/// Mean and sum of squares about it, divided by max(0, n - correction).
Moments moments(const Expr& x, const Ints& axes, const Expr& correction, bool keep) {
  const Expr center = mean(x, axes);
  const Expr squares = sum(abs_squared(x - center), axes, keep);
  const Expr n = count(x, axes, squares.dtype()) - real(correction);
  const Expr divisor = select(gt(n, 0.0), n, 0.0);
  return {squares / divisor, keep ? center : squeeze(center, axes)};
}

/// The correction of a call in whichever way it says it: 1 by default.
Expr correction_of(Lowering& l) {
  const Call& call = l.call();
  const auto& parameters = call.definition().parsed.parameters;
  for (const Parameter& p : parameters) {
    if (p.name == "unbiased")
      return constant(l.builder(), l.compute(), Scalar(call.boolean("unbiased") ? 1 : 0));
    if (p.name == "correction" && !call.is_none("correction")) return l["correction"];
  }
  return constant(l.builder(), l.compute(), Scalar(1));
}
struct Reduction {
  Ints axes;
  bool keep = false;
};
Reduction reduction_of(const Call& call) {
  for (const Parameter& p : call.definition().parsed.parameters)
    if (p.name == "dim") return {reduced_axes(call), keeps_axes(call)};
  return {all_axes(call.tensor("self").dim()), false};
}
template <bool kRoot, bool kMean>
void lower_moments(Lowering& l) {
  const Reduction r = reduction_of(l.call());
  const Moments m = moments(l["self"], r.axes, correction_of(l), r.keep);
  l.result(kRoot ? safe_sqrt(m.variance) : m.variance);
  if (kMean) l.result(m.mean);
}
void moments_shape(const Call& call, ResultInfos& results) {
  const TensorInfo& self = call.tensor("self");
  check(is_inexact(self.dtype), [&] {
    return concat(call.name(), ": std and var only support floating point and complex dtypes, got ",
                  info(self.dtype).name);
  });
  const Reduction r = reduction_of(call);
  TensorInfo result{real_dtype(self.dtype), reduced_sizes(self.sizes, r.axes, r.keep), {}};
  results.push_back(result);
  result.dtype = self.dtype;
  if (call.definition().parsed.returns.size() > 1) results.push_back(result);
}
std::vector<ErrorSample> float_errors() {
  return {{{{indices({3}, 4)}}, "RuntimeError", "only support floating point"}};
}
SampleList whole_samples() {
  return {{{t({2, 3})}}, {{t({2, 3}), Scalar(false)}}, {{t({5}, 1, 1)}}};
}
SampleList axes_samples() {
  return {{{t({2, 3}), Ints{1}}}, {{t({2, 3, 4}), Ints{0, 2}, Scalar(false), Scalar(true)}}};
}
SampleList correction_samples() {
  return {{{t({2, 3})}, {{"correction", Scalar(0)}}},
          {{t({2, 3}), Ints{1}}, {{"correction", Scalar(2)}, {"keepdim", Scalar(true)}}}};
}

/// The three overloads of each of var, std, var_mean, std_mean.
template <bool kRoot, bool kMean>
struct MomentsOp {
  MomentsOp(std::string_view whole_schema, std::string_view axes_schema,
            std::string_view correction_schema, std::string_view doc)
      : whole(definition(whole_schema, doc, whole_samples)),
        axes(definition(axes_schema, doc, axes_samples)),
        correction(definition(correction_schema, doc, correction_samples)) {}
  static Definition definition(std::string_view schema, std::string_view doc,
                               SampleList (*samples)()) {
    Definition d{.schema = schema,
                 .doc = doc,
                 .variants = {.method = !kMean, .out = true},
                 .shape = moments_shape,
                 .lower = lower_moments<kRoot, kMean>,
                 .samples = samples,
                 .errors = float_errors};
    if (samples != whole_samples) {
      d.axes = {"dim"};
      d.errors = nullptr;
    }
    return d;
  }
  Register whole, axes, correction;
};
const MomentsOp<false, false> kVar(
    "var(Tensor self, bool unbiased=True) -> Tensor",
    "var.dim(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False) -> Tensor",
    "var.correction(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool "
    "keepdim=False) -> Tensor",
    "sum((self - mean)^2) / max(0, n - correction); the correction is 1 unless given (unbiased).");
const MomentsOp<true, false> kStd(
    "std(Tensor self, bool unbiased=True) -> Tensor",
    "std.dim(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False) -> Tensor",
    "std.correction(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool "
    "keepdim=False) -> Tensor",
    "The square root of var; slope 0 where that is 0.");
const MomentsOp<false, true> kVarMean(
    "var_mean(Tensor self, bool unbiased=True) -> (Tensor, Tensor)",
    "var_mean.dim(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False) -> (Tensor, "
    "Tensor)",
    "var_mean.correction(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool "
    "keepdim=False) -> (Tensor, Tensor)",
    "var and mean.");
const MomentsOp<true, true> kStdMean(
    "std_mean(Tensor self, bool unbiased=True) -> (Tensor, Tensor)",
    "std_mean.dim(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False) -> (Tensor, "
    "Tensor)",
    "std_mean.correction(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool "
    "keepdim=False) -> (Tensor, Tensor)",
    "std and mean.");

const Register kLogsumexp({
    .schema = "logsumexp(Tensor self, int[1] dim, bool keepdim=False) -> Tensor",
    .doc = "log(sum(exp(self))) over the axes `dim`, computed without overflow.",
    .variants = {.out = true, .aliases = {"special.logsumexp"}},
    .promotion = Promotion::ToFloat,
    .axes = {"dim"},
    .shape = [](const Call& call,
                ResultInfos& results) { reduced_result(call, results, common_dtype(call)); },
    .lower =
        [](Lowering& l) {
          const Ints axes = reduced_axes(l.call());
          const Expr x = l["self"];
          const Expr m = stop_gradient(amax(real(x), axes));
          const Expr shift = replace_where(eq(abs(m), INFINITY), m, 0.0);
          const Expr value = log(sum(exp(x - shift), axes)) + shift;
          l.result(keeps_axes(l.call()) ? value : squeeze(value, axes));
        },
    .samples =
        [] {
          return SampleList{{{t({2, 3}), Ints{1}}},
                            {{t({2, 3}, 50, 100), Ints{0, 1}, Scalar(true)}},
                            {{t({}), Ints{0}}}};
        },
});

// ---- norms
// ---------------------------------------------------------------------------------------
Expr vector_norm(Lowering& l, const Expr& x, std::string_view order, const Ints& axes, bool keep) {
  const bool known = !l.call().is_none(order);
  const Scalar given = known ? l.call().number(order) : Scalar(2.0);
  const Expr magnitude = abs(x);
  if (!known || l.call().definition().is_special(order, given)) {
    const double p = given.to_double();
    if (p == INFINITY) return amax(magnitude, axes, keep);
    if (p == -INFINITY) return amin(magnitude, axes, keep);
    if (p == 0) return sum(convert(ne(x, 0.0), magnitude.dtype()), axes, keep);
    if (p == 1) return sum(magnitude, axes, keep);
    return safe_sqrt(sum(abs_squared(x), axes, keep));
  }
  const Expr p = convert(l.number(order), magnitude.dtype());
  const Expr zero = eq(magnitude, 0.0);
  const Expr terms =
      select(zero, pow(stop_gradient(magnitude), p), pow(replace_where(zero, magnitude, 1.0), p));
  const Expr total = sum(terms, axes, keep);
  const Expr none = eq(total, 0.0);
  return select(none, 0.0, pow(replace_where(none, total, 1.0), 1.0 / p));
}
const std::vector<double> kOrders = {0, 1, 2, INFINITY, -INFINITY};

void check_some(const Call& call, std::string_view order) {
  if (!call.is_none(order))
    check_norm_exists(call, call.number(order), call.tensor("self").sizes, reduced_axes(call));
}
void norm_shape(const Call& call, ResultInfos& results) {
  const DType dtype = call.dtype_or("dtype", call.tensor("self").dtype);
  check(is_inexact(dtype), [&] {
    return concat(call.name(), ": Expected a floating point or complex tensor as input. Got ",
                  info(dtype).name);
  });
  reduced_result(call, results, real_dtype(dtype));
}
const Register kVectorNorm({
    .schema = "linalg_vector_norm(Tensor self, Scalar ord=2, int[1]? dim=None, bool "
              "keepdim=False, *, ScalarType? dtype=None) -> Tensor",
    .doc = "sum(|self|^ord)^(1/ord) over the axes `dim`; ord inf, -inf and 0 are the largest, the "
           "smallest and the number of those that are not 0.",
    .variants = {.method = false, .out = true, .aliases = {"linalg.vector_norm"}},
    .axes = {"dim"},
    .canonical = [](const Call& call, Arguments&) { check_some(call, "ord"); },
    .shape = norm_shape,
    .lower =
        [](Lowering& l) {
          l.result(vector_norm(l, as_dtype(l, l["self"]), "ord", reduced_axes(l.call()),
                               keeps_axes(l.call())));
        },
    .special = {{"ord", kOrders}},
    .samples =
        [] {
          SampleList list;
          for (const double p : {0.0, 1.0, 2.0, 3.0, 0.5, double(INFINITY), -double(INFINITY)})
            list.push_back({{t({2, 3}, 0.5, 2), p, Ints{1}}});
          list.push_back({{t({2, 3})}});
          list.push_back({{t({2, 3}, 0, 0)}});
          return list;
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{indices({3}, 4)}}, "RuntimeError", "Expected a floating point"}};
        },
});
const Register kNorm({
    .schema = "norm(Tensor self, Scalar? p=2, int[1]? dim=None, bool keepdim=False, *, "
              "ScalarType? dtype=None) -> Tensor",
    .doc = "sum(|self|^p)^(1/p) over the axes `dim` (all by default).",
    .axes = {"dim"},
    .canonical = [](const Call& call, Arguments&) { check_some(call, "p"); },
    .shape = norm_shape,
    .lower =
        [](Lowering& l) {
          l.result(vector_norm(l, as_dtype(l, l["self"]), "p", reduced_axes(l.call()),
                               keeps_axes(l.call())));
        },
    .special = {{"p", kOrders}},
    .samples = [] { return SampleList{{{t({2, 3})}}, {{t({2, 3}, 0.5, 2), 3.0, Ints{1}}}}; },
});
const Register kNormName({
    .schema = "norm.name(Tensor self, str p, int[1]? dim=None, bool keepdim=False, *, "
              "ScalarType? dtype=None) -> Tensor",
    .doc = "The norm called \"fro\": the square root of the sum of squares.",
    .axes = {"dim"},
    .canonical =
        [](const Call& call, Arguments&) {
          check(call.string("p") == "fro", [&] {
            return concat(call.name(), ": expected p to be a number or 'fro', got '",
                          call.string("p"), "'");
          });
        },
    .shape = norm_shape,
    .lower =
        [](Lowering& l) {
          const Expr x = as_dtype(l, l["self"]);
          l.result(safe_sqrt(sum(abs_squared(x), reduced_axes(l.call()), keeps_axes(l.call()))));
        },
    .samples = [] { return SampleList{{{t({2, 3}), std::string("fro")}}}; },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2, 3}), std::string("max")}}, "RuntimeError", "got 'max'"}};
        },
});
const Register kDist({
    .schema = "dist(Tensor self, Tensor other, Scalar p=2) -> Tensor",
    .doc = "The p-norm of self - other.",
    .promotion = Promotion::Promote,
    .accepts = Accepts::Inexact,
    .broadcasts = true,
    .shape =
        [](const Call& call, ResultInfos& results) {
          const SmallVector<Ints, 2> shapes{call.tensor("self").sizes, call.tensor("other").sizes};
          const Ints sizes = call.broadcast(shapes);
          check_norm_exists(call, call.number("p"), sizes,
                            all_axes(static_cast<int>(sizes.size())));
          results.push_back({real_dtype(common_dtype(call)), {}, {}});
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"] - l["other"];
          l.result(vector_norm(l, x, "p", all_axes(x.rank()), false));
        },
    .special = {{"p", kOrders}},
    .samples = [] { return SampleList{{{t({2, 3}), t({3})}}, {{t({4}), t({4}), 1.0}}}; },
});

}  // namespace
}  // namespace flambeau::ops
