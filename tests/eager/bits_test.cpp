// One thread gives the bits of several; a row alone gives the bits that it has in its batch.

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "eager/executable.h"
#include "prim/build.h"
#include "runtime/thread_pool.h"

namespace flambeau {
namespace {

using ir::Builder;
using ir::Dim;
using ir::Expr;

Tensor random_tensor(const Ints& sizes, uint32_t seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  Tensor t = Tensor::empty(sizes);
  for (int64_t i = 0; i < t.numel(); ++i) t.data<float>()[i] = normal(engine);
  return t;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.sizes() == b.sizes() &&
         std::memcmp(a.data_ptr(), b.data_ptr(), static_cast<size_t>(a.numel()) * 4) == 0;
}

/// softmax(x @ w + bias) and the sum of it all: a contraction with an epilogue, rows, and a split
/// reduction.
std::shared_ptr<const Executable> layer() {
  Builder b;
  using namespace prim;  // NOLINT
  const Expr x = b.parameter(DType::Float32, {Dim::size(0, 0), Dim::size(0, 1)});
  const Expr w = b.parameter(DType::Float32, {Dim::size(0, 1), Dim::size(1, 1)});
  const Expr bias = b.parameter(DType::Float32, {Dim::size(1, 1)});
  const Expr y = contract(x, w) + bias;
  const int64_t last[] = {1};
  const int64_t all[] = {0, 1};
  const Expr e = exp(y - amax(y, last));
  const Expr p = e / sum(e, last);
  const Expr results[] = {p, sum(p * y, all, false)};
  return make_executable(b.finish(results));
}

/// Runs a function with `threads` threads and puts the number back.
template <class Fn>
auto with_threads(int threads, const Fn& fn) {
  const int before = get_num_threads();
  set_num_threads(threads);
  auto result = fn();
  set_num_threads(before);
  return result;
}

TEST(Bits, OneThreadOrSeveral) {
  const std::vector<Tensor> inputs{random_tensor({700, 300}, 1), random_tensor({300, 515}, 2),
                                   random_tensor({515}, 3)};
  const auto program = layer();
  const auto once = [&] { return run(*program, inputs, {}, {}); };
  const Results one = with_threads(1, once);
  for (const int threads : {2, 3}) {
    const Results several = with_threads(threads, once);
    EXPECT_TRUE(same_bits(one[0], several[0]));
    EXPECT_TRUE(same_bits(one[1], several[1]));
  }
}

TEST(Bits, ARowAloneOrInItsBatch) {
  const Tensor x = random_tensor({77, 300}, 1);
  const Tensor w = random_tensor({300, 515}, 2);
  const Tensor bias = random_tensor({515}, 3);
  const auto program = layer();
  const Results batch = run(*program, std::vector{x, w, bias}, {}, {});
  for (const int64_t row : {0, 5, 76}) {
    for (const int64_t count : {1, 2, 40}) {
      const int64_t rows = std::min<int64_t>(count, 77 - row);
      const Tensor part = x.alias({rows, 300}, {300, 1}, row * 300);
      const Results alone = run(*program, std::vector{part, w, bias}, {}, {});
      const Tensor expected = batch[0].alias({rows, 515}, {515, 1}, row * 515);
      EXPECT_TRUE(same_bits(alone[0], expected));
    }
  }
}

TEST(Bits, OneUlpWouldBeSeen) {
  const Tensor a = random_tensor({3}, 1);
  const Tensor b = random_tensor({3}, 1);
  EXPECT_TRUE(same_bits(a, b));
  b.data<float>()[2] = std::nextafter(b.data<float>()[2], 10.0F);
  EXPECT_FALSE(same_bits(a, b));
}

}  // namespace
}  // namespace flambeau
