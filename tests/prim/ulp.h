#pragma once
// Evaluating an elementwise row on arrays, and measuring its error in units in the last place.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string_view>
#include <vector>

#include "ir/array.h"
#include "ir/array_emitter.h"
#include "ir/interpreter.h"
#include "prim/build.h"

namespace flambeau::testing {

template <class T>
inline constexpr DType kDTypeOf = sizeof(T) == 4 ? DType::Float32 : DType::Float64;

/// The row `name` at each tuple (arguments[0][i], arguments[1][i], ...), by the emitter of the
/// interpreter.
template <class T>
std::vector<T> evaluate_row(std::string_view name, const std::vector<std::vector<T>>& arguments,
                            const ir::Attributes& attributes = {}) {
  const auto count = static_cast<int64_t>(arguments[0].size());
  ir::ArrayEmitter emitter(count);
  std::vector<ir::Operand> operands;
  for (const std::vector<T>& argument : arguments) {
    ir::ArrayValue array(kDTypeOf<T>, {count});
    std::copy(argument.begin(), argument.end(), array.as<T>());
    operands.push_back(emitter.input(array));
  }
  const ir::Primitive* row = ir::find_primitive(name);
  const ir::Operand out = ir::emit_elementwise(*row, emitter, kDTypeOf<T>, operands, attributes);
  const ir::ArrayValue result = emitter.output(out, {count});
  return {result.as<T>(), result.as<T>() + count};
}

/// The names of the rows that elementwise_test.cpp compares with exact results.
std::vector<std::string_view> rows_tested_exactly();

/// |got - exact| in units of the last place of `exact` in T; 0 for two NaNs, infinite where only
/// one is NaN, infinite or (beyond rounding) signed.
template <class T>
double ulp_error(T got, long double exact) {
  const T rounded = static_cast<T>(exact);
  if (std::isnan(got) || std::isnan(rounded))
    return std::isnan(got) == std::isnan(rounded) ? 0 : INFINITY;
  if (got == rounded) {
    if (got == 0 && std::signbit(got) != std::signbit(rounded)) return INFINITY;
    if (std::isinf(got)) return 0;
  }
  if (std::isinf(got) || std::isinf(rounded)) {
    // The last value before overflow is one unit away from infinity.
    const T greatest = std::numeric_limits<T>::max();
    const bool beside =
        std::isinf(got) ? std::fabs(rounded) == greatest : std::fabs(got) == greatest;
    return beside ? 1 : INFINITY;
  }
  int exponent = 0;
  std::frexp(static_cast<T>(std::fabs(rounded)), &exponent);
  constexpr int kDigits = std::numeric_limits<T>::digits;
  const int least = std::numeric_limits<T>::min_exponent - kDigits;
  const int unit = rounded == 0 ? least : std::max(exponent - kDigits, least);
  return static_cast<double>(std::fabs(static_cast<long double>(got) - exact) /
                             std::ldexp(1.0L, unit));
}

/// Edge values, bit patterns at random, and values of every magnitude up to `limit` of both signs.
template <class T>
std::vector<T> test_points(size_t count, double limit, uint64_t seed) {
  using Limits = std::numeric_limits<T>;
  std::vector<T> points;
  for (const double magnitude :
       {0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 10.0, 88.0, 100.0, 709.0, 1e5, 1e10, 1e30}) {
    const T x = static_cast<T>(magnitude);
    for (const T y : {x, std::nextafter(x, T(0)), std::nextafter(x, Limits::infinity())})
      points.insert(points.end(), {y, -y});
  }
  for (const T x :
       {Limits::denorm_min(), Limits::min(), Limits::max(), Limits::infinity(), Limits::epsilon()})
    points.insert(points.end(), {x, -x});
  points.push_back(Limits::quiet_NaN());
  std::mt19937_64 random(seed);
  for (size_t i = 0; i < count; ++i) {
    const uint64_t bits = random();
    T x;
    if constexpr (sizeof(T) == 4) {
      const auto low = static_cast<uint32_t>(bits);
      std::memcpy(&x, &low, sizeof x);
    } else {
      std::memcpy(&x, &bits, sizeof x);
    }
    points.push_back(x);
    std::uniform_real_distribution<double> uniform(-limit, limit);
    std::uniform_real_distribution<double> exponent(-30, 0);
    points.push_back(static_cast<T>(uniform(random)));
    points.push_back(static_cast<T>(uniform(random) * std::exp2(exponent(random))));
  }
  return points;
}

}  // namespace flambeau::testing
