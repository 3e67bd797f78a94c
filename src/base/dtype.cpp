#include "base/dtype.h"

#include <algorithm>
#include <array>

#include "base/error.h"

namespace flambeau {
namespace {

using enum DTypeCategory;
constexpr std::array<DTypeInfo, kDTypeCount> kTable{{
    {"bool", "Bool", "b1", "BOOL", "|b1", 1, Bool, false},
    {"uint8", "Byte", "u8", "U8", "|u1", 1, Integer, false},
    {"int8", "Char", "i8", "I8", "|i1", 1, Integer, true},
    {"int16", "Short", "i16", "I16", "<i2", 2, Integer, true},
    {"int32", "Int", "i32", "I32", "<i4", 4, Integer, true},
    {"int64", "Long", "i64", "I64", "<i8", 8, Integer, true},
    {"float16", "Half", "f16", "F16", "<f2", 2, Float, true},
    {"bfloat16", "BFloat16", "bf16", "BF16", "", 2, Float, true},
    {"float32", "Float", "f32", "F32", "<f4", 4, Float, true},
    {"float64", "Double", "f64", "F64", "<f8", 8, Float, true},
    {"complex32", "ComplexHalf", "c32", "", "", 4, ComplexNumber, true},
    {"complex64", "ComplexFloat", "c64", "C64", "<c8", 8, ComplexNumber, true},
    {"complex128", "ComplexDouble", "c128", "", "<c16", 16, ComplexNumber, true},
}};

}  // namespace

const DTypeInfo& info(DType dtype) { return kTable[static_cast<size_t>(dtype)]; }

DType real_dtype(DType dtype) {
  switch (dtype) {
    case DType::Complex32:
      return DType::Float16;
    case DType::Complex64:
      return DType::Float32;
    case DType::Complex128:
      return DType::Float64;
    default:
      return dtype;
  }
}

DType complex_dtype(DType dtype) {
  if (is_complex(dtype)) return dtype;
  if (dtype == DType::Float16) return DType::Complex32;
  // bfloat16 has float32's range.
  return dtype == DType::Float64 ? DType::Complex128 : DType::Complex64;
}

DType promote_types(DType a, DType b) {
  if (a == b) return a;
  if (a > b) std::swap(a, b);
  if (is_complex(b)) return is_float(a) ? std::max(b, complex_dtype(a)) : b;
  // The two pairs of one size that neither contains the other.
  if (a == DType::UInt8 && b == DType::Int8) return DType::Int16;
  if (a == DType::Float16 && b == DType::BFloat16) return DType::Float32;
  return b;
}

bool can_cast(DType from, DType to) { return info(from).category <= info(to).category; }

DType dtype_from_name(std::string_view name) {
  for (int i = 0; i < kDTypeCount; ++i)
    if (kTable[static_cast<size_t>(i)].name == name) return static_cast<DType>(i);
  throw ValueError(concat("dtype: '", name, "' is not the name of a dtype"));
}

DType dtype_from_ir_name(std::string_view name) {
  for (int i = 0; i < kDTypeCount; ++i)
    if (kTable[static_cast<size_t>(i)].ir_name == name) return static_cast<DType>(i);
  throw ValueError(concat("dtype: '", name, "' is not the name of a dtype in a program"));
}

}  // namespace flambeau
