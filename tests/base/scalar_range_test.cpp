#include "base/scalar_range.h"

#include <gtest/gtest.h>

#include <cmath>

namespace flambeau {
namespace {

TEST(ScalarRange, KnowsTheBounds) {
  EXPECT_TRUE(fits(127, DType::Int8));
  EXPECT_FALSE(fits(128, DType::Int8));
  EXPECT_TRUE(fits(-128, DType::Int8));
  EXPECT_FALSE(fits(-129, DType::Int8));
  EXPECT_TRUE(fits(255, DType::UInt8));
  EXPECT_FALSE(fits(256.0, DType::UInt8));
  EXPECT_FALSE(fits(255.9, DType::UInt8));
  EXPECT_FALSE(fits(-0.5, DType::UInt8));
  EXPECT_TRUE(fits(-0.5, DType::Int8));
  EXPECT_TRUE(fits(32767.9, DType::Int32));
  EXPECT_TRUE(fits(-255, DType::UInt8));
  EXPECT_FALSE(fits(-256, DType::UInt8));
  EXPECT_FALSE(fits(-1.0, DType::UInt8));
  EXPECT_FALSE(fits(0x1p63, DType::Int64));
  EXPECT_TRUE(fits(-0x1p63, DType::Int64));
  EXPECT_FALSE(fits(std::nan(""), DType::Int32));
  EXPECT_TRUE(fits(std::nan(""), DType::Float16));
  EXPECT_FALSE(fits(65505.0, DType::Float16));
  EXPECT_FALSE(fits(1e39, DType::Float32));
  EXPECT_TRUE(fits(1e39, DType::Float64));
}

}  // namespace
}  // namespace flambeau
