#include "base/scalar.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>

namespace flambeau {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(Scalar, KeepsCategoryAndDType) {
  EXPECT_EQ(Scalar(true).category(), DTypeCategory::Bool);
  EXPECT_EQ(Scalar(true).dtype(), DType::Bool);
  EXPECT_EQ(Scalar(1).category(), DTypeCategory::Integer);
  EXPECT_EQ(Scalar(1).dtype(), DType::Int64);
  EXPECT_EQ(Scalar(1.0).category(), DTypeCategory::Float);
  EXPECT_EQ(Scalar(1.0F).dtype(), DType::Float64);
  EXPECT_EQ(Scalar(), Scalar(0));
}

TEST(Scalar, ComplexNumbersKeepBothParts) {
  const Scalar z(std::complex(1.5, -2.0));
  EXPECT_EQ(z.category(), DTypeCategory::ComplexNumber);
  EXPECT_EQ(z.dtype(), DType::Complex128);
  EXPECT_EQ(z.to_complex(), std::complex(1.5, -2.0));
  EXPECT_EQ(z.to_double(), 1.5);
  EXPECT_EQ(z.to_int(), 1);
  EXPECT_TRUE(Scalar(std::complex(0.0, 1.0)).to_bool());
  EXPECT_FALSE(Scalar(std::complex(0.0, -0.0)).to_bool());
  EXPECT_NE(z, Scalar(std::complex(1.5, 2.0)));
  EXPECT_NE(Scalar(std::complex(1.5, 0.0)), Scalar(1.5));
  EXPECT_EQ(Scalar(2.0).imag(), 0);
}

TEST(Scalar, IsNotMadeOfAPointer) {
  EXPECT_FALSE((std::is_convertible_v<const char*, Scalar>));
  EXPECT_TRUE((std::is_convertible_v<bool, Scalar>));
}

TEST(Scalar, ConvertsAsPython) {
  EXPECT_EQ(Scalar(2.9).to_int(), 2);
  EXPECT_EQ(Scalar(-2.9).to_int(), -2);
  EXPECT_EQ(Scalar(kMin).to_int(), kMin);
  EXPECT_EQ(Scalar(true).to_int(), 1);
  EXPECT_EQ(Scalar(true).to_double(), 1.0);
  EXPECT_EQ(Scalar(kMax).to_double(), 0x1p63);
  EXPECT_TRUE(Scalar(kNan).to_bool());
  EXPECT_TRUE(Scalar(0.5).to_bool());
  EXPECT_FALSE(Scalar(-0.0).to_bool());
  EXPECT_TRUE(Scalar(kMin).to_bool());
}

TEST(Scalar, FloatsThatInt64CannotHoldSaturate) {
  EXPECT_EQ(Scalar(1e30).to_int(), kMax);
  EXPECT_EQ(Scalar(0x1p63).to_int(), kMax);
  EXPECT_EQ(Scalar(-0x1p63).to_int(), kMin);
  EXPECT_EQ(Scalar(-kInf).to_int(), kMin);
  EXPECT_EQ(Scalar(kNan).to_int(), 0);
}

TEST(Scalar, BitsAreThoseOfTheKernelArgument) {
  EXPECT_EQ(Scalar(-1).bits(), ~uint64_t{0});
  EXPECT_EQ(Scalar(true).bits(), 1U);
  EXPECT_EQ(Scalar(1.5).bits(), std::bit_cast<uint64_t>(1.5));
}

TEST(Scalar, EqualityIsOfCategoryAndBits) {
  EXPECT_EQ(Scalar(kNan), Scalar(kNan));
  EXPECT_NE(Scalar(0.0), Scalar(-0.0));
  EXPECT_NE(Scalar(1), Scalar(true));
  EXPECT_NE(Scalar(0), Scalar(0.0));
}

}  // namespace
}  // namespace flambeau
