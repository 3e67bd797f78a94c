// Programs run through plans and compiled kernels give the interpreter's bits.

#include "eager/executable.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <random>

#include "eager/bound_run.h"
#include "ir/core_function.h"
#include "ir/interpreter.h"
#include "lower/plan.h"
#include "lower/tables.h"
#include "prim/build.h"
#include "runtime/allocator.h"
#include "tests/eager/array_of.h"

namespace flambeau {
namespace {

using ir::ArrayValue;
using ir::Builder;
using ir::Dim;
using ir::Expr;
using ir::Program;
using ir::Shape;
using testing::array_of;

Shape shape_of(int parameter, const Ints& sizes) {
  Shape shape;
  for (size_t i = 0; i < sizes.size(); ++i)
    shape.push_back(sizes[i] == 1 ? Dim(1) : Dim::size(parameter, static_cast<int>(i)));
  return shape;
}

Tensor random_tensor(const Ints& sizes, DType dtype, uint32_t seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  Tensor t = Tensor::empty(sizes, dtype);
  for (int64_t i = 0; i < t.numel(); ++i) {
    const float value = normal(engine);
    if (dtype == DType::Float32) t.data<float>()[i] = value;
    if (dtype == DType::Float64) t.data<double>()[i] = value;
    if (dtype == DType::Int64) t.data<int64_t>()[i] = static_cast<int64_t>(value * 10);
    if (dtype == DType::BFloat16)
      ir::store_element(dtype, t.data<uint16_t>() + i,
                        ir::convert_element(dtype, DType::Float32, std::bit_cast<uint32_t>(value)));
  }
  return t;
}

/// x + number.
Program plus(double number) {
  Builder builder;
  const Expr x = builder.parameter(DType::Float32, {Dim::size(0, 0)});
  const Expr sum = prim::operator+(x, number);
  return builder.finish({&sum, 1});
}

TEST(Executable, TheLeastRecentlyUsedGo) {
  const std::weak_ptr<const Executable> first = make_executable(plus(0));
  const std::shared_ptr<const Executable> held = make_executable(plus(0.5));
  EXPECT_EQ(make_executable(plus(0)), first.lock());
  const Tensor x = random_tensor({3}, DType::Float32, 1);
  const std::array<Tensor, 1> parameters = {x};
  for (int i = 1; i <= 4200; ++i) {
    const auto each = make_executable(plus(i));
    // Others lie where those that are gone were.
    if (i % 300 == 0)
      EXPECT_EQ(run(*each, parameters, {}, {})[0].data<float>()[1],
                x.data<float>()[1] + static_cast<float>(i));
  }
  EXPECT_TRUE(first.expired());
  EXPECT_EQ(run(*held, parameters, {}, {})[0].data<float>()[1], x.data<float>()[1] + 0.5F);
  EXPECT_NE(make_executable(plus(0)), nullptr);
}

void expect_interpreter_bits(const Program& program, const std::vector<Tensor>& parameters,
                             const std::vector<int64_t>& integers = {}) {
  std::vector<ArrayValue> arrays;
  for (const Tensor& parameter : parameters) arrays.push_back(array_of(parameter));
  const std::vector<ArrayValue> wanted = ir::interpret(program, arrays, {}, integers);
  // The second run may repeat what the first one found out.
  Results earlier;
  for (int round = 0; round < 2; ++round) {
    const Results got = run(*make_executable(program), parameters, {}, integers);
    ASSERT_EQ(got.size(), wanted.size());
    for (size_t i = 0; i < got.size(); ++i) {
      const ArrayValue have = array_of(got[i]);
      ASSERT_EQ(have.shape, wanted[i].shape);
      EXPECT_EQ(have.data, wanted[i].data) << program.text() << " round " << round;
      if (round == 1) EXPECT_FALSE(got[i].is_same(earlier[i]));
    }
    earlier = got;
  }
}

Tensor transposed(const Tensor& t) {
  const size_t last = t.sizes().size() - 1;
  Ints sizes = t.sizes();
  Ints strides = t.strides();
  std::swap(sizes[0], sizes[last]);
  std::swap(strides[0], strides[last]);
  return t.alias(sizes, strides, t->offset);
}

/// sizes x {row-major, transposed}
class Layouts : public ::testing::TestWithParam<std::pair<std::vector<int64_t>, bool>> {
 protected:
  Tensor input(uint32_t seed = 1) const {
    Ints sizes(GetParam().first.begin(), GetParam().first.end());
    if (!GetParam().second) return random_tensor(sizes, DType::Float32, seed);
    std::swap(sizes[0], sizes[sizes.size() - 1]);
    return transposed(random_tensor(sizes, DType::Float32, seed));
  }
};

INSTANTIATE_TEST_SUITE_P(Sizes, Layouts,
                         ::testing::Values(std::pair(std::vector<int64_t>{3, 5}, false),
                                           std::pair(std::vector<int64_t>{3, 5}, true),
                                           std::pair(std::vector<int64_t>{1, 7}, false),
                                           std::pair(std::vector<int64_t>{7, 1}, false),
                                           std::pair(std::vector<int64_t>{17, 33}, true),
                                           std::pair(std::vector<int64_t>{130, 70}, false),
                                           std::pair(std::vector<int64_t>{2, 3, 40}, false),
                                           std::pair(std::vector<int64_t>{4, 3, 5}, true),
                                           std::pair(std::vector<int64_t>{1500, 3}, false),
                                           std::pair(std::vector<int64_t>{2, 40000}, false),
                                           std::pair(std::vector<int64_t>{0, 4}, false),
                                           std::pair(std::vector<int64_t>{4, 0}, false)));

TEST_P(Layouts, PointwiseChain) {
  const Tensor x = input(1);
  const Tensor y = input(2);
  Builder b;
  const Expr a = b.parameter(DType::Float32, shape_of(0, x.sizes()));
  const Expr c = b.parameter(DType::Float32, shape_of(0, x.sizes()));
  using namespace prim;  // NOLINT
  const Expr result = exp(a * 0.5) + tanh(c) / (abs(a) + 1.0);
  expect_interpreter_bits(b.finish({&result, 1}), {x, y});
}

TEST_P(Layouts, SoftmaxOverEachAxis) {
  const Tensor x = input();
  for (int64_t axis = 0; axis < x.dim(); ++axis) {
    Builder b;
    const Expr a = b.parameter(DType::Float32, shape_of(0, x.sizes()));
    using namespace prim;  // NOLINT
    const int64_t axes[] = {axis};
    const Expr e = exp(a - amax(a, axes));
    const Expr result = e / sum(e, axes);
    expect_interpreter_bits(b.finish({&result, 1}), {x});
  }
}

TEST_P(Layouts, SumsOverAxisSets) {
  const Tensor x = input();
  std::vector<std::vector<int64_t>> sets{{0}, {x.dim() - 1}};
  std::vector<int64_t> all;
  for (int64_t axis = 0; axis < x.dim(); ++axis) all.push_back(axis);
  sets.push_back(all);
  if (x.dim() == 3) sets.push_back({0, 2});
  for (const std::vector<int64_t>& axes : sets) {
    Builder b;
    const Expr a = b.parameter(DType::Float32, shape_of(0, x.sizes()));
    using namespace prim;  // NOLINT
    const Expr total = sum(a * a, axes, false);
    const Expr greatest = amax(a, axes, false);
    const Expr root = sqrt(total) + greatest;
    const Expr results[] = {total, root};
    expect_interpreter_bits(b.finish(results), {x});
  }
}

TEST(Executable, SumsOverAxesThatDoNotMerge) {
  // Of a batch of channels, and of rows of a wider matrix: runs of memory of every kind of length,
  // several blocks of them.
  for (const int64_t run : {1, 3, 16, 31, 32, 33, 49, 64, 100, 1024}) {
    const Tensor x = random_tensor({9, 3, run + 5}, DType::Float32, 7);
    const Tensor channels = x.alias({9, 3, run}, x.strides(), x->offset + 2);
    const Tensor y = random_tensor({20000 / run + 3, run + 3}, DType::Float32, 8);
    const Tensor rows = y.alias({y.sizes()[0], run}, y.strides(), y->offset);
    Builder b;
    const Expr a = b.parameter(DType::Float32, shape_of(0, channels.sizes()));
    const Expr c = b.parameter(DType::Float32, shape_of(1, rows.sizes()));
    using namespace prim;  // NOLINT
    const int64_t batch[] = {0, 2};
    const int64_t all[] = {0, 1};
    const Expr apart = a - sum(a, batch) * 0.01;
    const Expr results[] = {apart / sqrt(sum(apart * apart, batch)), sum(c, all, false),
                            amax(c, all, false)};
    expect_interpreter_bits(b.finish(results), {channels, rows});
  }
}

TEST_P(Layouts, ViewsPadsAndConcatenation) {
  const Tensor x = input();
  Builder b;
  const Shape shape = shape_of(0, x.sizes());
  const Expr a = b.parameter(DType::Float32, shape);
  using namespace prim;  // NOLINT
  std::vector<Dim> low(shape.size(), Dim(1));
  std::vector<Dim> high(shape.size(), Dim(2));
  std::vector<Dim> interior(shape.size(), Dim(0));
  interior.back() = Dim(1);
  const Expr padded = pad(a, constant(a, DType::Float32, 7.0), low, high, interior);
  const int64_t last[] = {static_cast<int64_t>(shape.size()) - 1};
  const Expr flipped = flip(a * 2.0, last);
  const Expr parts[] = {a, flipped, exp(a)};
  const Expr joined = concatenate(parts, 0);
  const Expr sliced = slice(joined, 0, Dim::integer(0), shape[0] * 2, Dim(1));
  const Expr results[] = {padded,        flipped,
                          flip(a, last), joined,
                          sliced,        transpose(a, 0, static_cast<int>(shape.size()) - 1) + 1.0};
  expect_interpreter_bits(b.finish(results), {x}, {x.size(0) > 1 ? 1 : 0});
}

TEST(Executable, GatherAndScatterOfRows) {
  const Tensor table = random_tensor({11, 6}, DType::Float32, 3);
  Tensor ids = Tensor::empty({2, 9}, DType::Int64);
  for (int64_t i = 0; i < 18; ++i) ids.data<int64_t>()[i] = i * 7 % 11 % 5;
  Builder b;
  using namespace prim;  // NOLINT
  const Expr weights = b.parameter(DType::Float32, shape_of(0, table.sizes()));
  const Expr index = b.parameter(DType::Int64, shape_of(1, ids.sizes()));
  const Shape out{index.dim(0), index.dim(1), weights.dim(1)};
  const int64_t leading[] = {0, 1};
  const Expr indices[] = {broadcast(index, leading, out), iota(b, out, 2)};
  const Expr rows = gather(weights, indices);
  const Expr zeros = broadcast_to(constant(b, DType::Float32, 0.0), weights.shape());
  const Expr back = scatter_add(zeros, indices, rows * 0.1);
  const Expr results[] = {rows, back};
  expect_interpreter_bits(b.finish(results), {table, ids});
}

// Many rows of a few elements, which kernels of that length write.
TEST(Executable, ShortRows) {
  for (const DType dtype : {DType::Float32, DType::BFloat16, DType::Float64})
    for (const int64_t width : {2, 3, 4, 5, 8, 15, 16, 17, 31, 32, 33}) {
      const Tensor table = random_tensor({11, width}, dtype, 3);
      const Tensor row = random_tensor({width}, dtype, 4);
      Tensor ids = Tensor::empty({700}, DType::Int64);
      for (int64_t i = 0; i < 700; ++i) ids.data<int64_t>()[i] = i * 7 % 11;
      Builder b;
      using namespace prim;  // NOLINT
      const Expr weights = b.parameter(dtype, shape_of(0, table.sizes()));
      const Expr index = b.parameter(DType::Int64, shape_of(1, ids.sizes()));
      const Expr other = b.parameter(dtype, shape_of(2, row.sizes()));
      const Shape out{index.dim(0), weights.dim(1)};
      const int64_t leading[] = {0};
      const Expr indices[] = {broadcast(index, leading, out), iota(b, out, 1)};
      const Expr rows = gather(weights, indices);
      const Expr results[] = {rows, rows + broadcast_to(other, out), tanh(erf(rows)) * rows};
      expect_interpreter_bits(b.finish(results), {table, ids, row});
    }
}

TEST(Executable, ContractionsOfViews) {
  const Tensor x = random_tensor({2, 5, 300}, DType::Float32, 4);
  const Tensor w = random_tensor({7, 300}, DType::Float32, 5);
  Builder b;
  using namespace prim;  // NOLINT
  const Expr a = b.parameter(DType::Float32, shape_of(0, x.sizes()));
  const Expr c = b.parameter(DType::Float32, shape_of(1, w.sizes()));
  const Expr flat = reshape(a, {a.dim(0) * a.dim(1), a.dim(2)});
  const Expr product = contract(flat, transpose(c, 0, 1)) + 1.0;
  const Expr batched = contract(a, transpose(exp(a * 0.1), 1, 2));
  const Expr results[] = {reshape(product, {a.dim(0), a.dim(1), c.dim(0)}), batched};
  expect_interpreter_bits(b.finish(results), {x, w});
}

/// The 3 x 2 patches of x [4, n, 9, 21], one behind the other, as rows [4, 8 * 19, n * 6] or
/// as columns [4, n * 6, 8 * 19].
Expr patches_of(const Expr& x, bool as_rows) {
  using namespace prim;  // NOLINT
  const Dim channels = x.dim(1);
  const Shape shape{Dim(4), channels, Dim(8), Dim(19), Dim(2), Dim(3)};
  const auto place = [&](int axis) { return iota(x.builder(), shape, axis); };
  const Expr windows =
      gather(x, std::vector<Expr>{place(0), place(1), place(2) + place(4), place(3) + place(5)});
  const Ints order = as_rows ? Ints{0, 2, 3, 1, 4, 5} : Ints{0, 1, 4, 5, 2, 3};
  const Dim inner = channels * 6;
  return reshape(permute(windows, order),
                 as_rows ? Shape{Dim(4), Dim(152), inner} : Shape{Dim(4), inner, Dim(152)});
}

TEST(Executable, ContractionsReadPatchesWhereTheyAre) {
  for (const DType dtype : {DType::Float32, DType::Float64, DType::Int64, DType::BFloat16})
    for (const int64_t channels : {1, 7, 50})
      for (const int64_t filters : {1, 5, 70}) {
        Builder b;
        using namespace prim;  // NOLINT
        const Expr x = b.parameter(dtype, {Dim(4), Dim(channels), Dim(9), Dim(21)});
        const Expr w = b.parameter(dtype, {Dim(4), Dim(filters), Dim(channels * 6)});
        const Expr results[] = {contract(w, patches_of(x, false)),
                                contract(patches_of(x, true), transpose(w, 1, 2))};
        const Program program = b.finish(results);
        EXPECT_EQ(lower::text_of(lower::make_plan(program)),
                  "contract v1 v0 ->v2\ncontract v0 v1 ->v3\n");
        const Tensor weights = random_tensor({4, filters, channels * 6}, dtype, 1);
        const Tensor image = random_tensor({4, channels, 9, 21}, dtype, 2);
        expect_interpreter_bits(program, {image, weights});
        // Columns next to each other.
        const Tensor upright = random_tensor({4, channels, 21, 9}, dtype, 3);
        const Tensor turned = upright.alias({4, channels, 9, 21}, {channels * 189, 189, 1, 9}, 0);
        expect_interpreter_bits(program, {turned, weights});
      }
}

TEST(Executable, ReductionsOfWindows) {
  for (const DType dtype : {DType::Float32, DType::BFloat16, DType::Int64})
    for (const int64_t step : {1, 2, 3})
      for (const int64_t size : {1, 2, 3, 7})
        for (const int64_t count : {2, 5, 40}) {
          const int64_t columns = (count - 1) * step + size;
          Builder b;
          using namespace prim;  // NOLINT
          const Expr x = b.parameter(dtype, {Dim(3), Dim(11), Dim(columns)});
          const Shape shape{Dim(3), Dim(5), Dim(count), Dim(2), Dim(size)};
          const auto place = [&](int axis) { return iota(b, shape, axis); };
          const Expr windows =
              gather(x, std::vector<Expr>{place(0), place(1) * 2.0 + place(3),
                                          place(2) * static_cast<double>(step) + place(4)});
          const Ints axes{3, 4};
          const Expr results[] = {sum(windows, axes, false), amax(windows, axes, false)};
          expect_interpreter_bits(b.finish(results), {random_tensor({3, 11, columns}, dtype, 5)});
        }
}

TEST(Executable, PatchesOfWhatIsInNoMemoryAreReadFromACopyOfIt) {
  Builder b;
  using namespace prim;  // NOLINT
  const Expr x = b.parameter(DType::Float32, {Dim(4), Dim(5), Dim(9), Dim(21)});
  const Expr w = b.parameter(DType::Float32, {Dim(4), Dim(8), Dim(30)});
  const Expr results[] = {contract(w, patches_of(exp(x), false))};
  const Program program = b.finish(results);
  EXPECT_EQ(lower::text_of(lower::make_plan(program)),
            "kernel kept=4 reduced=0 : v0 ->v2\ncontract v1 v2 ->v3\n");
  expect_interpreter_bits(program, {random_tensor({4, 5, 9, 21}, DType::Float32, 1),
                                    random_tensor({4, 8, 30}, DType::Float32, 2)});
}

TEST(Executable, TransposedProductsAreTheOperandsTheOtherWayRound) {
  for (const DType dtype : {DType::Float32, DType::BFloat16}) {
    const Tensor x = random_tensor({2, 70, 300}, DType::Float32, 4);
    const Tensor w = random_tensor({2, 300, 37}, DType::Float32, 5);
    Builder b;
    using namespace prim;  // NOLINT
    const auto input = [&](int number, const Tensor& tensor) {
      const Expr full = b.parameter(DType::Float32, shape_of(number, tensor.sizes()));
      return convert(convert(full, dtype), DType::Float32);
    };
    const Expr a = input(0, x);
    const Expr c = input(1, w);
    const Expr turned = transpose(contract(a, c), 1, 2);
    const Expr kept = contract(a * 0.5, c);
    const Expr results[] = {turned, convert(turned + 1.0, dtype), kept, transpose(kept, 1, 2)};
    expect_interpreter_bits(b.finish(results), {x, w});
    const Results got = run(*make_executable(b.finish({results, 1})), std::vector{x, w}, {}, {});
    EXPECT_TRUE(got[0].is_contiguous());
  }
}

TEST(Executable, ProductsOverOneK) {
  for (const DType dtype : {DType::Float32, DType::Float64, DType::Int64}) {
    const Tensor x = random_tensor({3, 40, 1}, dtype, 4);
    const Tensor w = random_tensor({3, 1, 50}, dtype, 5);
    Builder b;
    using namespace prim;  // NOLINT
    const Expr a = b.parameter(dtype, shape_of(0, x.sizes()));
    const Expr c = b.parameter(dtype, shape_of(1, w.sizes()));
    const Expr product = contract(a, c);
    // -0.0 * 1.0 + 0.0 is 0.0.
    const Expr zeros = contract(a * -0.0, abs(c));
    const Expr results[] = {product, transpose(product, 1, 2) + 1.0, zeros,
                            sum(product, std::vector<int64_t>{1}, false)};
    expect_interpreter_bits(b.finish(results), {x, w});
  }
}

TEST(Executable, ProductsOfBFloat16Values) {
  for (const int64_t k : {1, 2, 7, 300}) {
    const Tensor x = random_tensor({2, 5, k}, DType::BFloat16, 4);
    const Tensor w = random_tensor({7, k}, DType::BFloat16, 5);
    Builder b;
    using namespace prim;  // NOLINT
    const Expr a = convert(b.parameter(DType::BFloat16, shape_of(0, x.sizes())), DType::Float32);
    const Expr c = convert(b.parameter(DType::BFloat16, shape_of(1, w.sizes())), DType::Float32);
    const Expr flat = reshape(a, {a.dim(0) * a.dim(1), a.dim(2)});
    const Expr product = contract(flat, transpose(c, 0, 1));
    // Padded rows are float32 in memory and hold the same values.
    const Expr zero = constant(b, DType::Float32, Scalar(0.0));
    const Dim low[] = {Dim(1), Dim(0)};
    const Dim high[] = {Dim(2), Dim(0)};
    const Dim between[] = {Dim(0), Dim(0)};
    const Expr padded = pad(c, zero, low, high, between);
    const Expr of_padded = contract(padded, transpose(flat, 0, 1));
    const Expr of_others = contract(flat * 0.3, transpose(c, 0, 1));
    EXPECT_EQ(product.node().attributes.index, 1);
    EXPECT_EQ(of_padded.node().attributes.index, 1);
    EXPECT_EQ(of_others.node().attributes.index, 0);
    const Expr results[] = {convert(product, DType::BFloat16), convert(of_padded, DType::BFloat16),
                            of_padded, of_others, contract(a, transpose(a, 1, 2))};
    expect_interpreter_bits(b.finish(results), {x, w});
  }
}

TEST(Executable, ResultsThatAreParametersMayBeWrittenWhereOthersLie) {
  Builder b;
  const Expr p = b.parameter(DType::Float32, {Dim::size(0, 0), Dim::size(0, 1)});
  const Expr q = b.parameter(DType::Float32, {Dim::size(1, 0), Dim::size(1, 1)});
  const Expr exchanged[] = {q, p};
  const auto program = make_executable(b.finish(exchanged));
  const auto rows = [](const Tensor& x, int64_t first) {
    return x.alias({4, 3}, {5, 1}, first * 5);
  };
  // Two windows that overlap.
  const Tensor x = random_tensor({5, 5}, DType::Float32, 1);
  const std::vector<std::byte> before = array_of(rows(x, 0)).data;
  const Tensor windows[] = {rows(x, 0), rows(x, 1)};
  const Tensor outputs[] = {Tensor(), rows(x, 1)};
  run(*program, windows, {}, {}, outputs);
  EXPECT_EQ(array_of(rows(x, 1)).data, before);
  // Two tensors.
  const Tensor y = random_tensor({5, 5}, DType::Float32, 2);
  const std::vector<std::byte> was[] = {array_of(x).data, array_of(y).data};
  const Tensor both[] = {x, y};
  run(*program, both, {}, {}, both);
  EXPECT_EQ(array_of(x).data, was[1]);
  EXPECT_EQ(array_of(y).data, was[0]);
}

TEST(Executable, ResultsOfIndexMapsShareMemory) {
  const Tensor x = random_tensor({4, 6}, DType::Float32, 6);
  Builder b;
  using namespace prim;  // NOLINT
  const Expr a = b.parameter(DType::Float32, shape_of(0, x.sizes()));
  const Expr result = transpose(slice(a, 1, Dim(2), Dim(3)), 0, 1);
  const Results got = run(*make_executable(b.finish({&result, 1})), {&x, 1}, {}, {});
  EXPECT_EQ(got[0].data_ptr(), x.data<float>() + 2);
  EXPECT_EQ(got[0].strides(), (Ints{1, 6}));
}

TEST(Executable, AResultKeptInAGivenOneOfAnotherShapeHasItsOwn) {
  const Tensor x = random_tensor({6}, DType::Float32, 7);
  Builder b;
  using namespace prim;  // NOLINT
  const Expr a = b.parameter(DType::Float32, shape_of(0, x.sizes()));
  const Expr doubled = a + a;
  const Expr results[] = {doubled, reshape(doubled, Shape{Dim(1), Dim::size(0, 0)})};
  const auto program = make_executable(b.finish(results));
  for (int round = 0; round < 3; ++round) {  // the second repeats what the first found out
    const Tensor row = Tensor::empty({1, 6});
    const Tensor outputs[] = {Tensor(), row};
    const Results got = run(*program, {&x, 1}, {}, {}, outputs);
    EXPECT_EQ(got[0].sizes(), (Ints{6}));
    EXPECT_EQ(got[0].data_ptr(), row.data_ptr());
  }
}

TEST(Executable, AFlippedSliceIsComputed) {
  // Of a step that is known at run time only, the stride is not seen to be negative.
  const Tensor x = random_tensor({33, 4}, DType::Float32, 8);
  Builder b;
  using namespace prim;  // NOLINT
  const Expr a = b.parameter(DType::Float32, shape_of(0, x.sizes()));
  const int64_t rows[] = {0};
  const Expr sliced = slice(a, 0, Dim::integer(0), Dim::integer(1), Dim::integer(2));
  const Expr flipped = flip(sliced, rows);
  const Expr results[] = {flipped, flip(slice(flipped, 0, Dim(1), Dim(3), Dim::integer(2)), rows),
                          contract(flipped, transpose(flipped, 0, 1))};
  expect_interpreter_bits(b.finish(results), {x}, {0, 11, 3});
}

TEST(Executable, ReductionsOfHalvesAddInFloat32) {
  const Tensor x = random_tensor({5, 3000}, DType::Float32, 9);
  Builder b;
  using namespace prim;  // NOLINT
  const Expr a = convert(b.parameter(DType::Float32, shape_of(0, x.sizes())), DType::BFloat16);
  const int64_t last[] = {1};
  const int64_t all[] = {0, 1};
  const Expr results[] = {sum(a, last), amax(a, last), sum(exp(a), all, false), sum(a, {}, false)};
  expect_interpreter_bits(b.finish(results), {x});
}

/// a + number * b
Program scaled_sum(const Ints& sizes) {
  Builder builder;
  const Expr a = builder.parameter(DType::Float32, shape_of(0, sizes));
  const Expr b = builder.parameter(DType::Float32, shape_of(0, sizes));
  const Expr number = prim::convert(builder.number(DType::Float64), DType::Float32);
  using namespace prim;  // NOLINT
  const Expr result = a + broadcast_to(number, a.shape()) * b;
  return builder.finish({&result, 1});
}

TEST(Executable, RepeatedRunsTakeNewMemoryAndNumbers) {
  const auto executable = make_executable(scaled_sum({5}));
  for (int round = 0; round < 4; ++round) {
    const auto seed = static_cast<uint32_t>(round);
    const std::vector<Tensor> in{random_tensor({5}, DType::Float32, seed),
                                 random_tensor({5}, DType::Float32, seed + 100)};
    const Scalar number(static_cast<double>(round));
    const Tensor given = round % 2 == 0 ? Tensor() : Tensor::empty({5});
    const Tensor out = run(*executable, in, {&number, 1}, {}, {&given, 1})[0];
    if (given.defined()) EXPECT_TRUE(out.is_same(given));
    for (int i = 0; i < 5; ++i)
      EXPECT_EQ(out.data<float>()[i],
                in[0].data<float>()[i] + static_cast<float>(round) * in[1].data<float>()[i]);
  }
}

/// cos of the positions of the last axis of p0, for each of its rows; times p0 if asked for.
Program cosines(bool times_p0) {
  Builder builder;
  const Expr x = builder.parameter(DType::Float32, {Dim::size(0, 0), Dim::size(0, 1)});
  const Expr place = prim::iota(builder, {Dim::size(0, 1)}, 0);
  const Expr table = prim::convert(prim::cos(prim::convert(place, DType::Float64)), DType::Float32);
  const Expr result = times_p0 ? prim::operator*(x, prim::broadcast_to(table, x.shape())) : table;
  return builder.finish({&result, 1});
}

TEST(Executable, TablesAreKept) {
  const Program program = cosines(true);
  const auto executable = make_executable(program);
  EXPECT_EQ(lower::find_tables(plan_of(*executable)).steps, (std::vector<bool>{true, false}));
  expect_interpreter_bits(program, {random_tensor({20, 301}, DType::Float32, 1)});
  expect_interpreter_bits(program, {random_tensor({20, 302}, DType::Float32, 1)});
  expect_interpreter_bits(program, {random_tensor({21, 301}, DType::Float32, 2)});
  // One that takes too much is made in each run.
  const Tensor wide = Tensor::empty({8, int64_t{9} << 18});
  std::fill_n(wide.data<float>(), wide.numel(), 1.0F);
  const int64_t last = wide.sizes()[1] - 1;
  for (int round = 0; round < 2; ++round) {
    const size_t before = memory_stats().allocated_bytes;
    const Results got = run(*executable, {&wide, 1}, {}, {});
    EXPECT_EQ(got[0].data<float>()[last], static_cast<float>(std::cos(static_cast<double>(last))));
    EXPECT_LE(memory_stats().allocated_bytes - before, wide->storage->bytes() + 4096);
  }
}

TEST(Executable, ATableThatIsAResultIsEachRunsOwn) {
  const auto executable = make_executable(cosines(false));
  EXPECT_FALSE(lower::find_tables(plan_of(*executable)).any());
  const Tensor x = random_tensor({2, 300}, DType::Float32, 1);
  for (int round = 0; round < 3; ++round) {
    const Results got = run(*executable, {&x, 1}, {}, {});
    EXPECT_EQ(got[0].data<float>()[0], 1);
    got[0].data<float>()[0] = 7;
  }
}

TEST(Executable, CopiesOfReshapesAreRepeatedOnOtherMemory) {
  Builder builder;
  const Expr x = builder.parameter(DType::Float32, shape_of(0, {6, 35, 2}));
  const Expr columns = prim::reshape(prim::transpose(x, 0, 1), {Dim(35), Dim(12)});
  const Expr result =
      prim::reshape(prim::transpose(prim::operator*(columns, 2.0), 0, 1), {Dim(420)});
  const Program program = builder.finish({&result, 1});
  for (const uint32_t seed : {1U, 2U})
    expect_interpreter_bits(program, {random_tensor({6, 35, 2}, DType::Float32, seed)});
  const auto executable = make_executable(program);
  for (int round = 0; round < 2; ++round) {
    const Tensor in = random_tensor({6, 35, 2}, DType::Float32, 3);
    const Tensor given = Tensor::empty({420});
    const Results results = run(*executable, {&in, 1}, {}, {}, {&given, 1});
    EXPECT_TRUE(results[0].is_same(given));
    EXPECT_EQ(given.data<float>()[1], in.data<float>()[2] * 2);
  }
}

TEST(Executable, AResultWithItsAxesExchangedIsWrittenToItsPlace) {
  using namespace prim;  // NOLINT(google-build-using-namespace): the language of programs
  Builder builder;
  const Dim batch = Dim::size(0, 0);
  const Expr x = builder.parameter(DType::Float32, {batch, Dim::size(0, 1), Dim::size(0, 2)});
  const Expr y = builder.parameter(DType::Float32, {batch, Dim::size(0, 2), Dim::size(1, 2)});
  const Expr product = contract(x, y);
  struct Case {
    Expr result;
    Ints sizes, strides;
    size_t copies;
  };
  // What is not all of the product, or has other strides, is copied.
  for (const Case& c : {Case{transpose(product, 0, 1), {5, 2, 7}, {7, 35, 1}, 0},
                        Case{transpose(product, 0, 1), {5, 2, 7}, {14, 7, 1}, 1},
                        Case{slice(product, 1, 1, 2), {2, 2, 7}, {14, 7, 1}, 1}}) {
    const Program program = builder.finish({&c.result, 1});
    const auto executable = make_executable(program);
    std::shared_ptr<const BoundRun> bound;
    for (const uint32_t seed : {1U, 2U, 3U}) {
      const Tensor in[] = {random_tensor({2, 5, 3}, DType::Float32, seed),
                           random_tensor({2, 3, 7}, DType::Float32, seed + 10)};
      const ArrayValue arrays[] = {array_of(in[0]), array_of(in[1])};
      const std::vector<ArrayValue> wanted = ir::interpret(program, arrays, {}, {});
      Tensor given = Tensor::empty_strided(c.sizes, c.strides, DType::Float32);
      run_into(bound, *executable, in, {}, {}, {&given, 1});
      EXPECT_EQ(array_of(given).data, wanted[0].data) << seed;
      EXPECT_TRUE(bound->possible);
      EXPECT_EQ(bound->launches.size(), c.copies);
    }
  }
}

TEST(Executable, RunsOfOneProgramWithOtherIntegersOrOutputsAreToldApart) {
  const auto executable = make_executable(scaled_sum({}));
  const std::vector<Tensor> in{random_tensor({}, DType::Float32, 1),
                               random_tensor({}, DType::Float32, 2)};
  const Scalar number(1.0);
  const float wanted = in[0].data<float>()[0] + in[1].data<float>()[0];
  const std::vector<int64_t> unread{1};
  const Tensor given = Tensor::empty({});
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(run(*executable, in, {&number, 1}, unread)[0].data<float>()[0], wanted);
    EXPECT_EQ(run(*executable, in, {&number, 1}, {}, {&given, 1})[0].data<float>()[0], wanted);
    EXPECT_EQ(run(*executable, in, {&number, 1}, {})[0].data<float>()[0], wanted);
  }
}

TEST(Executable, ARepeatedRunMindsHowMemoryOverlaps) {
  Builder b;
  const Expr p = b.parameter(DType::Float32, {Dim::size(0, 0)});
  const auto copy = make_executable(b.finish({&p, 1}));
  // Each way of lying there comes after every other one.
  for (const int64_t to : {4, 5, 3, 4, 3, 5, 4}) {
    const Tensor base = random_tensor({12}, DType::Float32, 3);
    std::vector<float> expected(base.data<float>(), base.data<float>() + 12);
    std::copy_n(base.data<float>() + 4, 4, expected.begin() + to);
    const Tensor from = base.alias({4}, {1}, 4);
    const Tensor given = base.alias({4}, {1}, to);
    run(*copy, {&from, 1}, {}, {}, {&given, 1});
    EXPECT_EQ(std::vector<float>(base.data<float>(), base.data<float>() + 12), expected) << to;
  }
}

TEST(Executable, ARepeatedRunMindsMemoryThatOverlaps) {
  const auto executable = make_executable(scaled_sum({6}));
  const Scalar number(1.0);
  for (const bool overlaps : {false, true, false, true}) {
    const Tensor base = random_tensor({8}, DType::Float32, 3);
    const Tensor a = base.alias({6}, {1}, 2);
    const Tensor b = overlaps ? base.alias({6}, {1}, 0) : random_tensor({6}, DType::Float32, 4);
    float wanted[6];
    for (int i = 0; i < 6; ++i) wanted[i] = a.data<float>()[i] + b.data<float>()[i];
    run(*executable, std::vector<Tensor>{a, b}, {&number, 1}, {}, {&a, 1});
    for (int i = 0; i < 6; ++i) EXPECT_EQ(a.data<float>()[i], wanted[i]) << overlaps;
  }
}

TEST(Executable, AResultIsNotWrittenOverWhatIsReadAfterIt) {
  // The zeros are there before the second parameter is read.
  Builder b;
  using namespace prim;  // NOLINT
  const Expr p = b.parameter(DType::Float32, {Dim::size(0, 0)});
  const Expr zeros = broadcast_to(constant(b, DType::Float32, 0.0), p.shape());
  const Expr g = b.parameter(DType::Float32, {Dim::size(0, 0)});
  const Expr results[] = {p - g, zeros};
  const auto program = make_executable(b.finish(results));
  for (int round = 0; round < 2; ++round) {
    const Tensor x = random_tensor({70}, DType::Float32, 3);
    const Tensor y = random_tensor({70}, DType::Float32, 4);
    const Tensor both[] = {x, y};
    const Results wanted = run(*program, both, {}, {});
    run(*program, both, {}, {}, both);
    EXPECT_EQ(array_of(x).data, array_of(wanted[0]).data);
    EXPECT_EQ(array_of(y).data, array_of(wanted[1]).data);
  }
}

TEST(Executable, WritesOverAnInputOnlyWhereThatIsSafe) {
  const Tensor x = random_tensor({40, 40}, DType::Float32, 7);
  Builder b;
  using namespace prim;  // NOLINT
  const Expr a = b.parameter(DType::Float32, shape_of(0, x.sizes()));
  const Expr result = a + transpose(a, 0, 1);
  const Program program = b.finish({&result, 1});
  const std::vector<ArrayValue> wanted = ir::interpret(program, {{array_of(x)}}, {}, {});
  run(*make_executable(program), {&x, 1}, {}, {}, {&x, 1});
  EXPECT_EQ(array_of(x).data, wanted[0].data);
}

Tensor complex_tensor(const Ints& sizes, DType dtype, uint32_t seed) {
  Ints parts = sizes;
  parts.push_back(2);
  return alias_as_complex(random_tensor(parts, real_dtype(dtype), seed));
}

TEST(Complex, FunctionsGiveTheInterpretersBits) {
  using namespace prim;  // NOLINT
  for (const DType dtype : {DType::Complex64, DType::Complex128})
    for (const bool flip : {false, true}) {
      Tensor x = complex_tensor({17, 9}, dtype, 1);
      Tensor y = complex_tensor({9}, dtype, 2);
      if (flip) x = transposed(complex_tensor({9, 17}, dtype, 1));
      Builder b;
      const Expr p = b.parameter(dtype, shape_of(0, x.sizes()));
      const Expr q = b.parameter(dtype, {Dim::size(0, 1)});
      const int64_t rows[] = {0};
      const std::vector<Expr> results{p * q + p,
                                      p / q,
                                      exp(p),
                                      log(p),
                                      sqrt(p),
                                      abs(p),
                                      pow(p, q),
                                      tanh(p),
                                      asin(p),
                                      conj(p),
                                      real(p),
                                      imag(p) * 2.0,
                                      sum(p, rows),
                                      p - 1.5,
                                      transpose(p, 0, 1),
                                      prod(p, rows),
                                      eq(p, q),
                                      slice(p, 0, 1, 3, 2),
                                      contract(p, transpose(p, 0, 1))};
      for (const Expr& result : results) expect_interpreter_bits(b.finish({&result, 1}), {x, y});
      expect_interpreter_bits(b.finish(results), {x, y});
    }
}

TEST(Complex, ViewsShareMemory) {
  const Tensor x = complex_tensor({4, 3}, DType::Complex64, 1);
  Builder b;
  const Expr p = b.parameter(DType::Complex64, shape_of(0, x.sizes()));
  const Expr results[] = {p, prim::transpose(p, 0, 1), prim::real(p)};
  const Results got = run(*make_executable(b.finish(results)), std::vector{x}, {}, {});
  EXPECT_TRUE(got[0].is_same(x));
  EXPECT_EQ(got[1].data_ptr(), x.data_ptr());
  EXPECT_EQ(got[1].dtype(), DType::Complex64);
  EXPECT_EQ(got[1].strides(), (Ints{1, 3}));
  EXPECT_EQ(got[2].data_ptr(), x.data_ptr());
  EXPECT_EQ(got[2].strides(), (Ints{6, 2}));
}

}  // namespace
}  // namespace flambeau
