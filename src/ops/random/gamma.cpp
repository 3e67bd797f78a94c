// Samples whose parameter differs from element to element: gamma and Poisson.

#include <cmath>
#include <limits>

#include "base/distributions.h"
#include "ir/core_function.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

double draw_uniform(RandomSource& source) {
  double value = 0;
  fill_uniform(source, &value, DType::Float64, 1);
  return value;
}
double draw_normal(RandomSource& source) {
  double value = 0;
  fill_normal(source, &value, DType::Float64, 1, 0, 1, false);
  return value;
}

/// A gamma variate of this shape and rate 1 (Marsaglia and Tsang, 2000).
double draw_gamma(RandomSource& source, double shape) {
  double scale = 1;
  if (shape < 1) {
    if (shape == 0) return 0;
    scale = std::pow(1 - draw_uniform(source), 1 / shape);
    shape += 1;
  }
  const double d = shape - 1.0 / 3;
  const double c = 1 / std::sqrt(9 * d);
  for (;;) {
    double x = 0;
    double y = 0;
    do {
      x = draw_normal(source);
      y = 1 + c * x;
    } while (y <= 0);
    const double v = y * y * y;
    const double u = 1 - draw_uniform(source);
    const double square = x * x;
    if (u < 1 - 0.0331 * square * square) return scale * d * v;
    if (std::log(u) < 0.5 * square + d * (1 - v + std::log(v))) return scale * d * v;
  }
}

/// A Poisson variate: by transformed rejection (Hoermann, 1993) where the rate is large, else by a
/// product of uniform numbers.
double draw_poisson(RandomSource& source, double rate) {
  check(rate >= 0, [&] {
    return concat("poisson: invalid Poisson rate, expected rate to be non-negative, got ", rate);
  });
  if (rate == 0 || std::isinf(rate)) return rate;
  if (rate < 10) {
    const double limit = std::exp(-rate);
    double count = 0;
    for (double product = draw_uniform(source); product > limit; product *= draw_uniform(source))
      count += 1;
    return count;
  }
  const double root = std::sqrt(rate);
  const double b = 0.931 + 2.53 * root;
  const double a = -0.059 + 0.02483 * b;
  const double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
  const double accepted = 0.9277 - 3.6224 / (b - 2);
  for (;;) {
    const double u = draw_uniform(source) - 0.5;
    const double v = draw_uniform(source);
    const double us = 0.5 - std::abs(u);
    const double k = std::floor((2 * a / us + b) * u + rate + 0.43);
    if (us >= 0.07 && v <= accepted) return k;
    if (k < 0 || (us < 0.013 && v > us)) continue;
    if (std::log(v) + std::log(inverse_alpha) - std::log(a / (us * us) + b) <=
        -rate + k * std::log(rate) - std::lgamma(k + 1))
      return k;
  }
}

/// An operation that draws each element for the parameter at its place.
Definition drawn(std::string_view schema, std::string_view doc, void (*kernel)(HostCall&)) {
  return {.schema = schema,
          .doc = doc,
          .accepts = Accepts::Floats,
          .shape =
              [](const Call& call, ResultInfos& results) {
                results.push_back({call.tensor("self").dtype, call.tensor("self").sizes, {}});
              },
          .kernel = kernel,
          .differentiable = false,
          .random = [](const Call&) { return true; },
          .samples = [] { return SampleList{{{t({2, 3}, 0.1, 20)}}}; }};
}

template <class Draw>
void draw_elements(HostCall& host, Draw draw) {
  const HostTensor self = host.input("self");
  const HostTensor out = host.output(0);
  const DType dtype = self.info.dtype;
  const size_t size = size_of(dtype);
  RandomSource& source = host.random();
  for (int64_t i = 0; i < self.info.numel(); ++i) {
    const size_t place = static_cast<size_t>(i) * size;
    const double parameter = ir::to_double(
        dtype, ir::load_element(dtype, static_cast<const std::byte*>(self.data) + place));
    ir::store_element(dtype, static_cast<std::byte*>(out.data) + place,
                      ir::container_of(dtype, draw(source, parameter)));
  }
}

const Register kStandardGamma(
    drawn("_standard_gamma(Tensor self, Generator? generator=None) -> Tensor",
          "Gamma variates of rate 1, whose shapes self holds.", [](HostCall& host) {
            const DType dtype = host.call().tensor("self").dtype;
            const double tiny = dtype == DType::Float64 ? std::numeric_limits<double>::min()
                                                        : std::numeric_limits<float>::min();
            draw_elements(host, [&](RandomSource& source, double shape) {
              return std::max(tiny, draw_gamma(source, shape));
            });
          }));
const Register kPoisson(drawn("poisson(Tensor self, Generator? generator=None) -> Tensor",
                              "Poisson variates, whose rates self holds. RuntimeError for one "
                              "that is negative or NaN.",
                              [](HostCall& host) { draw_elements(host, draw_poisson); }));

}  // namespace
}  // namespace flambeau::ops
