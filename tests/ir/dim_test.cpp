#include "ir/dim.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "base/error.h"

namespace flambeau::ir {
namespace {

const Dim kS = Dim::size(0, 1);
const Dim kN = Dim::integer(3);

TEST(Dim, TextIsWhatTheHeaderSays) {
  EXPECT_EQ((kS + 1).floor_div(2).text(), "((s0.1 + 1) // 2)");
  EXPECT_EQ((4 * kS).text(), "(s0.1 * 4)");
  EXPECT_EQ(kS.mod(kN).text(), "(s0.1 % n3)");
  EXPECT_EQ(min(kN, kS).text(), "min(s0.1, n3)");
  EXPECT_EQ(Dim(-3).text(), "-3");
}

TEST(Dim, SimplifiesIdentities) {
  EXPECT_EQ(kS + 0, kS);
  EXPECT_EQ(kS * 1, kS);
  EXPECT_EQ(kS - kS, Dim(0));
  EXPECT_EQ(kS.floor_div(1), kS);
  EXPECT_EQ(kS * 0, Dim(0));
  EXPECT_EQ(kS.mod(1), Dim(0));
  EXPECT_EQ((kS + 3) - 3, kS);
  EXPECT_EQ((kS + kN) - kN, kS);
  EXPECT_EQ((kS - kN) + kN, kS);
  EXPECT_EQ(min(kS, kS), kS);
  EXPECT_EQ(Dim(7) * 6, Dim(42));
}

TEST(Dim, OrdersCommutativeOperands) {
  EXPECT_EQ(kS + kN, kN + kS);
  EXPECT_EQ(kS * kN, kN * kS);
  EXPECT_EQ(max(kS, 2), max(2, kS));
  EXPECT_FALSE(kS - kN == kN - kS);
  EXPECT_FALSE(kS == Dim::size(1, 1));
  EXPECT_FALSE(kS == Dim::size(0, 0));
  EXPECT_FALSE(Dim::integer(0) == Dim::integer(1));
}

TEST(Dim, DividesAsPythonDoes) {
  EXPECT_EQ(Dim(-7).floor_div(2), Dim(-4));
  EXPECT_EQ(Dim(7).floor_div(-2), Dim(-4));
  EXPECT_EQ(Dim(-7).mod(3), Dim(2));
  EXPECT_EQ(Dim(7).mod(-3), Dim(-2));
  EXPECT_EQ(Dim(7).ceil_div(2), Dim(4));
  EXPECT_EQ(Dim(7).floor_div(0), Dim(0));
  EXPECT_EQ(Dim(7).mod(0), Dim(0));
  const int64_t least = std::numeric_limits<int64_t>::min();
  EXPECT_EQ(Dim(least).floor_div(-1), Dim(least));
}

TEST(Dim, ConstantOfAnExpressionThrows) { EXPECT_THROW(kS.constant(), InternalError); }

TEST(Dim, SubstitutesLeaves) {
  const Dim d = (kS + kN).floor_div(2);
  const Dim replaced =
      d.substitute([](int parameter, int axis) { return Dim(10 + parameter + axis); },
                   [](int slot) { return Dim(slot); });
  EXPECT_EQ(replaced, Dim(7));
}

TEST(Dim, RejectsWhatTextNeverWrites) {
  for (const char* bad : {"", "s", "s0", "s0.", "s-1.0", "x", "(1 + 2", "(1 ^ 2)", "(s0.0 +1)",
                          "min(1,2)", "99999999999999999999"}) {
    std::string_view text = bad;
    EXPECT_THROW(Dim::parse(text), ValueError) << bad;
  }
  const std::string deep(100000, '(');
  std::string_view text = deep;
  EXPECT_THROW(Dim::parse(text), ValueError);
}

/// A random expression and, beside it, its value computed on plain integers.
struct Random {
  struct Pair {
    Dim dim;
    int64_t value;
  };
  std::mt19937 engine{7};
  std::vector<std::vector<int64_t>> sizes{{5, 0, 3}, {1, 17}};
  std::vector<int64_t> integers{-4, 9, 2};

  int pick(int count) { return static_cast<int>(engine() % static_cast<unsigned>(count)); }

  Pair leaf() {
    switch (pick(3)) {
      case 0: {
        const int64_t value = pick(9) - 4;
        return {Dim(value), value};
      }
      case 1: {
        const int parameter = pick(2);
        const auto& extents = sizes[static_cast<size_t>(parameter)];
        const int axis = pick(static_cast<int>(extents.size()));
        return {Dim::size(parameter, axis), extents[static_cast<size_t>(axis)]};
      }
      default: {
        const int slot = pick(3);
        return {Dim::integer(slot), integers[static_cast<size_t>(slot)]};
      }
    }
  }

  Pair expression(int depth) {
    if (depth == 0 || pick(5) == 0) return leaf();
    const auto [a, x] = expression(depth - 1);
    const auto [b, y] = expression(depth - 1);
    const auto floored = [](int64_t p, int64_t q) {
      int64_t out = p / q;
      while (out * q > p && q > 0) --out;
      while (out * q < p && q < 0) --out;
      return out;
    };
    switch (pick(7)) {
      case 0:
        return {a + b, x + y};
      case 1:
        return {a - b, x - y};
      case 2:
        return {a * b, x * y};
      case 3:
        return {a.floor_div(b), y == 0 ? 0 : floored(x, y)};
      case 4:
        return {a.mod(b), y == 0 ? 0 : x - floored(x, y) * y};
      case 5:
        return {min(a, b), std::min(x, y)};
      default:
        return {max(a, b), std::max(x, y)};
    }
  }
};

TEST(Dim, RandomExpressionsHaveTheirValueAndReadBack) {
  Random random;
  const int64_t* sizes[] = {random.sizes[0].data(), random.sizes[1].data()};
  const DimBindings bindings{sizes, random.integers.data()};
  for (int i = 0; i < 20000; ++i) {
    const auto [dim, value] = random.expression(4);
    ASSERT_EQ(dim.evaluate(bindings), value) << dim.text();
    const std::string written = dim.text();
    std::string_view text = written;
    const Dim back = Dim::parse(text);
    ASSERT_TRUE(text.empty());
    ASSERT_TRUE(back == dim) << written << " read back as " << back.text();
    Hasher one, two;
    dim.hash_into(one);
    back.hash_into(two);
    ASSERT_EQ(one.finish(), two.finish());
  }
}

TEST(Dim, ElementCount) {
  EXPECT_EQ(element_count(Shape{}), Dim(1));
  EXPECT_EQ(element_count(Shape{kS, 1, 3}), kS * 3);
}

}  // namespace
}  // namespace flambeau::ir
