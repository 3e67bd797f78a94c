#include "tensor/element.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <limits>

#include "base/half.h"

namespace flambeau {
namespace {

template <class T>
T stored(DType dtype, const Scalar& value) {
  T result{};
  store_element(&result, dtype, value);
  return result;
}

// All 65,536 patterns go to float32 and back unchanged; neighbours round as IEEE says.
TEST(Half, EveryFloat16SurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float value = float16_to_float(half);
    if (std::isnan(value)) {
      EXPECT_EQ(float_to_float16(value), half | 0x200);
      continue;
    }
    ASSERT_EQ(float_to_float16(value), half);
    const int exponent = std::max((half >> 10) & 31, 1);
    const double expected =
        std::ldexp((half & 0x3ff) + (((half >> 10) & 31) != 0 ? 1024 : 0), exponent - 25);
    if ((half & 0x7c00) != 0x7c00) ASSERT_EQ(std::fabs(value), expected);
  }
}

TEST(Half, Float16RoundsToNearestEven) {
  for (uint16_t half = 0; half < 0x7bff; ++half) {
    const float low = float16_to_float(half);
    const float high = float16_to_float(static_cast<uint16_t>(half + 1));
    const float middle = (low + high) / 2;
    const auto even = static_cast<uint16_t>((half & 1) != 0 ? half + 1 : half);
    ASSERT_EQ(float_to_float16(middle), even);
    ASSERT_EQ(float_to_float16(std::nextafter(middle, 0.0f)), half);
    ASSERT_EQ(float_to_float16(std::nextafter(middle, high)), half + 1);
    ASSERT_EQ(float_to_float16(-middle), even | 0x8000);
  }
  EXPECT_EQ(float_to_float16(65519.99f), 0x7bff);
  EXPECT_EQ(float_to_float16(65520.0f), 0x7c00);
  EXPECT_EQ(float_to_float16(-std::numeric_limits<float>::infinity()), 0xfc00);
}

TEST(Half, BFloat16RoundsToNearestEven) {
  for (uint32_t bits = 0; bits < 0x7f80; ++bits) {
    const float low = bfloat16_to_float(static_cast<uint16_t>(bits));
    ASSERT_EQ(float_to_bfloat16(low), bits);
    const float middle = std::bit_cast<float>((bits << 16) | 0x8000);
    ASSERT_EQ(float_to_bfloat16(middle), (bits & 1) != 0 ? bits + 1 : bits);
    ASSERT_EQ(float_to_bfloat16(std::bit_cast<float>((bits << 16) | 0x8001)), bits + 1);
  }
  EXPECT_EQ(float_to_bfloat16(std::nanf("")), 0x7fc0);
  EXPECT_EQ(float_to_bfloat16(-std::numeric_limits<float>::infinity()), 0xff80);
}

TEST(Element, LoadsWhatWasStored) {
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    std::array<std::byte, 16> memory{};
    store_element(memory.data(), dtype, Scalar(1));
    const Scalar loaded = load_element(memory.data(), dtype);
    EXPECT_EQ(loaded.category(), info(dtype).category);
    EXPECT_EQ(loaded.to_double(), 1.0) << info(dtype).name;
  }
}

TEST(Element, ConvertsAsPyTorch) {
  EXPECT_EQ(stored<int32_t>(DType::Int32, -1.9), -1);
  EXPECT_EQ(stored<int8_t>(DType::Int8, 200), -56);
  EXPECT_EQ(stored<uint8_t>(DType::UInt8, -1), 255);
  EXPECT_EQ(stored<uint8_t>(DType::Bool, 0.5), 1);
  EXPECT_EQ(stored<uint8_t>(DType::Bool, 0.0), 0);
  EXPECT_EQ(stored<int64_t>(DType::Int64, std::nan("")), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(stored<float>(DType::Float32, true), 1.0f);
}

}  // namespace
}  // namespace flambeau
