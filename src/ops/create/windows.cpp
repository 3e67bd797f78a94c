// Window functions of signal processing.

#include <cmath>
#include <numbers>

#include "ops/checks.h"
#include "ops/functions.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;
using std::numbers::pi;

/// A window of M points from x(i), the place of point i in [0, 1]; the last point is left out of a
/// periodic one.
struct Grid {
  Expr index;  ///< 0, 1, ... in float64
  Expr last;   ///< the index at place 1
  Expr count;  ///< M, in float64
};
Grid grid_of(Lowering& l) {
  const Dim m = l.integer("M");
  const Expr index = convert(iota(l.builder(), {m}, 0), DType::Float64);
  const Expr n = convert(extent(l.builder(), m), DType::Float64);
  const Expr last = l.call().boolean("sym") ? n - 1.0 : n;
  // A single point is at place 0.
  return {index, select(le(last, 0.0), full_like(last, 1.0), last), n};
}
void window_shape(const Call& call, ResultInfos& results) {
  const DType dtype = call.dtype_or("dtype", default_dtype());
  check<ValueError>(call.integer("M") >= 0, [&] {
    return concat(call.name(), ": requires non-negative window length, got M=", call.integer("M"));
  });
  check<ValueError>(dtype == DType::Float32 || dtype == DType::Float64, [&] {
    return concat(call.name(), ": expects float32 or float64 dtypes, got: ", info(dtype).name);
  });
  check<ValueError>(call.is_none("layout") || call.string("layout") == kStrided, [&] {
    return concat(call.name(), ": is implemented for strided tensors only, got: torch.",
                  call.string("layout"));
  });
  results.push_back({dtype, {call.integer("M")}, {}});
}
Definition window(std::string_view schema, std::string_view doc, std::string name,
                  void (*lower)(Lowering&)) {
  return {.schema = schema,
          .doc = doc,
          .variants = {.function = false, .method = false, .aliases = {std::move(name)}},
          .shape = window_shape,
          .lower = lower,
          .differentiable = false,
          .dynamic = {"M"},
          .samples =
              [] {
                return SampleList{
                    {{Scalar(7)}}, {{Scalar(1)}}, {{Scalar(6)}, {{"sym", Scalar(false)}}}};
              },
          .errors =
              [] {
                return std::vector<ErrorSample>{
                    {{{Scalar(-1)}}, "ValueError", "non-negative window length, got M=-1"}};
              }};
}
/// The sum of (-1)^k a_k cos(2 pi k x).
Expr cosines(const Grid& g, std::span<const double> a) {
  Expr total = full_like(g.index, 0.0);
  double sign = 1;
  double k = 0;
  for (const double factor : a) {
    total = total + cos(g.index * (2 * pi * k) / g.last) * (sign * factor);
    sign = -sign;
    k += 1;
  }
  // A single point is 1.
  return select(eq(g.count, 1.0), 1.0, total);
}
Expr cosines(const Grid& g, std::initializer_list<double> a) {
  return cosines(g, std::span<const double>(a.begin(), a.size()));
}
const Register kHann(window(
    "_window_hann(int M, *, bool sym=True, ScalarType? dtype=None, Layout? layout=None, Device? "
    "device=None, bool? requires_grad=None) -> Tensor",
    "The Hann window.", "signal.windows.hann",
    [](Lowering& l) { l.result(cosines(grid_of(l), {0.5, 0.5})); }));
const Register kHamming(
    window("_window_hamming(int M, *, bool sym=True, ScalarType? dtype=None, Layout? layout=None, "
           "Device? device=None, bool? requires_grad=None) -> Tensor",
           "The Hamming window.", "signal.windows.hamming",
           [](Lowering& l) { l.result(cosines(grid_of(l), {0.54, 0.46})); }));
const Register kBlackman(
    window("_window_blackman(int M, *, bool sym=True, ScalarType? dtype=None, Layout? layout=None, "
           "Device? device=None, bool? requires_grad=None) -> Tensor",
           "The Blackman window.", "signal.windows.blackman",
           [](Lowering& l) { l.result(cosines(grid_of(l), {0.42, 0.5, 0.08})); }));
const Register kNuttall(window(
    "_window_nuttall(int M, *, bool sym=True, ScalarType? dtype=None, Layout? layout=None, "
    "Device? device=None, bool? requires_grad=None) -> Tensor",
    "Nuttall's minimum 4-term Blackman-Harris window.", "signal.windows.nuttall", [](Lowering& l) {
      l.result(cosines(grid_of(l), {0.3635819, 0.4891775, 0.1365995, 0.0106411}));
    }));
const Register kBartlett(
    window("_window_bartlett(int M, *, bool sym=True, ScalarType? dtype=None, Layout? layout=None, "
           "Device? device=None, bool? requires_grad=None) -> Tensor",
           "The Bartlett (triangular) window.", "signal.windows.bartlett", [](Lowering& l) {
             const Grid g = grid_of(l);
             const Expr value = 1.0 - abs(g.index * 2.0 / g.last - 1.0);
             const Expr n = convert(extent(l.builder(), l.integer("M")), DType::Float64);
             l.result(select(eq(n, 1.0), 1.0, value));
           }));
const Register kCosine(window(
    "_window_cosine(int M, *, bool sym=True, ScalarType? dtype=None, Layout? layout=None, Device? "
    "device=None, bool? requires_grad=None) -> Tensor",
    "Half a period of a sine.", "signal.windows.cosine", [](Lowering& l) {
      const Grid g = grid_of(l);
      const Expr n = convert(extent(l.builder(), l.integer("M")), DType::Float64);
      const Expr points = l.call().boolean("sym") ? n : n + 1.0;
      l.result(select(eq(n, 1.0), 1.0, sin((g.index + 0.5) * pi / points)));
    }));
Definition general_hamming() {
  Definition d = window(
      "_window_general_hamming(int M, *, float alpha=0.54, bool sym=True, ScalarType? dtype=None, "
      "Layout? layout=None, Device? device=None, bool? requires_grad=None) -> Tensor",
      "alpha - (1 - alpha) * cos(2 pi x).", "signal.windows.general_hamming", [](Lowering& l) {
        const Grid g = grid_of(l);
        const Expr alpha = convert(l.number("alpha"), DType::Float64);
        const Expr value = alpha - (1.0 - alpha) * cos(g.index * (2 * pi) / g.last);
        l.result(select(eq(g.count, 1.0), 1.0, value));
      });
  return d;
}
const Register kGeneralHamming(general_hamming());
Definition gaussian() {
  Definition d = window(
      "_window_gaussian(int M, *, float std=1.0, bool sym=True, ScalarType? dtype=None, Layout? "
      "layout=None, Device? device=None, bool? requires_grad=None) -> Tensor",
      "exp(-(d / std)^2 / 2) for the distance d from the middle.", "signal.windows.gaussian",
      [](Lowering& l) {
        const Grid g = grid_of(l);
        const Expr n = convert(extent(l.builder(), l.integer("M")), DType::Float64);
        const Expr middle = (l.call().boolean("sym") ? n - 1.0 : n) * 0.5;
        const Expr only = eq(n, 1.0);
        const Expr d =
            select(only, 0.0, g.index - middle) / convert(l.number("std"), DType::Float64);
        l.result(exp(d * d * -0.5));
      });
  d.canonical = [](const Call& call, Arguments&) {
    check<ValueError>(call.real("std") > 0, [&] {
      return concat(call.name(), ": Standard deviation must be positive, got: ", call.real("std"));
    });
  };
  return d;
}
const Register kGaussian(gaussian());
Definition general_cosine() {
  Definition d = window(
      "_window_general_cosine(int M, *, float[] a, bool sym=True, ScalarType? dtype=None, Layout? "
      "layout=None, Device? device=None, bool? requires_grad=None) -> Tensor",
      "The sum of (-1)^k a[k] cos(2 pi k x).", "signal.windows.general_cosine", [](Lowering& l) {
        l.result(cosines(grid_of(l), std::get<std::vector<double>>(l.call()["a"])));
      });
  d.canonical = [](const Call& call, Arguments&) {
    check<ValueError>(!std::get<std::vector<double>>(call["a"]).empty(),
                      [&] { return concat(call.name(), ": Coefficients cannot be empty"); });
  };
  d.samples = [] {
    const std::vector<double> a{0.46, 0.23, 0.31};
    return SampleList{{{Scalar(7)}, {{"a", a}}}, {{Scalar(1)}, {{"a", a}}}};
  };
  d.errors = [] {
    return std::vector<ErrorSample>{
        {{{Scalar(3)}, {{"a", std::vector<double>{}}}}, "ValueError", "cannot be empty"}};
  };
  return d;
}
const Register kGeneralCosine(general_cosine());
Definition kaiser() {
  Definition d = window(
      "_window_kaiser(int M, *, float beta=12.0, bool sym=True, ScalarType? dtype=None, Layout? "
      "layout=None, Device? device=None, bool? requires_grad=None) -> Tensor",
      "I0(beta sqrt(1 - (2 x - 1)^2)) / I0(beta).", "signal.windows.kaiser", [](Lowering& l) {
        const Grid g = grid_of(l);
        const Expr beta = convert(l.number("beta"), DType::Float64);
        const Expr place = g.index * 2.0 / g.last - 1.0;
        const Expr rest = 1.0 - place * place;
        const Expr x = beta * sqrt(select(lt(rest, 0.0), 0.0, rest));
        // I0(x) = i0e(x) e^x, without the overflow of either.
        const Expr value = i0e(x) / i0e(beta) * exp(abs(x) - abs(beta));
        l.result(select(eq(g.count, 1.0), 1.0, value));
      });
  d.canonical = [](const Call& call, Arguments&) {
    check<ValueError>(call.real("beta") >= 0, [&] {
      return concat(call.name(), ": beta must be non-negative, got: ", call.real("beta"));
    });
  };
  return d;
}
const Register kKaiser(kaiser());

}  // namespace
}  // namespace flambeau::ops
