#include <cmath>
#include <cstring>
#include <limits>

#include "base/half.h"
#include "ir/core_carrier.h"

namespace flambeau::ir {
namespace {

/// The digits before the point. What int32 (int64 for int64 and uint8) does not hold, NaN included,
/// is its lowest number; narrower integers are the low bits of that.
template <class To, class From>
To to_integer(From v) {
  using Narrow = std::conditional_t<std::is_signed_v<To>, int32_t, int64_t>;
  using Wide = std::conditional_t<(sizeof(To) < 4), Narrow, To>;
  const From limit = std::ldexp(From{1}, std::numeric_limits<Wide>::digits);
  return static_cast<To>(std::fabs(v) < limit ? static_cast<Wide>(v)
                                              : std::numeric_limits<Wide>::min());
}

template <class T>
float widen_half(T v) {
  if constexpr (std::is_same_v<T, Half>)
    return float16_to_float(v.bits);
  else
    return bfloat16_to_float(v.bits);
}

/// `v` rounded to odd: what a double has beyond a float leaves the last bit set, so that rounding
/// on to 16 bits gives what rounding `v` itself would.
float float_rounded_to_odd(double v) {
  const auto nearest = static_cast<float>(v);
  if (std::isnan(v) || static_cast<double>(nearest) == v) return nearest;
  const bool away = std::fabs(static_cast<double>(nearest)) > std::fabs(v);
  return std::bit_cast<float>((std::bit_cast<uint32_t>(nearest) - (away ? 1U : 0U)) | 1U);
}

template <class To>
To narrow_to_half(double v) {
  const float f = float_rounded_to_odd(v);
  if constexpr (std::is_same_v<To, Half>)
    return {float_to_float16(f)};
  else
    return {float_to_bfloat16(f)};
}

/// A double that rounds to a 16-bit float as `v` does: an int64 has too many digits for a double,
/// so the digits that are cut leave a sticky one.
inline double sticky_double(int64_t v) {
  const bool negative = v < 0;
  uint64_t magnitude = negative ? 0 - static_cast<uint64_t>(v) : static_cast<uint64_t>(v);
  constexpr uint64_t kCut = 0xfff;
  if (magnitude >> 52 != 0)
    magnitude = (magnitude & ~kCut) | ((magnitude & kCut) != 0 ? 0x1000 : 0);
  const auto d = static_cast<double>(magnitude);
  return negative ? -d : d;
}

template <class To, class From>
Container convert(Container c, Container, Container) {
  const From v = unpack<From>(c);
  if constexpr (kIsHalf<From>) {
    if constexpr (std::is_same_v<To, From>)
      return c;
    else
      return convert<To, float>(pack<float>(widen_half(v)), 0, 0);
  } else if constexpr (kIsBool<To>) {
    return v != From{0};
  } else if constexpr (kIsHalf<To>) {
    if constexpr (kIsFloat<From>)
      return pack<To>(narrow_to_half<To>(v));
    else
      return pack<To>(narrow_to_half<To>(sticky_double(static_cast<int64_t>(v))));
  } else if constexpr (kIsInteger<To> && kIsFloat<From>) {
    return pack<To>(to_integer<To, From>(v));
  } else {
    return pack<To>(static_cast<To>(v));
  }
}

template <class To, class From>
Container bitcast(Container c, Container, Container) {
  const uint64_t bits = raw_bits<From>(c);
  if constexpr (kIsInteger<To>)
    return pack<To>(static_cast<To>(bits));
  else
    return bits;
}

}  // namespace

CoreFunction find_conversion(DType to, DType from) {
  return with_type(to, [&]<class To>() -> CoreFunction {
    return with_type(from, []<class From>() -> CoreFunction { return convert<To, From>; });
  });
}

CoreFunction find_bitcast(DType to, DType from) {
  return with_type(to, [&]<class To>() -> CoreFunction {
    return with_type(from, []<class From>() -> CoreFunction {
      if constexpr (sizeof(To) == sizeof(From) && kIsBool<To> == kIsBool<From>)
        return bitcast<To, From>;
      else
        return nullptr;
    });
  });
}

Container load_element(DType dtype, const void* address) {
  return with_type(dtype, [&]<class T>() -> Container {
    if constexpr (kIsBool<T>) {
      // Read as a byte: a buffer may hold any non-zero byte for true.
      uint8_t byte;
      std::memcpy(&byte, address, 1);
      return byte != 0;
    } else {
      T value;
      std::memcpy(&value, address, sizeof value);
      return pack<T>(value);
    }
  });
}

void store_element(DType dtype, void* address, Container value) {
  // Little-endian: the element is the low bytes of its container.
  std::memcpy(address, &value, size_of(dtype));
}

Container container_of(DType dtype, double value) {
  return convert_element(dtype, DType::Float64, std::bit_cast<uint64_t>(value));
}

Container container_of(DType dtype, const Scalar& value) {
  return convert_element(dtype, value.dtype(), value.bits());
}

Container container_of_bits(DType dtype, uint64_t bits) {
  return with_type(dtype, [&]<class T>() -> Container {
    if constexpr (kIsBool<T>)
      return bits != 0;
    else if constexpr (kIsInteger<T>)
      return pack<T>(static_cast<T>(bits));
    else
      return raw_bits<T>(bits);
  });
}

double to_double(DType dtype, Container value) {
  return std::bit_cast<double>(convert_element(DType::Float64, dtype, value));
}

}  // namespace flambeau::ir
