#pragma once
// The C++ types that carry the dtypes, and containers (core_function.h) as values of them. For the
// implementation of the core functions only.

#include <bit>
#include <cstdint>
#include <type_traits>

#include "base/error.h"
#include "ir/core_function.h"

namespace flambeau::ir {

/// Carriers of the 16-bit floats, on which only Convert and Bitcast are defined.
struct Half {
  uint16_t bits;
};
struct Brain {
  uint16_t bits;
};

template <class T>
constexpr bool kIsHalf = std::is_same_v<T, Half> || std::is_same_v<T, Brain>;
template <class T>
constexpr bool kIsFloat = std::is_floating_point_v<T>;
template <class T>
constexpr bool kIsBool = std::is_same_v<T, bool>;
template <class T>
constexpr bool kIsInteger = std::is_integral_v<T> && !kIsBool<T>;

template <class T>
T unpack(Container c) {
  if constexpr (kIsHalf<T>)
    return T{static_cast<uint16_t>(c)};
  else if constexpr (std::is_same_v<T, float>)
    return std::bit_cast<float>(static_cast<uint32_t>(c));
  else if constexpr (std::is_same_v<T, double>)
    return std::bit_cast<double>(c);
  else if constexpr (kIsBool<T>)
    return c != 0;
  else
    return static_cast<T>(c);
}

template <class T>
Container pack(T v) {
  if constexpr (kIsHalf<T>)
    return v.bits;
  else if constexpr (std::is_same_v<T, float>)
    return std::bit_cast<uint32_t>(v);
  else if constexpr (std::is_same_v<T, double>)
    return std::bit_cast<uint64_t>(v);
  else
    return static_cast<Container>(static_cast<int64_t>(v));
}

/// Calls fn.operator()<T>() with the C++ type of `dtype`.
template <class Fn>
decltype(auto) with_type(DType dtype, const Fn& fn) {
  switch (dtype) {
    case DType::Bool:
      return fn.template operator()<bool>();
    case DType::UInt8:
      return fn.template operator()<uint8_t>();
    case DType::Int8:
      return fn.template operator()<int8_t>();
    case DType::Int16:
      return fn.template operator()<int16_t>();
    case DType::Int32:
      return fn.template operator()<int32_t>();
    case DType::Int64:
      return fn.template operator()<int64_t>();
    case DType::Float16:
      return fn.template operator()<Half>();
    case DType::BFloat16:
      return fn.template operator()<Brain>();
    case DType::Float32:
      return fn.template operator()<float>();
    case DType::Float64:
      return fn.template operator()<double>();
    default:  // complex numbers are pairs
      break;
  }
  throw InternalError("core function: unknown dtype");
}

/// The bits of any dtype, without the sign extension of containers.
template <class T>
uint64_t raw_bits(Container c) {
  if constexpr (sizeof(T) == 8)
    return c;
  else
    return c & ((uint64_t{1} << (8 * sizeof(T))) - 1);
}

/// The core operations with two dtypes; null where not defined.
CoreFunction find_conversion(DType to, DType from);
CoreFunction find_bitcast(DType to, DType from);

}  // namespace flambeau::ir
