// Rows whose results are exact: arithmetic, comparisons, logic, conversions, random bits.

#include <gtest/gtest.h>

#include <bit>
#include <limits>

#include "base/error.h"
#include "prim/build.h"
#include "tests/prim/samples.h"
#include "tests/prim/ulp.h"

namespace flambeau::testing {

std::vector<std::string_view> rows_tested_exactly() {
  return {"add",         "sub",         "mul",        "div",         "neg",         "remainder",
          "fma",         "minimum",     "maximum",    "select",      "convert",     "bitcast",
          "abs",         "floor",       "ceil",       "trunc",       "round",       "stop_gradient",
          "eq",          "ne",          "lt",         "le",          "gt",          "ge",
          "is_nan",      "logical_and", "logical_or", "logical_xor", "logical_not", "shift_left",
          "shift_right", "philox",      "complex",    "real",        "imag",        "conj",
          "modulus"};
}

namespace {

using ir::ArrayValue;
using ir::Expr;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class T>
ArrayValue array_of(DType dtype, std::initializer_list<T> values) {
  ArrayValue out(dtype, {static_cast<int64_t>(values.size())});
  std::copy(values.begin(), values.end(), out.as<T>());
  return out;
}

/// The row `name` of prim/build.h on `arguments`.
ArrayValue apply(std::string_view name, const std::vector<ArrayValue>& arguments,
                 ir::Attributes attributes = {}) {
  const ir::Program program =
      program_of(*ir::find_primitive(name), {arguments, std::move(attributes)});
  return ir::interpret(program, arguments, {}, {})[0];
}

/// Bit for bit, but any NaN for NaN.
template <class T>
void expect_elements(const ArrayValue& got, std::initializer_list<T> wanted,
                     std::string_view what) {
  ASSERT_EQ(got.size(), static_cast<int64_t>(wanted.size())) << what;
  const T* element = got.as<T>();
  for (const T& value : wanted) {
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isnan(value)) {
        EXPECT_TRUE(std::isnan(*element)) << what;
        ++element;
        continue;
      }
      EXPECT_EQ(std::signbit(*element), std::signbit(value)) << what;
    }
    EXPECT_EQ(*element++, value) << what;
  }
}

using Doubles = std::initializer_list<double>;
using Longs = std::initializer_list<int64_t>;
using Bools = std::initializer_list<bool>;
constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
constexpr int64_t kGreatest = std::numeric_limits<int64_t>::max();

void on_doubles(std::string_view name, Doubles a, Doubles b, Doubles wanted) {
  expect_elements(apply(name, {array_of(DType::Float64, a), array_of(DType::Float64, b)}), wanted,
                  name);
}
void on_doubles(std::string_view name, Doubles a, Doubles wanted) {
  expect_elements(apply(name, {array_of(DType::Float64, a)}), wanted, name);
}
void on_longs(std::string_view name, Longs a, Longs b, Longs wanted) {
  expect_elements(apply(name, {array_of(DType::Int64, a), array_of(DType::Int64, b)}), wanted,
                  name);
}

TEST(Elementwise, Arithmetic) {
  on_doubles("add", {1, -0.0, kInfinity}, {0.5, -0.0, -kInfinity}, {1.5, -0.0, kNaN});
  on_doubles("sub", {1, 0, kInfinity}, {0.5, 0, kInfinity}, {0.5, 0, kNaN});
  on_doubles("mul", {3, -0.0, kInfinity}, {0.5, 2, 0}, {1.5, -0.0, kNaN});
  on_doubles("div", {3, -1, 0}, {2, 0, 0}, {1.5, -kInfinity, kNaN});
  on_doubles("neg", {3, 0.0}, {-3, -0.0});
  on_doubles("remainder", {5.5, -5.5, 5.5, 1, -0.0}, {2, 2, -2, 0, 3},
             {1.5, -1.5, 1.5, kNaN, -0.0});
  on_doubles("abs", {-3, -0.0, -kInfinity, kNaN}, {3, 0, kInfinity, kNaN});
  on_doubles("floor", {-1.5, 1.5, -0.0}, {-2, 1, -0.0});
  on_doubles("ceil", {-1.5, 1.5, -0.5}, {-1, 2, -0.0});
  on_doubles("trunc", {-1.5, 1.5, -0.5}, {-1, 1, -0.0});
  on_doubles("round", {0.5, 1.5, 2.5, -0.5}, {0, 2, 2, -0.0});
  on_doubles("minimum", {1, 0, -0.0, kNaN, 1}, {2, -0.0, 0, 1, kNaN}, {1, -0.0, -0.0, kNaN, kNaN});
  on_doubles("maximum", {1, 0, -0.0, kNaN, 1}, {2, -0.0, 0, 1, kNaN}, {2, 0, 0, kNaN, kNaN});
  on_doubles("stop_gradient", {1, -0.0, kNaN}, {1, -0.0, kNaN});
  // 1 + 2^-53 rounds to 1 unless the product is exact.
  const ArrayValue tiny = array_of<double>(DType::Float64, {1 + 0x1p-30});
  const ArrayValue minus = array_of<double>(DType::Float64, {-(1 + 0x1p-29)});
  expect_elements(apply("fma", {tiny, tiny, minus}), {0x1p-60}, "fma");
}

TEST(Elementwise, IntegerArithmetic) {
  on_longs("add", {kGreatest, 2}, {1, 3}, {kLeast, 5});
  on_longs("sub", {kLeast, 2}, {1, 3}, {kGreatest, -1});
  on_longs("mul", {kGreatest, -2}, {2, 3}, {-2, -6});
  on_longs("div", {7, -7, 5, kLeast}, {2, 2, 0, -1}, {3, -3, 0, kLeast});
  on_longs("remainder", {7, -7, 5, kLeast}, {2, 2, 0, -1}, {1, -1, 0, 0});
  on_longs("minimum", {1, -5}, {-1, 7}, {-1, -5});
  on_longs("maximum", {1, -5}, {-1, 7}, {1, 7});
  expect_elements<int64_t>(apply("abs", {array_of<int64_t>(DType::Int64, {-3, kLeast})}),
                           {3, kLeast}, "abs");
  expect_elements<int64_t>(apply("neg", {array_of<int64_t>(DType::Int64, {-3, kLeast})}),
                           {3, kLeast}, "neg");
  expect_elements<uint8_t>(
      apply("add", {array_of<uint8_t>(DType::UInt8, {250}), array_of<uint8_t>(DType::UInt8, {10})}),
      {4}, "add");
}

TEST(Elementwise, Comparisons) {
  const ArrayValue a = array_of<double>(DType::Float64, {1, 2, -0.0, kNaN});
  const ArrayValue b = array_of<double>(DType::Float64, {2, 1, 0, kNaN});
  expect_elements<bool>(apply("eq", {a, b}), {false, false, true, false}, "eq");
  expect_elements<bool>(apply("ne", {a, b}), {true, true, false, true}, "ne");
  expect_elements<bool>(apply("lt", {a, b}), {true, false, false, false}, "lt");
  expect_elements<bool>(apply("le", {a, b}), {true, false, true, false}, "le");
  expect_elements<bool>(apply("gt", {a, b}), {false, true, false, false}, "gt");
  expect_elements<bool>(apply("ge", {a, b}), {false, true, true, false}, "ge");
  expect_elements<bool>(apply("is_nan", {a}), {false, false, false, true}, "is_nan");
}

TEST(Elementwise, Logic) {
  on_longs("logical_and", {12, -1}, {10, 5}, {8, 5});
  on_longs("logical_or", {12, 0}, {10, 5}, {14, 5});
  on_longs("logical_xor", {12, -1}, {10, 5}, {6, -6});
  on_longs("shift_left", {1, 1, 3}, {4, 65, 63}, {16, 2, kLeast});
  on_longs("shift_right", {16, -16, 5}, {2, 2, 64}, {4, -4, 5});
  expect_elements<int64_t>(apply("logical_not", {array_of<int64_t>(DType::Int64, {0, 5})}),
                           {-1, -6}, "logical_not");
  const ArrayValue t = array_of<bool>(DType::Bool, {true, true, false, false});
  const ArrayValue u = array_of<bool>(DType::Bool, {true, false, true, false});
  expect_elements<bool>(apply("logical_and", {t, u}), {true, false, false, false}, "logical_and");
  expect_elements<bool>(apply("logical_xor", {t, u}), {false, true, true, false}, "logical_xor");
  expect_elements<bool>(apply("logical_not", {t}), {false, false, true, true}, "logical_not");
  const ArrayValue x = array_of<double>(DType::Float64, {1, 2, 3, 4});
  const ArrayValue y = array_of<double>(DType::Float64, {5, 6, 7, 8});
  expect_elements<double>(apply("select", {u, x, y}), {1, 6, 3, 8}, "select");
}

TEST(Elementwise, Conversions) {
  const auto to = [](DType dtype) { return ir::Attributes{.index = static_cast<int>(dtype)}; };
  const ArrayValue x = array_of<double>(DType::Float64, {-1.9, 300.5, kNaN, 1e30});
  expect_elements<int64_t>(apply("convert", {x}, to(DType::Int64)), {-1, 300, kLeast, kLeast},
                           "int64");
  expect_elements<bool>(apply("convert", {x}, to(DType::Bool)), {true, true, true, true}, "bool");
  expect_elements<float>(
      apply("convert", {array_of<double>(DType::Float64, {1 + 0x1p-24})}, to(DType::Float32)), {1},
      "float32");
  // Halves round once: 1 + 2^-8 + 2^-24 is above the tie between two bfloat16.
  const ArrayValue wide = array_of<float>(DType::Float32, {1 + 0x1p-8F, 1 + 0x1p-8F + 0x1p-23F});
  expect_elements<uint16_t>(apply("convert", {wide}, to(DType::BFloat16)), {0x3f80, 0x3f81},
                            "bf16");
  expect_elements<int64_t>(
      apply("bitcast", {array_of<double>(DType::Float64, {1})}, to(DType::Int64)),
      {0x3ff0000000000000}, "bitcast");
  EXPECT_THROW(apply("bitcast", {x}, to(DType::Int32)), InternalError);
}

TEST(Elementwise, HalvesComputeInFloat32AndRoundOnce) {
  // In bfloat16, 1 + 2^-8 ties to 1; fma of 1 * 2^-8 + (1 + 2^-7) must not see that.
  const ArrayValue one = array_of<uint16_t>(DType::BFloat16, {0x3f80});
  const ArrayValue tiny = array_of<uint16_t>(DType::BFloat16, {0x3b80});
  const ArrayValue next = array_of<uint16_t>(DType::BFloat16, {0x3f81});
  expect_elements<uint16_t>(apply("fma", {one, tiny, next}), {0x3f82}, "fma");
  expect_elements<uint16_t>(apply("exp", {array_of<uint16_t>(DType::BFloat16, {0})}), {0x3f80},
                            "exp");
}

TEST(Elementwise, PhiloxGivesTheKnownAnswers) {
  // Random123's kat_vectors for philox2x32-7. The first word is the upper one of a block; the upper
  // word of its counter is here the exclusive or of that of the block's number and of the key.
  struct Known {
    int64_t key, block;
    uint64_t bits;
  };
  const int64_t top = kLeast;
  const std::vector<Known> known = {
      {0, 0, 0x257a3673cd26be2a},
      {top | top >> 1 | 0xffffffff, 0x3fffffffffffffff, 0xab302c4d3dc9d239},
      {top | 0x13198a2e, 0x05a308d3243f6a88, 0xbedbbe6be4c770b3},
  };
  for (const auto& [key, block, bits] : known) {
    const auto first = static_cast<int64_t>(static_cast<uint64_t>(block) * 4);
    const auto turned = [bits = bits](int by) {
      return static_cast<int32_t>(std::rotl(bits, by) >> 32);
    };
    expect_elements<int32_t>(
        apply("philox",
              {array_of<int64_t>(DType::Int64, {key, key, key, key}),
               array_of<int64_t>(DType::Int64, {first, first + 1, first + 2, first + 3})}),
        {turned(0), turned(16), turned(32), turned(48)}, "philox");
  }
}

TEST(Elementwise, PhiloxTellsItsOperandsApart) {
  const ArrayValue keys = array_of<int64_t>(DType::Int64, {0, 1, int64_t{1} << 32, 0, 0, 0});
  const ArrayValue places = array_of<int64_t>(DType::Int64, {0, 0, 0, 1, 2, int64_t{1} << 35});
  const ArrayValue words = apply("philox", {keys, places});
  for (int64_t i = 0; i < 6; ++i)
    for (int64_t j = 0; j < i; ++j)
      EXPECT_NE(words.as<int32_t>()[i], words.as<int32_t>()[j]) << i << " " << j;
}

TEST(Elementwise, WrongOperandsAreRefusedByName) {
  const ArrayValue x = array_of<double>(DType::Float64, {1, 2});
  const ArrayValue longer = array_of<double>(DType::Float64, {1, 2, 3});
  const ArrayValue n = array_of<int64_t>(DType::Int64, {1, 2});
  const auto text_of = [](const auto& call) {
    try {
      call();
    } catch (const InternalError& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_NE(
      text_of([&] { apply("add", {x, n}); }).find("add: operands of dtypes float64 and int64"),
      std::string::npos);
  EXPECT_NE(text_of([&] { apply("mul", {x, longer}); }).find("mul: operands of shapes [2] and [3]"),
            std::string::npos);
  EXPECT_NE(
      text_of([&] { apply("exp", {n}); }).find("exp: not defined for operands of dtype int64"),
      std::string::npos);
  EXPECT_NE(
      text_of([&] { apply("select", {x, x, x}); }).find("select: a condition of dtype float64"),
      std::string::npos);
}

}  // namespace
}  // namespace flambeau::testing
