#include "ir/order.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "base/half.h"
#include "ir/array.h"

namespace flambeau::ir {
namespace {

std::vector<float> random_floats(size_t count, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  std::vector<float> out(count);
  for (float& v : out) v = normal(engine);
  return out;
}

ArrayValue array_of(const std::vector<float>& values, const Ints& shape) {
  ArrayValue out(DType::Float32, shape);
  std::copy(values.begin(), values.end(), out.as<float>());
  return out;
}

/// The order of kReduceBlock once more, on plain floats and by other means: lanes by index
/// arithmetic, halving written out, the tree by recursion on the widths of its levels.
float sum_block(const float* v, size_t n) {
  float lane[32] = {};
  for (size_t l = 0; l < 32; ++l)
    for (size_t i = l; i < n; i += 32) lane[l] = lane[l] + v[i];
  float sixteen[16], eight[8], four[4];
  for (int i = 0; i < 16; ++i) sixteen[i] = lane[i] + lane[i + 16];
  for (int i = 0; i < 8; ++i) eight[i] = sixteen[i] + sixteen[i + 8];
  for (int i = 0; i < 4; ++i) four[i] = eight[i] + eight[i + 4];
  return (four[0] + four[2]) + (four[1] + four[3]);
}

float sum_tree(const std::vector<float>& blocks, size_t begin, size_t width) {
  // A node of the tree covers `width` blocks, a power of two; what is beyond the end is absent.
  if (width == 1) return blocks[begin];
  const float left = sum_tree(blocks, begin, width / 2);
  if (begin + width / 2 >= blocks.size()) return left;
  return left + sum_tree(blocks, begin + width / 2, width / 2);
}

float sum_by_hand(const std::vector<float>& v) {
  if (v.empty()) return 0;
  std::vector<float> blocks;
  for (size_t b = 0; b < v.size(); b += 1024)
    blocks.push_back(sum_block(v.data() + b, std::min<size_t>(1024, v.size() - b)));
  return sum_tree(blocks, 0, std::bit_ceil(blocks.size()));
}

class SumOfSize : public testing::TestWithParam<int> {};

TEST_P(SumOfSize, IsInTheFixedOrder) {
  const auto values = random_floats(static_cast<size_t>(GetParam()), 11);
  const int64_t axes[] = {0};
  const ArrayValue got =
      reduce_array(array_of(values, {GetParam()}), axes, CoreOp::Add, int64_t{0});
  const float want = sum_by_hand(values);
  EXPECT_EQ(std::bit_cast<uint32_t>(got.as<float>()[0]), std::bit_cast<uint32_t>(want));
}

INSTANTIATE_TEST_SUITE_P(Sizes, SumOfSize,
                         testing::Values(0, 1, 31, 32, 33, 1023, 1024, 1025, 2048, 3000, 5000,
                                         7 * 1024 + 5, 40000));

TEST(ReduceInOrder, OtherOrdersGiveOtherBits) {
  // Guards the test above: the sizes and values are such that a wrong order shows.
  const auto values = random_floats(40000, 11);
  float ascending = 0;
  for (const float v : values) ascending += v;
  float blocks_in_turn = 0;
  for (size_t b = 0; b < values.size(); b += 1024)
    blocks_in_turn += sum_block(values.data() + b, std::min<size_t>(1024, values.size() - b));
  EXPECT_NE(ascending, sum_by_hand(values));
  EXPECT_NE(blocks_in_turn, sum_by_hand(values));
}

TEST(ReduceInOrder, TreeOfBlocksIsTheWhole) {
  const auto values = random_floats(5000, 12);
  std::vector<Container> all, blocks;
  for (const float v : values) all.push_back(std::bit_cast<uint32_t>(v));
  const std::span<const Container> span = all;
  for (size_t b = 0; b < all.size(); b += 1024)
    blocks.push_back(reduce_block(CoreOp::Add, DType::Float32, 0,
                                  span.subspan(b, std::min<size_t>(1024, all.size() - b))));
  EXPECT_EQ(reduce_tree(CoreOp::Add, DType::Float32, 0, blocks),
            reduce_in_order(CoreOp::Add, DType::Float32, 0, all));
}

TEST(ReduceInOrder, EmptyRangesGiveTheIdentity) {
  EXPECT_EQ(reduce_in_order(CoreOp::Mul, DType::Int64, 1, {}), 1u);
  EXPECT_EQ(reduce_tree(CoreOp::Mul, DType::Int64, 7, {}), 7u);
}

TEST(ReduceArray, WalksTheReducedAxesInRowMajorOrder) {
  const auto values = random_floats(3 * 40 * 50, 13);
  const ArrayValue array = array_of(values, {40, 3, 50});
  // Axes given in any order mean the same.
  const int64_t axes[] = {2, 0};
  const ArrayValue got = reduce_array(array, axes, CoreOp::Add, int64_t{0});
  ASSERT_EQ(got.shape, (Ints{3}));
  for (size_t kept = 0; kept < 3; ++kept) {
    std::vector<float> row;
    for (size_t i = 0; i < 40; ++i)
      for (size_t j = 0; j < 50; ++j) row.push_back(values[(i * 3 + kept) * 50 + j]);
    EXPECT_EQ(std::bit_cast<uint32_t>(got.as<float>()[kept]),
              std::bit_cast<uint32_t>(sum_by_hand(row)));
  }
}

TEST(ReduceArray, HalvesAreCombinedInFloatAndRoundedOnce) {
  const auto values = random_floats(3000, 14);
  ArrayValue array(DType::BFloat16, {3000});
  std::vector<float> rounded;
  for (size_t i = 0; i < values.size(); ++i) {
    array.as<uint16_t>()[i] = float_to_bfloat16(values[i]);
    rounded.push_back(bfloat16_to_float(array.as<uint16_t>()[i]));
  }
  const int64_t axes[] = {0};
  const ArrayValue got = reduce_array(array, axes, CoreOp::Add, int64_t{0});
  EXPECT_EQ(got.dtype, DType::BFloat16);
  EXPECT_EQ(got.as<uint16_t>()[0], float_to_bfloat16(sum_by_hand(rounded)));
}

TEST(ReduceArray, EmptyAxesAndEmptyResults) {
  const int64_t axes[] = {1};
  const ArrayValue identities =
      reduce_array(ArrayValue(DType::Int64, {2, 0}), axes, CoreOp::Mul, int64_t{1});
  ASSERT_EQ(identities.shape, (Ints{2}));
  EXPECT_EQ(identities.as<int64_t>()[1], 1);
  EXPECT_EQ(reduce_array(ArrayValue(DType::Int64, {0, 3}), axes, CoreOp::Add, int64_t{0}).size(),
            0);
}

class ContractOfDepth : public testing::TestWithParam<int> {};

TEST_P(ContractOfDepth, IsInTheFixedOrder) {
  const int64_t depth = GetParam();
  const auto k = static_cast<size_t>(depth);
  const auto a = random_floats(2 * 3 * k, 15);
  const auto b = random_floats(2 * k * 2, 16);
  const ArrayValue got =
      contract_in_order(array_of(a, {2, 3, depth}), array_of(b, {2, depth, 2}), DType::Float32);
  ASSERT_EQ(got.shape, (Ints{2, 3, 2}));
  for (size_t batch = 0; batch < 2; ++batch)
    for (size_t row = 0; row < 3; ++row)
      for (size_t column = 0; column < 2; ++column) {
        float total = 0;
        for (size_t block = 0; block * 256 < k; ++block) {
          float chain = 0;
          for (size_t i = block * 256; i < k && i < block * 256 + 256; ++i)
            chain = std::fma(a[(batch * 3 + row) * k + i], b[(batch * k + i) * 2 + column], chain);
          total = block == 0 ? chain : total + chain;
        }
        EXPECT_EQ(std::bit_cast<uint32_t>(got.as<float>()[(batch * 3 + row) * 2 + column]),
                  std::bit_cast<uint32_t>(total));
      }
}

INSTANTIATE_TEST_SUITE_P(Depths, ContractOfDepth, testing::Values(0, 1, 255, 256, 257, 700));

TEST(Contract, BlocksShowInTheBits) {
  const auto a = random_floats(700, 15);
  const auto b = random_floats(700, 16);
  float chain = 0;
  for (size_t i = 0; i < 700; ++i) chain = std::fma(a[i], b[i], chain);
  const ArrayValue got =
      contract_in_order(array_of(a, {1, 700}), array_of(b, {700, 1}), DType::Float32);
  EXPECT_NE(got.as<float>()[0], chain);
}

TEST(Contract, KeepsMinusZeroOutAndAccumulatesIntegers) {
  const ArrayValue a = array_of({-0.0f}, {1, 1});
  const ArrayValue b = array_of({1.0f}, {1, 1});
  EXPECT_FALSE(std::signbit(contract_in_order(a, b, DType::Float32).as<float>()[0]));
  ArrayValue x = full(DType::Int64, {1, 300}, 3);
  ArrayValue y = full(DType::Int64, {300, 1}, static_cast<Container>(int64_t{-2}));
  EXPECT_EQ(contract_in_order(x, y, DType::Int64).as<int64_t>()[0], -1800);
}

TEST(Contract, HalvesAccumulateInFloat) {
  const ArrayValue ones = full(DType::BFloat16, {1, 300}, float_to_bfloat16(1.0f));
  ArrayValue column = ones;
  column.shape = {300, 1};
  EXPECT_EQ(contract_in_order(ones, column, DType::Float32).as<float>()[0], 300.0f);
  EXPECT_EQ(contract_in_order(ones, column, DType::BFloat16).as<uint16_t>()[0],
            float_to_bfloat16(300.0f));
}

/// The product in pairs of a row and a column, whose elements are bfloat16 values.
float pair_product(const std::vector<float>& a, const std::vector<float>& b) {
  const auto k = static_cast<int64_t>(a.size());
  return contract_in_order(array_of(a, {1, k}), array_of(b, {k, 1}), DType::Float32, true)
      .as<float>()[0];
}

TEST(ContractPairs, TheSecondOfAPairComesFirst) {
  const std::vector<float> ones(5, 1.0f);
  EXPECT_EQ(pair_product({1, 0, 0x1p-30f, -1}, {1, 1, 1, 1}), 0x1p-30f);
  EXPECT_EQ(pair_product({0x1p-30f, 0, 1, -1}, {1, 1, 1, 1}), 0.0f);
  // An odd last element is the lower of its pair.
  EXPECT_EQ(pair_product({0, 1, 0, -1, 0x1p-30f}, ones), 0x1p-30f);
}

TEST(ContractPairs, BlocksAreOf256Elements) {
  std::vector<float> a(258, 0.0f);
  const std::vector<float> b(258, 1.0f);
  a[0] = 0x1p-30f;
  a[256] = 1;
  a[257] = -1;
  EXPECT_EQ(pair_product(a, b), 0x1p-30f);
}

TEST(ContractPairs, DenormalsAreZeros) {
  const float denormal = 0x1p-130f;
  const float least = 0x1p-126f;
  EXPECT_EQ(pair_product({denormal}, {0x1p100f}), 0.0f);
  EXPECT_EQ(pair_product({0x1p100f}, {denormal}), 0.0f);
  EXPECT_EQ(pair_product({least}, {1}), least);
  EXPECT_EQ(pair_product({least}, {0.5f}), 0.0f);
  // Each multiply-add by itself: half of the least number twice.
  EXPECT_EQ(pair_product({least, least}, {0.5f, 0.5f}), 0.0f);
  EXPECT_EQ(pair_product({1, least}, {least, -0.5f}), least);
  // Less than the least number, but not when rounded to 24 bits.
  EXPECT_EQ(pair_product({-0x1p-76f, least}, {0x1p-76f, 1}), least);
  // Then too, although it is the least number when rounded as denormals are.
  EXPECT_EQ(pair_product({-0x1.8p-75f, least}, {0x1p-76f, 1}), 0.0f);
}

TEST(ContractPairs, SignsOfZero) {
  const float tiny = 0x1p-100f;
  EXPECT_FALSE(std::signbit(pair_product({-0.0f}, {1})));
  // What underflows keeps its sign, unless +0 is added: by the next pair, or where none is left.
  EXPECT_TRUE(std::signbit(pair_product({-tiny, 0}, {tiny, 0})));
  EXPECT_FALSE(std::signbit(pair_product({0, -tiny}, {0, tiny})));
  EXPECT_FALSE(std::signbit(pair_product({-tiny, 0, 0}, {tiny, 0, -0.0f})));
}

TEST(ContractPairs, InfinitiesAndNaN) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(pair_product({0x1p127f, 0x1p127f}, {2, 1}), infinity);
  EXPECT_EQ(pair_product({0x1p127f, 0x1p127f}, {2, -1}), 0x1p127f);
  EXPECT_TRUE(std::isnan(pair_product({infinity, 0}, {0, 1})));
  EXPECT_TRUE(std::isnan(pair_product({infinity, -infinity}, {1, 1})));
  EXPECT_EQ(pair_product({infinity}, {1}), infinity);
}

TEST(Array, StridedCopyIsEveryAffineView) {
  ArrayValue a(DType::Int64, {2, 3});
  for (int64_t i = 0; i < 6; ++i) set_element(a, i, static_cast<Container>(i));
  const auto values = [](const ArrayValue& v) {
    return std::vector<int64_t>(v.as<int64_t>(), v.as<int64_t>() + v.size());
  };
  EXPECT_EQ(values(strided_copy(a, {3, 2}, 0, {1, 3})), (std::vector<int64_t>{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(values(strided_copy(a, {2, 2}, 5, {-3, -1})), (std::vector<int64_t>{5, 4, 2, 1}));
  EXPECT_EQ(values(strided_copy(a, {2, 2}, 1, {0, 0})), (std::vector<int64_t>{1, 1, 1, 1}));
  EXPECT_EQ(strided_copy(a, {0, 2}, 99, {1, 1}).size(), 0);
}

}  // namespace
}  // namespace flambeau::ir
