// Contractions of bfloat16 values against the definition, to the bit, on every level: in pairs
// where the CPU has products of them, in one chain elsewhere.

#include <gtest/gtest.h>

#include "base/half.h"
#include "ir/array.h"
#include "ir/order.h"
#include "runtime/thread_pool.h"
#include "tests/codegen/contraction_support.h"

namespace flambeau::testing {
namespace {

/// Random bfloat16 numbers; `special`: with zeros, denormals, infinities and NaN, and so small that
/// products and sums underflow.
class RandomBFloat16 {
 public:
  RandomBFloat16(unsigned seed, bool special) : generator_(seed), special_(special) {}
  uint16_t operator()() {
    const auto bits = static_cast<uint16_t>(generator_());
    const unsigned kind = special_ ? generator_() % 64 : 63;
    if (kind == 0) return static_cast<uint16_t>((bits & 0x8000) | (generator_() % 8 ? 0 : 0x7f80));
    if (kind < 3) return bits & 0x80ff;  // denormal, or just normal
    if (kind == 3) return generator_() % 8 != 0 ? 0x8000 : 0x7fc1;
    // Around 2^-63, so that products are around the least normal number; or around 1.
    const unsigned exponent = (kind < 40 ? 60u : 120u) + generator_() % 8;
    return static_cast<uint16_t>((bits & 0x807f) | exponent << 7);
  }

 private:
  std::mt19937 generator_;
  bool special_;
};

/// [rows, columns] of bfloat16 values in guarded memory, as bfloat16 or as float32.
struct Values {
  Values(DType dtype, Layout layout, int64_t batch, int64_t rows, int64_t columns, bool at_start)
      : dtype(dtype),
        geometry(layout, batch, rows, columns),
        memory(static_cast<size_t>(geometry.elements()) * size_of(dtype), at_start),
        value(DType::BFloat16, {batch, rows, columns}) {}

  void fill(RandomBFloat16 random) {
    int64_t i = 0;
    for (int64_t p = 0; p < geometry.batch; ++p)
      for (int64_t row = 0; row < geometry.rows; ++row)
        for (int64_t column = 0; column < geometry.columns; ++column) {
          const uint16_t bits = random();
          const auto at = static_cast<size_t>(geometry.at(p, row, column));
          if (dtype == DType::BFloat16)
            static_cast<uint16_t*>(memory.data())[at] = bits;
          else
            static_cast<float*>(memory.data())[at] = bfloat16_to_float(bits);
          value.as<uint16_t>()[i++] = bits;
        }
  }
  PlacedArguments::Matrix argument() const {
    return {memory.data(), {geometry.batch_stride}, geometry.row_stride, geometry.column_stride};
  }

  DType dtype;
  Geometry geometry;
  GuardedMemory memory;
  ir::ArrayValue value;
};

ContractionKernel kernel_of(DType a, DType b, Isa isa) {
  ir::Contraction contraction = ir::plain_contraction(a, b, DType::Float32);
  contraction.of_bfloat16 = true;
  return make_kernel(contraction, isa);
}

struct Case {
  int64_t batch, m, n, k;
  Layout a = Layout::RowMajor, b = Layout::RowMajor;
  DType a_dtype = DType::BFloat16, b_dtype = DType::BFloat16;
};

int64_t differing(const ir::ArrayValue& want, const Matrix<float>& got) {
  int64_t wrong = 0;
  int64_t i = 0;
  for (int64_t p = 0; p < got.geometry.batch; ++p)
    for (int64_t row = 0; row < got.geometry.rows; ++row)
      for (int64_t column = 0; column < got.geometry.columns; ++column, ++i) {
        const float x = want.as<float>()[i], y = got(p, row, column);
        wrong += std::isnan(x) ? !std::isnan(y) : std::memcmp(&x, &y, sizeof x) != 0;
      }
  return wrong;
}

void check_case(const Case& test, bool special) {
  const auto seed = static_cast<unsigned>(test.m * 1000003 + test.n * 1009 + test.k);
  Values a(test.a_dtype, test.a, test.batch, test.m, test.k, false);
  Values b(test.b_dtype, test.b, test.batch, test.k, test.n, test.k % 4 == 0);
  a.fill({seed, special});
  b.fill({seed + 1, special});
  ir::ArrayValue wants[2];
  for (const Isa isa : isas()) {
    ir::ArrayValue& want = wants[has_pair_products(isa) ? 1 : 0];
    if (want.shape.empty())
      want = ir::contract_in_order(a.value, b.value, DType::Float32, has_pair_products(isa));
    const ContractionKernel kernel = kernel_of(test.a_dtype, test.b_dtype, isa);
    for (const Layout layout : {Layout::RowMajor, Layout::ColumnMajor}) {
      Matrix<float> out(Geometry(layout, test.batch, test.m, test.n));
      PlacedArguments arguments;
      arguments.a = a.argument();
      arguments.b = b.argument();
      arguments.out = out.argument();
      arguments.batch = {test.batch};
      arguments.m = test.m;
      arguments.n = test.n;
      arguments.k = test.k;
      run_contraction(kernel, arguments);
      EXPECT_EQ(differing(want, out), 0)
          << isa_name(isa) << " batch " << test.batch << " m " << test.m << " n " << test.n << " k "
          << test.k << " layouts " << static_cast<int>(test.a) << static_cast<int>(test.b)
          << static_cast<int>(layout) << (special ? " special" : "");
    }
  }
}

const Layout kLayouts[] = {Layout::RowMajor, Layout::ColumnMajor, Layout::Padded, Layout::Strided};

TEST(ContractionPairs, EveryDepthAroundBlocks) {
  for (const int64_t k : {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 255, 256, 257, 258, 511, 513})
    for (const bool special : {false, true})
      for (const Layout a : kLayouts) {
        check_case({1, 5, 33, k, a, Layout::RowMajor}, special);
        check_case({1, 17, 19, k, a, Layout::ColumnMajor}, special);
      }
}

TEST(ContractionPairs, FewRowsAndColumns) {
  for (int64_t m = 1; m <= 16; ++m)
    for (const int64_t k : {1, 6, 63, 64, 300})
      for (const Layout layout : kLayouts) {
        check_case({1, m, 35, k, Layout::RowMajor, layout}, true);
        check_case({1, 35, m, k, layout, Layout::RowMajor}, false);
      }
}

// Their panels are shared, and the output is written row by row.
TEST(ContractionPairs, ShortK) {
  for (const int64_t k : {1, 2, 7, 15, 16})
    for (const int64_t n : {31, 64, 1024, 2080})
      check_case({1, 67, n, k, Layout::RowMajor, Layout::RowMajor}, true);
}

TEST(ContractionPairs, RandomShapesInBatches) {
  std::mt19937 generator(9);
  auto extent = [&] { return static_cast<int64_t>(generator() % 40 + 1); };
  for (int i = 0; i < 200; ++i)
    check_case({static_cast<int64_t>(generator() % 3 + 1), extent(), extent(), extent(),
                kLayouts[generator() % 4], kLayouts[generator() % 4]},
               i % 2 == 0);
}

TEST(ContractionPairs, LargeShapes) {
  check_case({1, 61, 107, 1031, Layout::RowMajor, Layout::RowMajor}, false);
  check_case({1, 111, 67, 520, Layout::ColumnMajor, Layout::ColumnMajor}, true);
  check_case({2, 50, 130, 259, Layout::Strided, Layout::Padded}, true);
  // Several groups of columns and of k.
  check_case({1, 61, 2100, 770, Layout::RowMajor, Layout::RowMajor}, false);
}

// What lowering reads as float32, since it was padded, still holds bfloat16 values.
TEST(ContractionPairs, OperandsInFloat32) {
  for (const int64_t k : {1, 2, 7, 8, 9, 31, 257})
    for (const Layout layout : kLayouts) {
      check_case({1, 9, 37, k, layout, layout, DType::Float32, DType::BFloat16}, true);
      check_case({1, 9, 37, k, layout, layout, DType::BFloat16, DType::Float32}, true);
      check_case({1, 3, 37, k, layout, layout, DType::Float32, DType::Float32}, false);
    }
}

TEST(ContractionPairs, ThreadsAndBatchesChangeNoBit) {
  const int threads = get_num_threads();
  Values a(DType::BFloat16, Layout::RowMajor, 1, 137, 601, false);
  Values b(DType::BFloat16, Layout::ColumnMajor, 1, 601, 333, false);
  a.fill({1, false});
  b.fill({2, false});
  for (const Isa isa : isas()) {
    const ContractionKernel kernel = kernel_of(DType::BFloat16, DType::BFloat16, isa);
    Matrix<float> out(Geometry(Layout::RowMajor, 1, 137, 333));
    Matrix<float> part(Geometry(Layout::RowMajor, 1, 137, 333));
    PlacedArguments arguments;
    arguments.a = a.argument();
    arguments.b = b.argument();
    arguments.out = out.argument();
    arguments.batch = {1};
    arguments.m = 137;
    arguments.n = 333;
    arguments.k = 601;
    set_num_threads(1);
    run_contraction(kernel, arguments);
    arguments.out = part.argument();
    for (const int many : {2, 3}) {
      set_num_threads(many);
      run_contraction(kernel, arguments);
      EXPECT_EQ(std::memcmp(out.data(), part.data(), 137 * 333 * sizeof(float)), 0);
    }
    for (const int64_t rows : {1, 2, 5, 16})
      for (const int64_t first : {0, 14, 121}) {
        arguments.a.data = static_cast<uint16_t*>(a.memory.data()) + first * 601;
        arguments.m = rows;
        run_contraction(kernel, arguments);
        EXPECT_EQ(std::memcmp(&out(0, first, 0), part.data(),
                              static_cast<size_t>(rows) * 333 * sizeof(float)),
                  0)
            << isa_name(isa) << ' ' << rows << ' ' << first;
      }
  }
  set_num_threads(threads);
}

}  // namespace
}  // namespace flambeau::testing
