// Running reductions along an axis.

#include <cmath>
#include <numbers>

#include "ops/functions.h"
#include "ops/index/rows.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

int axis_of(const Call& call) { return static_cast<int>(call.integer("dim")); }

DType scan_dtype(const Call& call) {
  const DType own = call.tensor("self").dtype;
  return call.dtype_or("dtype", is_inexact(own) ? own : DType::Int64);
}
void scan_shape(const Call& call, ResultInfos& results) {
  const DType dtype = scan_dtype(call);
  check(!is_bool(dtype), [&] {
    return concat(call.name(),
                  ": a running value of dtype bool is not defined; give another dtype");
  });
  results.push_back({dtype, call.tensor("self").sizes, {}});
}
/// The elements in the dtype of the result, as they are computed with.
Expr scanned(Lowering& l) {
  const DType dtype = scan_dtype(l.call());
  return convert(convert(l["self"], dtype), compute_dtype(dtype));
}
/// `scan` of the input, which is the result itself where there is no axis.
template <class Scan>
void lower_scan(Lowering& l, const Scan& scan) {
  const Expr x = scanned(l);
  l.result(x.rank() == 0 ? x : scan(x, axis_of(l.call()), false));
}

/// A long row crosses a block; it is too long for differences to be taken.
SampleTensor long_rows() {
  SampleTensor rows = t({2, 1100}, 0.99, 1.01);
  rows.grad = false;
  return rows;
}
SampleList scan_samples() {
  return {{{t({4, 3}), Scalar(0)}},    {{t({2, 5}), Scalar(-1)}},
          {{t({2, 3, 2}), Scalar(1)}}, {{t({}), Scalar(0)}},
          {{t({0, 3}), Scalar(1)}},    {{t({3, 0}), Scalar(1)}},
          {{long_rows(), Scalar(1)}},  {{special_values({2, 17}), Scalar(1)}}};
}
std::vector<ErrorSample> scan_errors() {
  return {{{{t({2, 3}), Scalar(4)}}, "IndexError", "[-2, 1], but got 4"}};
}
const Register kCumsum({
    .schema = "cumsum(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor",
    .doc = "result[i] = self[0] + ... + self[i] along `dim`; integers sum in int64.",
    .variants = {.in_place = true, .out = true},
    .axes = {"dim"},
    .shape = scan_shape,
    .lower = [](Lowering& l) { lower_scan(l, running_sum); },
    .samples = scan_samples,
    .errors = scan_errors,
});
const Register kCumprod({
    .schema = "cumprod(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor",
    .doc = "result[i] = self[0] * ... * self[i] along `dim`; integers multiply in int64.",
    .variants = {.in_place = true, .out = true},
    .axes = {"dim"},
    .shape = scan_shape,
    .lower = [](Lowering& l) { lower_scan(l, running_prod); },
    .saves_result = true,
    .samples = scan_samples,
    .errors = scan_errors,
});
/// x moved on by one along `axis`; the first element is `first`.
Expr previous(const Expr& x, int axis, double first) {
  std::vector<Dim> low(static_cast<size_t>(x.rank()), Dim(0));
  const std::vector<Dim> none = low;
  low[static_cast<size_t>(axis)] = 1;
  const Expr moved = pad(x, constant(x, x.dtype(), Scalar(first)), low, none, none);
  return slice(moved, axis, 0, x.dim(axis));
}
/// The difference of two angles in [-pi, pi].
Expr turn(const Expr& a, const Expr& b) {
  const Expr difference = a - b;
  constexpr double kTurn = 2 * std::numbers::pi;
  return difference - round(difference / kTurn) * kTurn;
}
/// The running logarithm of sums of complex exponentials. Sums are kept over exp(the largest real
/// part so far). As in PyTorch angles are not brought back to (-pi, pi]: each goes on, by at most
/// a quarter turn, from that of the larger of the sum before and the new element.
Expr running_complex_log_sum_exp(const Expr& x, int axis) {
  const Expr top = stop_gradient(running_max(real(x), axis));
  const Expr shift = select(eq(abs(top), INFINITY), 0.0, top);
  const Expr fall = previous(top, axis, 0) - shift;
  const Expr decay = exp(select(gt(fall, 0.0), 0.0, fall));
  const Expr term = exp(x - shift);
  const Expr value = log(complex(linear_recurrence(decay, real(term), axis),
                                 linear_recurrence(decay, imag(term), axis)));
  const Expr angle = stop_gradient(imag(value));
  const Expr size = stop_gradient(real(value)) + shift;
  const Expr is_larger = ge(real(x), previous(size, axis, -INFINITY));
  const Expr own = stop_gradient(imag(x));
  const Expr ones = full_like(angle, 1.0);
  const Expr from_own = own + turn(angle, own);
  const Expr onward = turn(angle, previous(angle, axis, 0));
  const Expr whole =
      linear_recurrence(select(is_larger, 0.0, ones), select(is_larger, from_own, onward), axis);
  return value + complex(shift, stop_gradient(whole - angle));
}
const Register kLogcumsumexp({
    .schema = "logcumsumexp(Tensor self, int dim) -> Tensor",
    .doc = "result[i] = log(exp(self[0]) + ... + exp(self[i])) along `dim`.",
    .variants = {.out = true},
    .accepts = Accepts::Inexact,
    .axes = {"dim"},
    .shape =
        [](const Call& call, ResultInfos& results) {
          results.push_back({call.tensor("self").dtype, call.tensor("self").sizes, {}});
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          if (x.rank() == 0) return l.result(x);
          const int axis = axis_of(l.call());
          l.result(is_complex(x.dtype()) ? running_complex_log_sum_exp(x, axis)
                                         : running_log_sum_exp(x, axis));
        },
    .saves_result = true,
    .samples = scan_samples,
    .errors = scan_errors,
});

/// Running extremes with the place of the last that is at least as extreme.
template <bool kLargest>
Definition extreme_scan(std::string_view schema, std::string_view doc) {
  return {
      .schema = schema,
      .doc = doc,
      .variants = {.out = true},
      .axes = {"dim"},
      .shape =
          [](const Call& call, ResultInfos& results) {
            results.push_back({call.tensor("self").dtype, call.tensor("self").sizes, {}});
            results.push_back({DType::Int64, call.tensor("self").sizes, {}});
          },
      .lower =
          [](Lowering& l) {
            const Expr x =
                is_bool(l["self"].dtype()) ? convert(l["self"], DType::UInt8) : l["self"];
            if (x.rank() == 0) {
              l.result(x);
              l.result(constant(x, DType::Int64, Scalar(0)));
              return;
            }
            const int axis = axis_of(l.call());
            const Expr extreme = kLargest ? running_max(x, axis) : running_min(x, axis);
            const Expr ties = eq(x, extreme);
            l.result(extreme);
            l.result(latest_place(is_float(x.dtype()) ? logical_or(ties, is_nan(x)) : ties, axis));
          },
      // From the places alone, which is what is kept.
      .vjp =
          [](VjpLowering& v) {
            const Expr& g = v.cotangents[0];
            if (!g.valid()) return;
            v.gradients[0] =
                g.rank() == 0 ? g : put_back(g, axis_of(v.forward.call()), v.results[1], g);
          },
      .saves_result = true,
      .samples = scan_samples,
      .errors = scan_errors};
}
const Register kCummax(
    extreme_scan<true>("cummax(Tensor self, int dim) -> (Tensor values, Tensor indices)",
                       "The running maximum along `dim` and its place."));
const Register kCummin(
    extreme_scan<false>("cummin(Tensor self, int dim) -> (Tensor values, Tensor indices)",
                        "The running minimum along `dim` and its place."));

}  // namespace
}  // namespace flambeau::ops
