#include "base/dtype.h"

#include <array>

#include "base/error.h"

namespace flambeau {
namespace {

using enum DTypeCategory;
constexpr std::array<DTypeInfo, kDTypeCount> kTable{{
    {"bool", "b1", "BOOL", "|b1", 1, Bool, false},
    {"uint8", "u8", "U8", "|u1", 1, Integer, false},
    {"int8", "i8", "I8", "|i1", 1, Integer, true},
    {"int16", "i16", "I16", "<i2", 2, Integer, true},
    {"int32", "i32", "I32", "<i4", 4, Integer, true},
    {"int64", "i64", "I64", "<i8", 8, Integer, true},
    {"float16", "f16", "F16", "<f2", 2, Float, true},
    {"bfloat16", "bf16", "BF16", "", 2, Float, true},
    {"float32", "f32", "F32", "<f4", 4, Float, true},
    {"float64", "f64", "F64", "<f8", 8, Float, true},
}};

}  // namespace

const DTypeInfo& info(DType dtype) { return kTable[static_cast<size_t>(dtype)]; }

DType promote_types(DType a, DType b) {
  if (a == b) return a;
  if (a > b) std::swap(a, b);
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
