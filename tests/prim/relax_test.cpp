// numerics="fast": what each rewrite makes, and that random programs keep their values but for
// rounding.

#include "prim/relax.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "base/error.h"
#include "ir/array.h"
#include "ir/interpreter.h"
#include "prim/build.h"

namespace flambeau::testing {
namespace {

using ir::Dim;
using ir::Expr;

/// The program of one result that `make` makes of parameters of [4, 6] and [4, 1].
template <class Make>
ir::Program program_of(const Make& make) {
  ir::Builder builder;
  const Expr x = builder.parameter(DType::Float32, {Dim::size(0, 0), Dim::size(0, 1)});
  const Expr y = builder.parameter(DType::Float32, {Dim::size(0, 0), Dim(1)});
  const Expr result = make(x, y);
  return builder.finish({&result, 1});
}

template <class From, class To>
void expect_relaxed(const From& from, const To& to) {
  EXPECT_EQ(prim::relax(program_of(from)).text(), program_of(to).text());
}

using namespace prim;  // NOLINT(google-build-using-namespace): operators

Expr plus_zero(const Expr& x) {
  return elementwise("add", {x, broadcast_to(constant(x, DType::Float32, -0.0), x.shape())});
}
Expr rounded(const Expr& x) { return convert(convert(x, DType::BFloat16), DType::Float32); }

TEST(Relax, ZerosAndConstants) {
  expect_relaxed([](const Expr& x, const Expr&) { return exp(plus_zero(x)); },
                 [](const Expr& x, const Expr&) { return exp(x); });
  expect_relaxed([](const Expr& x, const Expr&) { return (x * 3.0) * 0.5; },
                 [](const Expr& x, const Expr&) { return x * 1.5; });
  expect_relaxed([](const Expr& x, const Expr&) { return (x + 3.0) + 0.5; },
                 [](const Expr& x, const Expr&) { return x + 3.5; });
  expect_relaxed([](const Expr& x, const Expr&) { return (x * 1e-30) * 1e-30; },
                 [](const Expr& x, const Expr&) { return (x * 1e-30) * 1e-30 * 1.0; });
  expect_relaxed([](const Expr& x, const Expr&) { return x / 3.0; },
                 [](const Expr& x, const Expr&) { return x * (1 / 3.0); });
  expect_relaxed([](const Expr& x, const Expr&) { return x / 0.0; },
                 [](const Expr& x, const Expr&) { return x / 0.0; });
}

TEST(Relax, DivisionsByWhatIsStretched) {
  expect_relaxed([](const Expr& x, const Expr&) { return x / sum(exp(x), Ints{1}); },
                 [](const Expr& x, const Expr&) {
                   const Expr inverse = 1.0 / sum(exp(x), Ints{1}, false);
                   return x * broadcast(inverse, Ints{0}, x.shape());
                 });
  // The least numbers have no inverse.
  expect_relaxed([](const Expr& x, const Expr& y) { return x / y; },
                 [](const Expr& x, const Expr& y) {
                   const Expr is_tiny = lt(abs(y), 0x1p-100);
                   const Expr large =
                       broadcast_to(constant(y, y.dtype(), Scalar(0x1p+64)), y.shape());
                   const Expr scale = select(is_tiny, large, 1.0);
                   return x * scale * (1.0 / (y * scale));
                 });
  expect_relaxed([](const Expr&, const Expr& y) { return y / y; },
                 [](const Expr&, const Expr& y) { return y / y; });
}

TEST(Relax, HalvesAreNotRoundedInBetween) {
  expect_relaxed([](const Expr& x, const Expr&) { return exp(rounded(x)); },
                 [](const Expr& x, const Expr&) { return exp(x); });
  // Products of bfloat16 values stay such.
  expect_relaxed(
      [](const Expr& x, const Expr&) { return contract(rounded(x), transpose(rounded(x), 0, 1)); },
      [](const Expr& x, const Expr&) { return contract(rounded(x), transpose(rounded(x), 0, 1)); });
}

TEST(Relax, ProductsJoinSums) {
  expect_relaxed(
      [](const Expr& x, const Expr& y) { return x * x + y; },
      [](const Expr& x, const Expr& y) { return fma(x, x, broadcast_to(y, x.shape())); });
  expect_relaxed(
      [](const Expr& x, const Expr& y) { return y + x * x; },
      [](const Expr& x, const Expr& y) { return fma(x, x, broadcast_to(y, x.shape())); });
}

/// Sums, products and quotients of positive values, which all keep the relative error small.
ir::Program random_program(uint64_t seed, bool& halves) {
  std::mt19937_64 random(seed);
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  ir::Builder builder;
  const ir::Shape whole = {Dim::size(0, 0), Dim::size(0, 1)};
  std::vector<Expr> values = {builder.parameter(DType::Float32, whole),
                              builder.parameter(DType::Float32, {Dim::size(0, 0), Dim(1)})};
  const auto any = [&] {
    return values[values.size() - 1 - below(std::min<size_t>(values.size(), 5))];
  };
  const auto number = [&] { return 0.5 + static_cast<double>(below(16)) / 8; };
  for (size_t i = 3 + below(20); i > 0; --i) {
    const Expr a = any();
    switch (below(9)) {
      case 0:
        values.push_back(a + any());
        break;
      case 1:
        values.push_back(a * any());
        break;
      case 2:
        values.push_back(a / any());
        break;
      case 3:
        values.push_back(a * number());
        break;
      case 4:
        values.push_back(a + number());
        break;
      case 5:
        values.push_back(a / number());
        break;
      case 6:
        values.push_back(plus_zero(a));
        break;
      case 7:
        values.push_back(sqrt(sum(a, {{1}}) * 0.125));
        break;
      default:
        values.push_back(rounded(a));
        halves = true;
        break;
    }
  }
  return builder.finish({&values.back(), 1});
}

TEST(Relax, RandomProgramsKeepTheirValues) {
  size_t changed = 0;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    bool halves = false;
    const ir::Program program = random_program(seed, halves);
    const ir::Program fast = prim::relax(program);
    ir::verify(fast);
    changed += program.text() != fast.text() ? 1 : 0;
    std::mt19937_64 random(seed);
    std::vector<ir::ArrayValue> arrays = {ir::ArrayValue(DType::Float32, {4, 6}),
                                          ir::ArrayValue(DType::Float32, {4, 1})};
    for (ir::ArrayValue& array : arrays)
      for (int64_t i = 0; i < array.size(); ++i)
        ir::set_element(
            array, i,
            ir::convert_element(
                DType::Float32, DType::Float64,
                std::bit_cast<uint64_t>(0.5 + static_cast<double>(random() % 1000) / 1000)));
    const ir::ArrayValue want = ir::interpret(program, arrays, {}, {})[0];
    const ir::ArrayValue got = ir::interpret(fast, arrays, {}, {})[0];
    ASSERT_EQ(want.shape, got.shape);
    for (int64_t i = 0; i < want.size(); ++i) {
      const double a = ir::to_double(want.dtype, ir::element(want, i));
      const double b = ir::to_double(got.dtype, ir::element(got, i));
      if (!std::isfinite(a) || std::abs(a) < 1e-30 || std::abs(a) > 1e30) continue;
      ASSERT_NEAR(b / a, 1, halves ? 0.2 : 1e-5) << "seed " << seed << "\n"
                                                 << program.text() << fast.text();
    }
  }
  EXPECT_GT(changed, 300U);
}

}  // namespace
}  // namespace flambeau::testing
