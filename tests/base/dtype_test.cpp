#include "base/dtype.h"

#include <gtest/gtest.h>

#include <array>
#include <sstream>
#include <string>

#include "base/error.h"

namespace flambeau {
namespace {

DType at(int i) { return static_cast<DType>(i); }

// torch.promote_types of PyTorch 2.7.1; rows and columns in the order of DType.
constexpr std::array<const char*, kDTypeCount> kPromotion{
    "b1 u8 i8 i16 i32 i64 f16 bf16 f32 f64 c32 c64 c128",
    "u8 u8 i16 i16 i32 i64 f16 bf16 f32 f64 c32 c64 c128",
    "i8 i16 i8 i16 i32 i64 f16 bf16 f32 f64 c32 c64 c128",
    "i16 i16 i16 i16 i32 i64 f16 bf16 f32 f64 c32 c64 c128",
    "i32 i32 i32 i32 i32 i64 f16 bf16 f32 f64 c32 c64 c128",
    "i64 i64 i64 i64 i64 i64 f16 bf16 f32 f64 c32 c64 c128",
    "f16 f16 f16 f16 f16 f16 f16 f32 f32 f64 c32 c64 c128",
    "bf16 bf16 bf16 bf16 bf16 bf16 f32 bf16 f32 f64 c64 c64 c128",
    "f32 f32 f32 f32 f32 f32 f32 f32 f32 f64 c64 c64 c128",
    "f64 f64 f64 f64 f64 f64 f64 f64 f64 f64 c128 c128 c128",
    "c32 c32 c32 c32 c32 c32 c32 c64 c64 c128 c32 c64 c128",
    "c64 c64 c64 c64 c64 c64 c64 c64 c64 c128 c64 c64 c128",
    "c128 c128 c128 c128 c128 c128 c128 c128 c128 c128 c128 c128 c128",
};

// torch.can_cast of PyTorch 2.7.1: a row for `from`, a digit for each `to`.
constexpr std::array<const char*, kDTypeCount> kCanCast{
    "1111111111111", "0111111111111", "0111111111111", "0111111111111", "0111111111111",
    "0111111111111", "0000001111111", "0000001111111", "0000001111111", "0000001111111",
    "0000000000111", "0000000000111", "0000000000111",
};

TEST(DType, PromotionIsPyTorchs) {
  for (int a = 0; a < kDTypeCount; ++a) {
    std::istringstream row(kPromotion[static_cast<size_t>(a)]);
    for (int b = 0; b < kDTypeCount; ++b) {
      std::string expected;
      row >> expected;
      EXPECT_EQ(info(promote_types(at(a), at(b))).ir_name, expected)
          << info(at(a)).name << " with " << info(at(b)).name;
    }
  }
}

TEST(DType, CanCastIsPyTorchs) {
  for (int from = 0; from < kDTypeCount; ++from)
    for (int to = 0; to < kDTypeCount; ++to)
      EXPECT_EQ(can_cast(at(from), at(to)),
                kCanCast[static_cast<size_t>(from)][static_cast<size_t>(to)] == '1')
          << info(at(from)).name << " to " << info(at(to)).name;
}

TEST(DType, PredicatesFollowTheTable) {
  for (int i = 0; i < kDTypeCount; ++i) {
    const DType dtype = at(i);
    const DTypeInfo& row = info(dtype);
    EXPECT_EQ(is_bool(dtype), row.category == DTypeCategory::Bool) << row.name;
    EXPECT_EQ(is_integer(dtype), row.category == DTypeCategory::Integer) << row.name;
    EXPECT_EQ(is_float(dtype), row.category == DTypeCategory::Float) << row.name;
    EXPECT_EQ(is_half(dtype), row.category == DTypeCategory::Float && row.size == 2) << row.name;
    EXPECT_EQ(is_complex(dtype), row.category == DTypeCategory::ComplexNumber) << row.name;
    EXPECT_EQ(is_inexact(dtype), is_float(dtype) || is_complex(dtype)) << row.name;
    EXPECT_EQ(compute_dtype(dtype), is_half(dtype)              ? DType::Float32
                                    : dtype == DType::Complex32 ? DType::Complex64
                                                                : dtype)
        << row.name;
    EXPECT_EQ(size_of(dtype), row.size) << row.name;
    EXPECT_EQ(is_bool(dtype) || dtype == DType::UInt8, !row.is_signed) << row.name;
  }
}

TEST(DType, NamesCarryTheSize) {
  for (int i = 1; i < kDTypeCount; ++i) {
    const DTypeInfo& row = info(at(i));
    const std::string bits = std::to_string(row.size * 8);
    EXPECT_TRUE(row.name.ends_with(bits)) << row.name;
    EXPECT_TRUE(row.ir_name.ends_with(bits)) << row.name;
    EXPECT_TRUE(row.file_name.empty() || row.file_name.ends_with(bits)) << row.name;
    EXPECT_TRUE(row.numpy_name.empty() || row.numpy_name.substr(2) == std::to_string(row.size))
        << row.name;
  }
}

TEST(DType, ComplexNumbersHaveParts) {
  EXPECT_EQ(real_dtype(DType::Complex64), DType::Float32);
  EXPECT_EQ(real_dtype(DType::Int8), DType::Int8);
  EXPECT_EQ(complex_dtype(DType::BFloat16), DType::Complex64);
  for (const DType dtype : {DType::Complex32, DType::Complex64, DType::Complex128}) {
    EXPECT_EQ(complex_dtype(real_dtype(dtype)), dtype);
    EXPECT_EQ(complex_dtype(dtype), dtype);
    EXPECT_EQ(size_of(dtype), 2 * size_of(real_dtype(dtype)));
  }
}

TEST(DType, IsFoundByItsNames) {
  for (int i = 0; i < kDTypeCount; ++i) {
    EXPECT_EQ(dtype_from_name(info(at(i)).name), at(i));
    EXPECT_EQ(dtype_from_ir_name(info(at(i)).ir_name), at(i));
  }
}

TEST(DType, UnknownNameIsAValueErrorWithTheName) {
  try {
    dtype_from_name("float33");
    FAIL();
  } catch (const ValueError& error) {
    EXPECT_STREQ(error.what(), "dtype: 'float33' is not the name of a dtype");
  }
  EXPECT_THROW(dtype_from_ir_name("float32"), ValueError);
  EXPECT_THROW(dtype_from_name(""), ValueError);
}

}  // namespace
}  // namespace flambeau
