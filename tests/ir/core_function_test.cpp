#include "ir/core_function.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "base/error.h"
#include "base/half.h"
#include "ir/array_emitter.h"

namespace flambeau::ir {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

Container of(float v) { return std::bit_cast<uint32_t>(v); }
Container of(double v) { return std::bit_cast<uint64_t>(v); }
Container of(int64_t v) { return static_cast<Container>(v); }
Container run(CoreOp op, DType dtype, Container a, Container b = 0, Container c = 0) {
  return core_function(op, Emitter::result_dtype(op, dtype), dtype)(a, b, c);
}
float run_float(CoreOp op, float a, float b = 0, float c = 0) {
  return std::bit_cast<float>(static_cast<uint32_t>(run(op, DType::Float32, of(a), of(b), of(c))));
}
int64_t run_int(CoreOp op, DType dtype, int64_t a, int64_t b = 0) {
  return static_cast<int64_t>(run(op, dtype, of(a), of(b)));
}
/// Equal bits, or both NaN.
void expect_same(float got, float want) {
  if (std::isnan(want))
    EXPECT_TRUE(std::isnan(got));
  else
    EXPECT_EQ(of(got), of(want)) << got << " for " << want;
}

const std::vector<float> kEdges = {0.0f,   -0.0f, 1.0f,       -1.0f,   0.5f,       -0.5f,      1.5f,
                                   2.5f,   -2.5f, 3.7f,       -3.7f,   kInf,       -kInf,      kNaN,
                                   1e-45f, 3e38f, 8388609.0f, -1e-39f, 4194304.5f, 0.49999997f};

TEST(CoreFunction, FloatArithmeticIsTheProcessors) {
  for (const float a : kEdges) {
    expect_same(run_float(CoreOp::Neg, a), -a);
    expect_same(run_float(CoreOp::Abs, a), std::fabs(a));
    expect_same(run_float(CoreOp::Sqrt, a), std::sqrt(a));
    expect_same(run_float(CoreOp::Floor, a), std::floor(a));
    expect_same(run_float(CoreOp::Ceil, a), std::ceil(a));
    expect_same(run_float(CoreOp::Trunc, a), std::trunc(a));
    expect_same(run_float(CoreOp::RoundEven, a), std::nearbyint(a));
    for (const float b : kEdges) {
      expect_same(run_float(CoreOp::Add, a, b), a + b);
      expect_same(run_float(CoreOp::Sub, a, b), a - b);
      expect_same(run_float(CoreOp::Mul, a, b), a * b);
      expect_same(run_float(CoreOp::Div, a, b), a / b);
      expect_same(run_float(CoreOp::Rem, a, b), std::fmod(a, b));
      expect_same(run_float(CoreOp::Fma, a, b, 0.1f), std::fma(a, b, 0.1f));
      EXPECT_EQ(run(CoreOp::Eq, DType::Float32, of(a), of(b)), Container{a == b});
      EXPECT_EQ(run(CoreOp::Ne, DType::Float32, of(a), of(b)), Container{a != b});
      EXPECT_EQ(run(CoreOp::Lt, DType::Float32, of(a), of(b)), Container{a < b});
      EXPECT_EQ(run(CoreOp::Le, DType::Float32, of(a), of(b)), Container{a <= b});
      EXPECT_EQ(run(CoreOp::Gt, DType::Float32, of(a), of(b)), Container{a > b});
      EXPECT_EQ(run(CoreOp::Ge, DType::Float32, of(a), of(b)), Container{a >= b});
    }
  }
}

TEST(CoreFunction, FmaRoundsOnce) {
  const float a = 1 + 0x1p-12f;
  EXPECT_NE(a * a - 1, run_float(CoreOp::Fma, a, a, -1.0f));
  const double d = 1 + 0x1p-30;
  const auto once = std::bit_cast<double>(run(CoreOp::Fma, DType::Float64, of(d), of(d), of(-1.0)));
  EXPECT_EQ(once, 0x1p-29 + 0x1p-60);
}

TEST(CoreFunction, MinAndMaxPropagateNaNAndOrderZeros) {
  EXPECT_TRUE(std::isnan(run_float(CoreOp::Min, kNaN, 1)));
  EXPECT_TRUE(std::isnan(run_float(CoreOp::Min, 1, kNaN)));
  EXPECT_TRUE(std::isnan(run_float(CoreOp::Max, kNaN, 1)));
  EXPECT_TRUE(std::isnan(run_float(CoreOp::Max, 1, kNaN)));
  for (const auto& [a, b] : {std::pair{0.0f, -0.0f}, std::pair{-0.0f, 0.0f}}) {
    expect_same(run_float(CoreOp::Min, a, b), -0.0f);
    expect_same(run_float(CoreOp::Max, a, b), 0.0f);
  }
  expect_same(run_float(CoreOp::Max, -kInf, 2), 2);
  EXPECT_EQ(run_int(CoreOp::Min, DType::Int8, -1, 1), -1);
  EXPECT_EQ(run_int(CoreOp::Min, DType::UInt8, 255, 1), 1);
}

TEST(CoreFunction, IntegersWrap) {
  const int64_t least = std::numeric_limits<int64_t>::min();
  const int64_t most = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(run_int(CoreOp::Add, DType::Int64, most, 1), least);
  EXPECT_EQ(run_int(CoreOp::Sub, DType::Int64, least, 1), most);
  EXPECT_EQ(run_int(CoreOp::Mul, DType::Int64, most, 2), -2);
  EXPECT_EQ(run_int(CoreOp::Add, DType::Int8, 127, 1), -128);
  EXPECT_EQ(run_int(CoreOp::Add, DType::UInt8, 255, 2), 1);
  EXPECT_EQ(run_int(CoreOp::Neg, DType::UInt8, 1), 255);
  EXPECT_EQ(run_int(CoreOp::Abs, DType::Int8, -128), -128);
  EXPECT_EQ(run_int(CoreOp::Abs, DType::Int64, least), least);
  EXPECT_EQ(run_int(CoreOp::Mul, DType::Int16, 300, 300), static_cast<int16_t>(90000));
  EXPECT_EQ(run_int(CoreOp::Not, DType::UInt8, 1), 254);
  EXPECT_EQ(run_int(CoreOp::Not, DType::Int32, 1), -2);
}

TEST(CoreFunction, IntegerDivisionIsTotal) {
  for (const DType dtype : {DType::Int8, DType::Int16, DType::Int32, DType::Int64}) {
    const int64_t least = -(int64_t{1} << (8 * size_of(dtype) - 2)) * 2;
    EXPECT_EQ(run_int(CoreOp::Div, dtype, 7, 0), 0);
    EXPECT_EQ(run_int(CoreOp::Rem, dtype, 7, 0), 0);
    EXPECT_EQ(run_int(CoreOp::Div, dtype, least, -1), least);
    EXPECT_EQ(run_int(CoreOp::Rem, dtype, least, -1), 0);
    EXPECT_EQ(run_int(CoreOp::Div, dtype, -7, 2), -3);
    EXPECT_EQ(run_int(CoreOp::Rem, dtype, -7, 2), -1);
  }
  EXPECT_EQ(run_int(CoreOp::Div, DType::UInt8, 255, 2), 127);
}

TEST(CoreFunction, ShiftsAreModuloTheWidth) {
  EXPECT_EQ(run_int(CoreOp::Shl, DType::Int32, 1, 33), 2);
  EXPECT_EQ(run_int(CoreOp::Shl, DType::Int32, 1, 31), std::numeric_limits<int32_t>::min());
  EXPECT_EQ(run_int(CoreOp::ShiftRight, DType::Int32, -8, 1), -4);
  EXPECT_EQ(run_int(CoreOp::ShiftRightLogical, DType::Int32, -8, 1), 0x7ffffffc);
  EXPECT_EQ(run_int(CoreOp::ShiftRightLogical, DType::Int8, -1, 7), 1);
  EXPECT_EQ(run_int(CoreOp::ShiftRight, DType::Int64, -1, 64 + 5), -1);
  EXPECT_EQ(run_int(CoreOp::Shl, DType::UInt8, 255, -7), 254);
}

TEST(CoreFunction, ScaleRoundsOnce) {
  expect_same(run_float(CoreOp::Scale, 1.5f, 3), 12);
  expect_same(run_float(CoreOp::Scale, -1.5f, 130), -kInf);
  expect_same(run_float(CoreOp::Scale, 1 + 0x1p-23f, -149), 0x1p-149f);
  expect_same(run_float(CoreOp::Scale, 1, -150), 0);
  expect_same(run_float(CoreOp::Scale, 1 + 0x1p-23f, -150), 0x1p-149f);
  EXPECT_TRUE(std::isnan(run_float(CoreOp::Scale, kNaN, kNaN)));
}

TEST(CoreFunction, MulHighIsUnsigned) {
  EXPECT_EQ(run_int(CoreOp::MulHigh, DType::Int32, -1, -1), -2);
  EXPECT_EQ(run_int(CoreOp::MulHigh, DType::Int64, -1, 2), 1);
  EXPECT_EQ(run_int(CoreOp::MulHigh, DType::Int32, 0x10000, 0x10000), 1);
}

TEST(CoreFunction, BoolArithmeticIsLogical) {
  for (const int64_t a : {0, 1})
    for (const int64_t b : {0, 1}) {
      EXPECT_EQ(run_int(CoreOp::Add, DType::Bool, a, b), a | b);
      EXPECT_EQ(run_int(CoreOp::Sub, DType::Bool, a, b), a ^ b);
      EXPECT_EQ(run_int(CoreOp::Mul, DType::Bool, a, b), a & b);
      EXPECT_EQ(run_int(CoreOp::Min, DType::Bool, a, b), a & b);
      EXPECT_EQ(run_int(CoreOp::Max, DType::Bool, a, b), a | b);
      EXPECT_EQ(run_int(CoreOp::Lt, DType::Bool, a, b), a < b);
      EXPECT_EQ(run_int(CoreOp::Ge, DType::Bool, a, b), a >= b);
      EXPECT_EQ(run_int(CoreOp::Not, DType::Bool, a), 1 - a);
    }
}

int64_t convert(DType to, DType from, Container value) {
  return static_cast<int64_t>(convert_element(to, from, value));
}

TEST(CoreFunction, WhatAnIntegerCannotHoldConvertsAsOnX86) {
  const DType f = DType::Float32;
  constexpr int32_t kLeast = std::numeric_limits<int32_t>::min();
  constexpr int64_t kLeastLong = std::numeric_limits<int64_t>::min();
  EXPECT_EQ(convert(DType::Int32, f, of(3e9f)), kLeast);
  EXPECT_EQ(convert(DType::Int32, f, of(-3e9f)), kLeast);
  EXPECT_EQ(convert(DType::Int64, f, of(kInf)), kLeastLong);
  EXPECT_EQ(convert(DType::Int64, f, of(-kInf)), kLeastLong);
  EXPECT_EQ(convert(DType::Int64, f, of(kNaN)), kLeastLong);
  EXPECT_EQ(convert(DType::UInt8, f, of(-0.9f)), 0);
  EXPECT_EQ(convert(DType::UInt8, f, of(-5.0f)), 251);
  EXPECT_EQ(convert(DType::UInt8, f, of(255.9f)), 255);
  EXPECT_EQ(convert(DType::UInt8, f, of(256.0f)), 0);
  EXPECT_EQ(convert(DType::Int8, f, of(-128.9f)), -128);
  EXPECT_EQ(convert(DType::Int32, f, of(-1.9f)), -1);
  EXPECT_EQ(convert(DType::Int64, DType::Float64, of(9007199254740993.0)), 9007199254740992);
}

TEST(CoreFunction, ConvertsToBoolAndNarrowsIntegers) {
  EXPECT_EQ(convert(DType::Bool, DType::Float32, of(kNaN)), 1);
  EXPECT_EQ(convert(DType::Bool, DType::Float32, of(-0.0f)), 0);
  EXPECT_EQ(convert(DType::Bool, DType::Float64, of(1e-300)), 1);
  EXPECT_EQ(convert(DType::Bool, DType::Int64, of(int64_t{256})), 1);
  EXPECT_EQ(convert(DType::Bool, DType::Float16, 0x8000), 0);
  EXPECT_EQ(convert(DType::Int8, DType::Int64, of(int64_t{200})), -56);
  EXPECT_EQ(convert(DType::UInt8, DType::Int8, of(int64_t{-1})), 255);
  EXPECT_EQ(convert(DType::Int64, DType::UInt8, 255), 255);
}

/// The 16-bit value nearest to `v`, found by trying every one.
uint16_t nearest_half(double v, float (*widen)(uint16_t)) {
  uint16_t best = 0;
  double least = HUGE_VAL;
  for (uint32_t bits = 0; bits < 0x8000; ++bits) {
    double candidate = widen(static_cast<uint16_t>(bits));
    if (std::isnan(candidate)) continue;
    // Infinity stands where the next finite value would.
    if (std::isinf(candidate))
      candidate =
          2.0 * widen(static_cast<uint16_t>(bits - 1)) - widen(static_cast<uint16_t>(bits - 2));
    const double distance = std::fabs(candidate - std::fabs(v));
    if (distance < least || (distance == least && bits % 2 == 0)) {
      least = distance;
      best = static_cast<uint16_t>(bits);
    }
  }
  return static_cast<uint16_t>(best | (std::signbit(v) ? 0x8000 : 0));
}

TEST(CoreFunction, HalvesRoundOnceToNearestEven) {
  std::vector<double> values = {0.0, -0.0, 1.0, 65504.0, 65519.99999999999, 65520.0, 6e-8, 2.9e-8,
                                2.98e-8, 1e-300, -6.1e-5, 3.4e38,
                                // Beyond float: rounding to float first would make these ties.
                                1 + 0x1p-11 + 0x1p-40, 1 + 0x1p-8 + 0x1p-40,
                                1 + 3 * 0x1p-11 - 0x1p-40, 1 + 3 * 0x1p-8 - 0x1p-40,
                                0x1p-25 + 0x1p-60, 0x1p-134 + 0x1p-170};
  std::mt19937_64 engine(3);
  for (int i = 0; i < 60; ++i)
    values.push_back(
        std::ldexp(static_cast<double>(engine() >> 11), static_cast<int>(engine() % 60) - 80));
  for (const double v : values) {
    EXPECT_EQ(convert(DType::Float16, DType::Float64, of(v)), nearest_half(v, float16_to_float))
        << v;
    EXPECT_EQ(convert(DType::BFloat16, DType::Float64, of(v)), nearest_half(v, bfloat16_to_float))
        << v;
  }
}

TEST(CoreFunction, IntegersRoundOnceToHalves) {
  // 2^60 + 2^52 is a tie of bfloat16; one more is above it, which a double cannot hold.
  const int64_t tie = (int64_t{1} << 60) + (int64_t{1} << 52);
  const auto low = static_cast<uint16_t>(convert(DType::BFloat16, DType::Int64, of(tie)));
  const auto high = static_cast<uint16_t>(convert(DType::BFloat16, DType::Int64, of(tie + 1)));
  EXPECT_EQ(bfloat16_to_float(low), 0x1p60f);
  EXPECT_EQ(bfloat16_to_float(high), 0x1p60f + 0x1p53f);
  EXPECT_EQ(convert(DType::BFloat16, DType::Int64, of(-tie - 1)), high | 0x8000);
  EXPECT_EQ(convert(DType::Float16, DType::Int64, of(int64_t{100000})), 0x7c00);
}

TEST(CoreFunction, HalvesWidenExactlyAndComeBack) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits)
    for (const DType half : {DType::Float16, DType::BFloat16}) {
      const Container wide = convert_element(DType::Float64, half, bits);
      if (std::isnan(std::bit_cast<double>(wide))) continue;
      ASSERT_EQ(convert_element(half, DType::Float64, wide), bits);
    }
}

TEST(CoreFunction, BitcastKeepsBits) {
  const auto bitcast = [](DType to, DType from, Container value) {
    return core_function(CoreOp::Bitcast, to, from)(value, 0, 0);
  };
  EXPECT_EQ(bitcast(DType::Int32, DType::Float32, of(-1.0f)), of(int64_t{-1082130432}));
  EXPECT_EQ(bitcast(DType::Float32, DType::Int32, of(int64_t{-1082130432})), of(-1.0f));
  EXPECT_EQ(bitcast(DType::Int16, DType::BFloat16, 0x8001), of(int64_t{-32767}));
  EXPECT_EQ(bitcast(DType::UInt8, DType::Int8, of(int64_t{-1})), 255u);
  EXPECT_EQ(bitcast(DType::Float64, DType::Int64, of(1.5)), of(1.5));
}

TEST(CoreFunction, RejectsWhatIsNotDefined) {
  EXPECT_THROW(core_function(CoreOp::Add, DType::Float16, DType::Float16), InternalError);
  EXPECT_THROW(core_function(CoreOp::And, DType::Float32, DType::Float32), InternalError);
  EXPECT_THROW(core_function(CoreOp::Fma, DType::Int32, DType::Int32), InternalError);
  EXPECT_THROW(core_function(CoreOp::Add, DType::Float64, DType::Float32), InternalError);
  EXPECT_THROW(core_function(CoreOp::Bitcast, DType::Float64, DType::Float32), InternalError);
  EXPECT_THROW(core_function(CoreOp::MulHigh, DType::Int8, DType::Int8), InternalError);
  EXPECT_THROW(core_function(CoreOp::Eq, DType::Float32, DType::Float32), InternalError);
}

TEST(ArrayEmitter, AppliesEachOperationToEveryElement) {
  ArrayValue a(DType::Float32, {3});
  for (int i = 0; i < 3; ++i) a.as<float>()[i] = static_cast<float>(i) - 1;
  ArrayEmitter e(3);
  const Operand x = e.input(a);
  const Operand half = e.constant(DType::Float32, 0.5);
  const Operand positive = e.op(CoreOp::Gt, x, e.constant_bits(DType::Float32, 0));
  const Operand out = e.select(positive, e.fma(x, half, half), e.op(CoreOp::Neg, x));
  const ArrayValue got = e.output(out, {3, 1});
  EXPECT_EQ(got.shape, (Ints{3, 1}));
  EXPECT_EQ(of(got.as<float>()[0]), of(1.0f));
  EXPECT_EQ(of(got.as<float>()[1]), of(-0.0f));
  EXPECT_EQ(of(got.as<float>()[2]), of(1.0f));
}

TEST(ArrayEmitter, RejectsMixedOperands) {
  ArrayEmitter e(1);
  const Operand f = e.constant(DType::Float32, 1);
  const Operand d = e.constant(DType::Float64, 1);
  EXPECT_THROW(e.op(CoreOp::Add, f, d), InternalError);
  EXPECT_THROW(e.select(f, f, f), InternalError);
  EXPECT_THROW(e.op(CoreOp::Add, f), InternalError);
}

TEST(ArrayEmitter, ConstantsAreRoundedToTheirDType) {
  ArrayEmitter e(1);
  EXPECT_EQ(e.values(e.constant(DType::Float32, 0.1))[0], of(0.1f));
  EXPECT_EQ(e.values(e.constant(DType::BFloat16, 0.1))[0], float_to_bfloat16(0.1f));
  EXPECT_EQ(e.values(e.constant_bits(DType::Int8, 0xff))[0], of(int64_t{-1}));
  EXPECT_EQ(e.values(e.constant_bits(DType::Float32, 0x1ffffffffU))[0], 0xffffffffU);
}

}  // namespace
}  // namespace flambeau::ir
