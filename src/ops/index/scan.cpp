// Running reductions along an axis: the values by a host kernel; the gradients, as compositions,
// sum over all later elements of the row.

#include <algorithm>
#include <cmath>
#include <complex>

#include "ops/index/rows.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

int axis_of(const Call& call) { return static_cast<int>(call.integer("dim")); }

/// For each j the sum over i >= j along `axis` of term(i, j), given as functions of arrays in which
/// i is the last axis and j the one before.
template <class Term>
Expr sum_over_later(const Expr& cotangent, int axis, const Term& term) {
  const int last = cotangent.rank() - 1;
  const auto at_i = [&](const Expr& e) { return unsqueeze(transpose(e, axis, last), last); };
  const auto at_j = [&](const Expr& e) { return unsqueeze(transpose(e, axis, last), last + 1); };
  const Expr g = at_i(cotangent);
  Shape square = g.shape();
  square[static_cast<size_t>(last)] = g.dim(last + 1);
  const Expr i = iota(cotangent.builder(), square, last + 1);
  const Expr j = iota(cotangent.builder(), square, last);
  const Expr terms = select(ge(i, j), broadcast_to(term(g, at_i, at_j), square), 0.0);
  const Ints axes{last + 1};
  return transpose(sum(terms, axes, false), axis, last);
}

DType scan_dtype(const Call& call) {
  const DType own = call.tensor("self").dtype;
  return call.dtype_or("dtype", is_inexact(own) ? own : DType::Int64);
}
void scan_shape(const Call& call, ResultInfos& results) {
  results.push_back({scan_dtype(call), call.tensor("self").sizes, {}});
}
/// The same on complex numbers, in std::complex<double> rounded to the dtype at each step.
template <class Combine>
void scan_complex_rows(HostCall& host, const Combine& combine) {
  const HostTensor x = host.input("self");
  const HostTensor out = host.output(0);
  const HostTensor to = parts_of(out);
  const bool from_complex = is_complex(x.info.dtype);
  const HostTensor from = from_complex ? parts_of(x) : x;
  const Rows rows(x.info.sizes, axis_of(host.call()));
  for (int64_t row = 0; row < rows.count() && x.info.numel() > 0; ++row) {
    std::complex<double> total;
    for (int64_t i = 0; i < rows.n; ++i) {
      const int64_t place = rows.at(row, i);
      const std::complex<double> v =
          from_complex ? std::complex(number_at(from, 2 * place), number_at(from, 2 * place + 1))
                       : std::complex(number_at(from, place), 0.0);
      total = i == 0 ? v : combine(total, v);
      store(to, 2 * place, ir::container_of(to.info.dtype, total.real()));
      store(to, 2 * place + 1, ir::container_of(to.info.dtype, total.imag()));
      total = {number_at(to, 2 * place), number_at(to, 2 * place + 1)};
    }
  }
}
/// Runs `combine` along the rows in the dtype of the result (halves: in float32).
template <class CombineFloat, class CombineInteger>
void scan_rows(HostCall& host, const CombineFloat& floats, const CombineInteger& integers) {
  const HostTensor x = host.input("self");
  const HostTensor out = host.output(0);
  const DType to = out.info.dtype;
  const DType wide = compute_dtype(to);
  const Rows rows(x.info.sizes, axis_of(host.call()));
  for (int64_t row = 0; row < rows.count() && x.info.numel() > 0; ++row) {
    double total = 0;
    int64_t integer_total = 0;
    for (int64_t i = 0; i < rows.n; ++i) {
      const int64_t place = rows.at(row, i);
      const ir::Container value = ir::convert_element(to, x.info.dtype, load(x, place));
      if (is_float(to)) {
        const double v = ir::to_double(to, value);
        total = i == 0 ? v : floats(total, v);
        if (wide == DType::Float32) total = static_cast<double>(static_cast<float>(total));
        store(out, place, ir::container_of(to, total));
      } else {
        const auto v = static_cast<int64_t>(value);
        integer_total = i == 0 ? v : integers(integer_total, v);
        store(out, place, ir::container_of_bits(to, static_cast<uint64_t>(integer_total)));
      }
    }
  }
}
int64_t wrapping_add(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}
int64_t wrapping_mul(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}
SampleList scan_samples() {
  return {{{t({4, 3}, 0.3, 2), Scalar(0)}},
          {{t({2, 5}, 0.3, 2), Scalar(-1)}},
          {{t({}, 0.3, 2), Scalar(0)}}};
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
    .vjp =
        [](VjpLowering& v) {
          const Expr& g = v.cotangents[0];
          v.gradients[0] =
              g.rank() == 0
                  ? g
                  : sum_over_later(g, axis_of(v.forward.call()),
                                   [](const Expr& c, const auto&, const auto&) { return c; });
        },
    .kernel =
        [](HostCall& host) {
          if (is_complex(scan_dtype(host.call())))
            return scan_complex_rows(host, [](auto a, auto b) { return a + b; });
          scan_rows(host, [](double a, double b) { return a + b; }, wrapping_add);
        },
    .complex_kernel = true,
    .samples = scan_samples,
    .errors = scan_errors,
});
const Register kCumprod({
    .schema = "cumprod(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor",
    .doc = "result[i] = self[0] * ... * self[i] along `dim`; integers multiply in int64.",
    .variants = {.in_place = true, .out = true},
    .axes = {"dim"},
    .shape = scan_shape,
    // The product without element j is recomputed where that element is 0, else it is a quotient.
    .vjp =
        [](VjpLowering& v) {
          const Expr& g = v.cotangents[0];
          const Expr x = v.forward["self"];
          if (g.rank() == 0) {
            v.gradients[0] = g;
            return;
          }
          const Expr& y = v.results[0];
          const Expr zero = eq(x, 0.0);
          const Expr safe = replace_where(zero, x, 1.0);
          v.gradients[0] = sum_over_later(g, axis_of(v.forward.call()),
                                          [&](const Expr& c, const auto& at_i, const auto& at_j) {
                                            return c * at_i(y) / at_j(safe);
                                          });
        },
    .kernel =
        [](HostCall& host) {
          if (is_complex(scan_dtype(host.call())))
            return scan_complex_rows(host, [](auto a, auto b) { return a * b; });
          scan_rows(host, [](double a, double b) { return a * b; }, wrapping_mul);
        },
    .complex_kernel = true,
    .samples = scan_samples,
    .errors = scan_errors,
});
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
    .vjp =
        [](VjpLowering& v) {
          const Expr& g = v.cotangents[0];
          const Expr x = v.forward["self"];
          const Expr& y = v.results[0];
          v.gradients[0] =
              g.rank() == 0
                  ? g
                  : sum_over_later(g, axis_of(v.forward.call()),
                                   [&](const Expr& c, const auto& at_i, const auto& at_j) {
                                     return c * exp(at_j(x) - at_i(y));
                                   });
        },
    .kernel =
        [](HostCall& host) {
          if (is_complex(host.call().tensor("self").dtype))
            return scan_complex_rows(host, [](auto a, auto b) {
              const auto m = a.real() > b.real() ? a : b;
              const auto difference = a.real() > b.real() ? b - a : a - b;
              return std::isfinite(difference.real()) ? m + std::log(1.0 + std::exp(difference))
                                                      : m;
            });
          const auto add = [](double a, double b) {
            const double m = std::max(a, b);
            return std::isinf(m) || std::isnan(a + b)
                       ? (std::isnan(a + b) && !std::isinf(m) ? a + b : m)
                       : m + std::log1p(std::exp(-std::abs(a - b)));
          };
          scan_rows(host, add, wrapping_add);
        },
    .complex_kernel = true,
    .samples = scan_samples,
});

/// Running extremes with the place of the last that is at least as extreme.
template <bool kLargest>
Definition extreme_scan(std::string_view schema, std::string_view doc) {
  return {.schema = schema,
          .doc = doc,
          .axes = {"dim"},
          .shape =
              [](const Call& call, ResultInfos& results) {
                results.push_back({call.tensor("self").dtype, call.tensor("self").sizes, {}});
                results.push_back({DType::Int64, call.tensor("self").sizes, {}});
              },
          .vjp =
              [](VjpLowering& v) {
                if (v.cotangents[0].valid())
                  v.gradients[0] = put_back(v.forward["self"], axis_of(v.forward.call()),
                                            v.results[1], v.cotangents[0]);
              },
          .kernel =
              [](HostCall& host) {
                const HostTensor x = host.input("self");
                const HostTensor values = host.output(0);
                const HostTensor places = host.output(1);
                const Rows rows(x.info.sizes, axis_of(host.call()));
                for (int64_t row = 0; row < rows.count() && x.info.numel() > 0; ++row) {
                  int64_t best = 0;
                  for (int64_t i = 0; i < rows.n; ++i) {
                    const double now = number_at(x, rows.at(row, i));
                    const double so_far = number_at(x, rows.at(row, best));
                    if (std::isnan(now) ||
                        (!std::isnan(so_far) && (kLargest ? now >= so_far : now <= so_far)))
                      best = i;
                    store(values, rows.at(row, i), load(x, rows.at(row, best)));
                    store(places, rows.at(row, i), static_cast<ir::Container>(best));
                  }
                }
              },
          .samples = scan_samples};
}
const Register kCummax(
    extreme_scan<true>("cummax(Tensor self, int dim) -> (Tensor values, Tensor indices)",
                       "The running maximum along `dim` and its place."));
const Register kCummin(
    extreme_scan<false>("cummin(Tensor self, int dim) -> (Tensor values, Tensor indices)",
                        "The running minimum along `dim` and its place."));

}  // namespace
}  // namespace flambeau::ops
