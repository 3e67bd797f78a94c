#include "tests/codegen/contraction_support.h"

#include <gtest/gtest.h>

#include "runtime/thread_pool.h"

namespace flambeau::testing {
namespace {

/// Kernels of float32 products, made once.
const ContractionKernel& float_kernel(Isa isa) {
  static std::map<Isa, ContractionKernel> kernels;
  return kernels
      .try_emplace(
          isa,
          make_kernel(ir::plain_contraction(DType::Float32, DType::Float32, DType::Float32), isa))
      .first->second;
}

PlacedArguments arguments_of(const Matrix<float>& a, const Matrix<float>& b,
                             const Matrix<float>& out) {
  PlacedArguments arguments;
  arguments.a = a.argument();
  arguments.b = b.argument();
  arguments.out = out.argument();
  arguments.batch = {out.geometry.batch};
  arguments.m = out.geometry.rows;
  arguments.n = out.geometry.columns;
  arguments.k = a.geometry.columns;
  return arguments;
}

struct Case {
  int64_t batch, m, n, k;
  Layout a, b, out;
  bool windows = false;  // the operands are given as windows
};

/// Positions of `extent`, a multiple of 4, as if they were of three axes.
ContractionArguments::Digits in_digits(int64_t extent, int64_t stride) {
  return {{extent / 4, 4 * stride}, {2, 2 * stride}, {2, stride}};
}

/// Runs `test` and compares every element with the definition, to the bit.
void check_float(const Case& test) {
  std::mt19937 generator(static_cast<unsigned>(test.m * 1000003 + test.n * 1009 + test.k));
  std::normal_distribution<float> normal;
  // Zeros of both signs too: a sum begins with +0.
  auto random = [&] {
    const float value = normal(generator);
    return std::abs(value) < 0.2f ? std::copysign(0.0f, value) : value;
  };
  Matrix<float> a(Geometry(test.a, test.batch, test.m, std::max<int64_t>(test.k, 1)));
  Matrix<float> b(Geometry(test.b, test.batch, std::max<int64_t>(test.k, 1), test.n),
                  test.k % 2 == 0);
  a.fill(random);
  b.fill(random);
  const Geometry out_geometry(test.out, test.batch, test.m, test.n);
  std::vector<float> expected(static_cast<size_t>(test.batch * test.m * test.n));
  size_t next = 0;
  for (int64_t p = 0; p < test.batch; ++p)
    for (int64_t i = 0; i < test.m; ++i)
      for (int64_t j = 0; j < test.n; ++j)
        expected[next++] = contract_element<float>(
            test.k, [&](int64_t k) { return a(p, i, k); }, [&](int64_t k) { return b(p, k, j); });
  for (const Isa isa : isas()) {
    Matrix<float> out(out_geometry);
    out.fill([] { return -77.0f; });
    PlacedArguments arguments = arguments_of(a, b, out);
    arguments.k = test.k;
    if (test.windows) {
      arguments.a.row_digits = in_digits(test.m, arguments.a.row_stride);
      arguments.b.row_digits = in_digits(test.k, arguments.b.row_stride);
      arguments.b.column_digits = in_digits(test.n, arguments.b.column_stride);
    }
    run_contraction(float_kernel(isa), arguments);
    next = 0;
    int64_t wrong = 0;
    for (int64_t p = 0; p < test.batch; ++p)
      for (int64_t i = 0; i < test.m; ++i)
        for (int64_t j = 0; j < test.n; ++j) {
          const float want = expected[next++], got = out(p, i, j);
          wrong += std::memcmp(&want, &got, sizeof want) != 0;
          out(p, i, j) = -77.0f;
        }
    EXPECT_EQ(wrong, 0) << isa_name(isa) << " batch " << test.batch << " m " << test.m << " n "
                        << test.n << " k " << test.k << " layouts " << static_cast<int>(test.a)
                        << static_cast<int>(test.b) << static_cast<int>(test.out);
    // Nothing between the output's elements was written.
    for (int64_t i = 0; i < out_geometry.elements(); ++i)
      ASSERT_EQ(out.data()[i], -77.0f) << "gap " << i;
  }
}

TEST(Contraction, WindowsFollowTheDefinition) {
  std::mt19937 generator(2);
  const Layout inputs[] = {Layout::RowMajor, Layout::ColumnMajor, Layout::Padded, Layout::Strided};
  auto extent = [&](unsigned most) { return static_cast<int64_t>(generator() % most + 1) * 4; };
  for (int i = 0; i < 120; ++i)
    check_float({static_cast<int64_t>(generator() % 3 + 1), extent(40), extent(40), extent(80),
                 inputs[generator() % 4], inputs[generator() % 4],
                 i % 2 == 0 ? Layout::RowMajor : Layout::ColumnMajor, true});
}

TEST(Contraction, SmallShapesFollowTheDefinition) {
  std::mt19937 generator(1);
  const Layout inputs[] = {Layout::RowMajor, Layout::ColumnMajor, Layout::Padded, Layout::Strided,
                           Layout::Broadcast};
  const Layout outputs[] = {Layout::RowMajor, Layout::ColumnMajor, Layout::Padded};
  auto extent = [&] { return static_cast<int64_t>(generator() % 40 + 1); };
  for (int i = 0; i < 600; ++i)
    check_float({static_cast<int64_t>(generator() % 3 + 1), extent(), extent(), extent(),
                 inputs[generator() % 5], inputs[generator() % 5], outputs[generator() % 3]});
}

// Where writing the output is most of the work, at and around the widths of vectors and panels.
TEST(Contraction, ShortK) {
  for (const int64_t k : {1, 2, 3, 4, 5, 15, 16, 17})
    for (const int64_t n : {1, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 4097}) {
      const int64_t m = n > 4096 ? 61 : 91;
      check_float({1, m, n, k, Layout::RowMajor, Layout::RowMajor, Layout::RowMajor});
      check_float({1, m, n, k, Layout::ColumnMajor, Layout::Padded, Layout::Padded});
    }
  // Rows of b that are half a page, a page and several apart; several groups of columns.
  for (const int64_t k : {1, 7, 16})
    for (const int64_t n : {512, 1024, 5120})
      for (const Layout a : {Layout::RowMajor, Layout::Padded})
        check_float({1, 71, n, k, a, Layout::RowMajor, Layout::RowMajor});
  check_float({3, 75, 50, 2, Layout::RowMajor, Layout::RowMajor, Layout::RowMajor});
  check_float({1, 50, 75, 1, Layout::Strided, Layout::ColumnMajor, Layout::ColumnMajor});
}

TEST(Contraction, BlocksOfKAreSummedInOrder) {
  for (const int64_t k : {255, 256, 257, 511, 512, 513, 1031})
    for (const Layout layout : {Layout::RowMajor, Layout::ColumnMajor, Layout::Strided})
      check_float({1, 37, 41, k, layout, layout, Layout::RowMajor});
}

TEST(Contraction, LargeShapes) {
  check_float({1, 211, 307, 521, Layout::RowMajor, Layout::RowMajor, Layout::RowMajor});
  check_float({1, 211, 1201, 67, Layout::ColumnMajor, Layout::ColumnMajor, Layout::RowMajor});
  check_float({1, 131, 137, 300, Layout::Strided, Layout::Strided, Layout::Padded});
  check_float({3, 131, 67, 300, Layout::RowMajor, Layout::Broadcast, Layout::RowMajor});
  check_float({1, 307, 5, 300, Layout::RowMajor, Layout::RowMajor, Layout::ColumnMajor});
  // Several groups of columns and of k.
  check_float({1, 101, 2100, 770, Layout::RowMajor, Layout::RowMajor, Layout::RowMajor});
}

TEST(Contraction, Vectors) {
  for (const int64_t k : {1, 7, 300})
    for (const Layout layout : {Layout::RowMajor, Layout::ColumnMajor, Layout::Strided}) {
      check_float({1, 1, 701, k, layout, layout, Layout::RowMajor});
      check_float({1, 2, 701, k, layout, layout, Layout::RowMajor});
      check_float({1, 701, 1, k, layout, layout, Layout::ColumnMajor});
      check_float({1, 1, 1, k, layout, layout, Layout::RowMajor});
    }
}

/// Restores the number of threads.
class ThreadCount {
 public:
  ~ThreadCount() { set_num_threads(before_); }

 private:
  int before_ = get_num_threads();
};

TEST(Contraction, ThreadsChangeNoBit) {
  const ThreadCount restore;
  Matrix<float> a(Geometry(Layout::RowMajor, 1, 300, 700));
  Matrix<float> b(Geometry(Layout::ColumnMajor, 1, 700, 900));
  std::mt19937 generator(3);
  std::normal_distribution<float> normal;
  a.fill([&] { return normal(generator); });
  b.fill([&] { return normal(generator); });
  std::vector<std::vector<float>> results;
  for (const int threads : {1, 2, 3}) {
    set_num_threads(threads);
    Matrix<float> out(Geometry(Layout::RowMajor, 1, 300, 900));
    run_contraction(float_kernel(Isa::Avx2), arguments_of(a, b, out));
    results.emplace_back(out.data(), out.data() + out.geometry.elements());
  }
  EXPECT_EQ(std::memcmp(results[0].data(), results[1].data(), results[0].size() * 4), 0);
  EXPECT_EQ(std::memcmp(results[0].data(), results[2].data(), results[0].size() * 4), 0);
}

TEST(Contraction, ARowAloneIsTheRowInItsBatch) {
  Matrix<float> a(Geometry(Layout::RowMajor, 1, 137, 600));
  Matrix<float> b(Geometry(Layout::RowMajor, 1, 600, 333));
  Matrix<float> out(Geometry(Layout::RowMajor, 1, 137, 333));
  Matrix<float> row(Geometry(Layout::RowMajor, 1, 1, 333));
  std::mt19937 generator(4);
  std::normal_distribution<float> normal;
  a.fill([&] { return normal(generator); });
  b.fill([&] { return normal(generator); });
  for (const Isa isa : isas()) {
    run_contraction(float_kernel(isa), arguments_of(a, b, out));
    for (const int64_t i : {0, 13, 14, 100, 136}) {
      PlacedArguments one = arguments_of(a, b, row);
      one.a.data = &a(0, i, 0);
      one.m = 1;
      run_contraction(float_kernel(isa), one);
      EXPECT_EQ(std::memcmp(row.data(), &out(0, i, 0), 333 * sizeof(float)), 0) << i;
    }
  }
}

// Batches that share b are rows of one product (or, sharing a, columns); strides may forbid it.
TEST(Contraction, SharedOperandsOfABatch) {
  for (const Layout layout : {Layout::RowMajor, Layout::Padded, Layout::ColumnMajor}) {
    check_float({5, 9, 20, 33, layout, Layout::Broadcast, Layout::RowMajor});
    check_float({5, 9, 20, 33, Layout::Broadcast, layout, Layout::ColumnMajor});
    check_float({5, 1, 20, 33, layout, Layout::Broadcast, Layout::RowMajor});
    check_float({5, 9, 1, 33, Layout::Broadcast, layout, Layout::RowMajor});
  }
  // Dense batches, so that rows do merge; and two batch axes.
  Matrix<float> a(Geometry(Layout::RowMajor, 1, 24, 30));
  Matrix<float> b(Geometry(Layout::RowMajor, 1, 30, 50));
  Matrix<float> whole(Geometry(Layout::RowMajor, 1, 24, 50));
  Matrix<float> batched(Geometry(Layout::RowMajor, 1, 24, 50));
  std::mt19937 generator(5);
  std::normal_distribution<float> normal;
  a.fill([&] { return normal(generator); });
  b.fill([&] { return normal(generator); });
  run_contraction(float_kernel(Isa::Avx2), arguments_of(a, b, whole));
  PlacedArguments arguments = arguments_of(a, b, batched);
  arguments.batch = {2, 1, 3};
  arguments.m = 4;
  arguments.a.batch_strides = {12 * 30, 7, 4 * 30};
  arguments.b.batch_strides = {0, 5, 0};
  arguments.out.batch_strides = {12 * 50, 3, 4 * 50};
  run_contraction(float_kernel(Isa::Avx2), arguments);
  EXPECT_EQ(std::memcmp(whole.data(), batched.data(), 24 * 50 * sizeof(float)), 0);
}

TEST(Contraction, EmptyExtents) {
  check_float({2, 5, 7, 0, Layout::RowMajor, Layout::RowMajor, Layout::RowMajor});
  PlacedArguments arguments;  // no memory at all
  arguments.a.batch_strides = arguments.b.batch_strides = arguments.out.batch_strides = {1};
  arguments.m = arguments.n = arguments.k = 3;
  arguments.batch = {0};
  run_contraction(float_kernel(Isa::Avx2), arguments);
  arguments.batch = {2};
  arguments.m = 0;
  run_contraction(float_kernel(Isa::Avx2), arguments);
  arguments.m = 3;
  arguments.n = 0;
  run_contraction(float_kernel(Isa::Avx2), arguments);
  // Sums of nothing.
  std::vector<float> out(18, 1.0f);
  arguments.n = 3;
  arguments.k = 0;
  arguments.a.batch_strides = {5};
  arguments.b.batch_strides = {7};
  arguments.out.batch_strides = {9};
  arguments.out.row_stride = 3;
  arguments.out.column_stride = 1;
  arguments.out.data = out.data();
  run_contraction(float_kernel(Isa::Avx2), arguments);
  EXPECT_EQ(out, std::vector<float>(18, 0.0f));
}

}  // namespace
}  // namespace flambeau::testing
