#include "tensor/element.h"

#include <cmath>
#include <complex>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/half.h"

namespace flambeau {
namespace {

template <class T>
T load(const void* address) {
  T value;
  std::memcpy(&value, address, sizeof value);
  return value;
}

template <class T>
void store(void* address, T value) {
  std::memcpy(address, &value, sizeof value);
}

template <class T>
void store_integer(void* address, const Scalar& value) {
  int64_t integer = 0;
  if (!value.is_float() && !value.is_complex()) {
    integer = value.to_int();
  } else {
    // A float outside int64 has no defined conversion in C++; x86's gives the smallest integer.
    const double number = value.to_double();
    const bool inside = number >= -0x1p63 && number < 0x1p63;
    integer = inside ? static_cast<int64_t>(number) : std::numeric_limits<int64_t>::min();
  }
  store(address, static_cast<T>(integer));
}

}  // namespace

Scalar load_element(const void* address, DType dtype) {
  switch (dtype) {
    case DType::Bool:
      return load<uint8_t>(address) != 0;
    case DType::UInt8:
      return int64_t{load<uint8_t>(address)};
    case DType::Int8:
      return int64_t{load<int8_t>(address)};
    case DType::Int16:
      return int64_t{load<int16_t>(address)};
    case DType::Int32:
      return int64_t{load<int32_t>(address)};
    case DType::Int64:
      return load<int64_t>(address);
    case DType::Float16:
      return double{float16_to_float(load<uint16_t>(address))};
    case DType::BFloat16:
      return double{bfloat16_to_float(load<uint16_t>(address))};
    case DType::Float32:
      return double{load<float>(address)};
    case DType::Float64:
      return load<double>(address);
    case DType::Complex32:
    case DType::Complex64:
    case DType::Complex128: {
      const DType part = real_dtype(dtype);
      const void* imaginary = static_cast<const char*>(address) + size_of(part);
      return std::complex(load_element(address, part).to_double(),
                          load_element(imaginary, part).to_double());
    }
  }
  throw InternalError("load_element: unknown dtype");
}

void store_element(void* address, DType dtype, const Scalar& value) {
  switch (dtype) {
    case DType::Bool:
      return store(address, static_cast<uint8_t>(value.to_bool()));
    case DType::UInt8:
      return store_integer<uint8_t>(address, value);
    case DType::Int8:
      return store_integer<int8_t>(address, value);
    case DType::Int16:
      return store_integer<int16_t>(address, value);
    case DType::Int32:
      return store_integer<int32_t>(address, value);
    case DType::Int64:
      return store_integer<int64_t>(address, value);
    case DType::Float16:
      return store(address, float_to_float16(static_cast<float>(value.to_double())));
    case DType::BFloat16:
      return store(address, float_to_bfloat16(static_cast<float>(value.to_double())));
    case DType::Float32:
      return store(address, static_cast<float>(value.to_double()));
    case DType::Float64:
      return store(address, value.to_double());
    case DType::Complex32:
    case DType::Complex64:
    case DType::Complex128: {
      const DType part = real_dtype(dtype);
      store_element(address, part, value.to_double());
      return store_element(static_cast<char*>(address) + size_of(part), part, value.imag());
    }
  }
  throw InternalError("store_element: unknown dtype");
}

}  // namespace flambeau
