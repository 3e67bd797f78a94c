#include "base/scalar_range.h"

#include <cmath>
#include <limits>
#include <type_traits>

#include "base/error.h"

namespace flambeau {
namespace {

template <class T>
bool integer_fits(const Scalar& value) {
  using Limits = std::numeric_limits<T>;
  // Unsigned types take negative integers of their width.
  constexpr auto kLargest = static_cast<int64_t>(Limits::max());
  if (!value.is_float())
    return value.to_int() >=
               (Limits::is_signed ? static_cast<int64_t>(Limits::min()) : -kLargest) &&
           value.to_int() <= kLargest;
  const double number = value.to_double();
  // The largest int64 is no double; the next one is too large.
  const auto largest = static_cast<double>(Limits::max());
  return number >= static_cast<double>(Limits::min()) &&
         (sizeof(T) < sizeof(double) ? number <= largest : number < largest);
}

bool float_fits(const Scalar& value, double largest) {
  const double number = value.to_double();
  return !std::isfinite(number) || std::fabs(number) <= largest;
}

}  // namespace

bool fits(const Scalar& value, DType dtype) {
  if (value.is_complex() && !is_complex(dtype) && !is_bool(dtype))
    return value.imag() == 0 && fits(value.to_double(), dtype);
  switch (dtype) {
    case DType::Bool:
      return true;
    case DType::UInt8:
      return integer_fits<uint8_t>(value);
    case DType::Int8:
      return integer_fits<int8_t>(value);
    case DType::Int16:
      return integer_fits<int16_t>(value);
    case DType::Int32:
      return integer_fits<int32_t>(value);
    case DType::Int64:
      return integer_fits<int64_t>(value);
    case DType::Float16:
      return float_fits(value, 65504.0);
    case DType::BFloat16:
      return float_fits(value, 0x1.fep127);
    case DType::Float32:
      return float_fits(value, std::numeric_limits<float>::max());
    case DType::Float64:
    case DType::Complex128:
      return true;
    case DType::Complex32:
    case DType::Complex64:
      return fits(value.to_double(), real_dtype(dtype)) && fits(value.imag(), real_dtype(dtype));
  }
  throw InternalError("fits: unknown dtype");
}

}  // namespace flambeau
