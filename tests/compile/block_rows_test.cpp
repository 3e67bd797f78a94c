// Programs as they are, and with their rows in blocks: the same bits.

#include "compile/block_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "flambeau/flambeau.h"
#include "ir/array.h"
#include "prim/build.h"
#include "runtime/allocator.h"
#include "runtime/compiler.h"
#include "tests/prim/samples.h"

namespace flambeau {
namespace {

using ir::ArrayValue;
using ir::Builder;
using ir::Dim;
using ir::Expr;
using ir::Program;
using prim::operator+;
using prim::operator-;
using prim::operator*;
using prim::operator/;

ArrayValue floats(Ints shape, uint64_t seed) {
  return ir::convert_array(testing::random_array(std::move(shape), -2, 2, seed), DType::Float32);
}

Expr softmax(const Expr& x) {
  const int64_t last[] = {x.rank() - 1};
  const Expr e = prim::exp(x - prim::stop_gradient(prim::amax(x, last)));
  return e / prim::sum(e, last);
}
Expr softmax_gradient(const Expr& y, const Expr& g) {
  const int64_t last[] = {y.rank() - 1};
  return y * (g - prim::sum(g * y, last));
}
Expr transposed(const Expr& x) { return prim::transpose(x, -2, -1); }

/// Expects that `program` has a form with its rows in blocks, and that it gives the same.
void expect_same_in_blocks(const Program& program, const std::vector<ArrayValue>& parameters,
                           const std::vector<Scalar>& numbers = {}) {
  const std::optional<Program> blocked = compiler::block_rows(program);
  ASSERT_TRUE(blocked.has_value()) << program.text();
  ir::verify(*blocked);
  EXPECT_EQ(ir::parse_program(blocked->text()).text(), blocked->text());
  EXPECT_THAT(blocked->text(), ::testing::HasSubstr("block_scan"));
  const auto expected = ir::interpret(program, parameters, numbers, {});
  const auto found = ir::interpret(*blocked, parameters, numbers, {});
  ASSERT_EQ(expected.size(), found.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(expected[i].shape, found[i].shape) << "result " << i;
    EXPECT_EQ(expected[i].data, found[i].data) << "result " << i << "\n" << blocked->text();
  }
}

/// Queries, keys and values of some heads. As in a program of one length, the rows of queries and
/// of keys have one symbol.
struct Attention {
  Builder builder;
  Dim batch = Dim::size(0, 0), heads = Dim::size(0, 1), rows = Dim::size(0, 2);
  Dim width = Dim::size(0, 3);
  Expr query = builder.parameter(DType::Float32, {batch, heads, rows, width});
  Expr key = builder.parameter(DType::Float32, {batch, heads, rows, width});
  Expr value = builder.parameter(DType::Float32, {batch, heads, rows, width});
  Expr scale = builder.number(DType::Float64);

  Expr scores() {
    return prim::contract(query, transposed(key)) *
           prim::broadcast_to(prim::convert(scale, DType::Float32), {batch, heads, rows, rows});
  }
  /// Zeros and twos by random bits, which depend on the place among all scores.
  Expr kept(const Expr& scores) {
    const Expr place = prim::linear_index(builder, scores.shape());
    const Expr key_of_bits = prim::constant(builder, DType::Int64, 77);
    const Expr bits = prim::philox(prim::broadcast_to(key_of_bits, scores.shape()), place);
    return prim::select(prim::ge(bits, 0.0), prim::broadcast_to(two(), scores.shape()), 0.0);
  }
  Expr two() { return prim::constant(builder, DType::Float32, 2.0); }
};

std::vector<ArrayValue> tensors(int64_t rows, int count) {
  std::vector<ArrayValue> list;
  for (uint64_t seed = 10; list.size() < static_cast<size_t>(count); ++seed)
    list.push_back(floats({1, 2, rows, 2}, seed));
  return list;
}

TEST(BlockRows, AttentionWithAMask) {
  Attention a;
  const Expr mask = a.builder.parameter(DType::Float32, {a.rows, a.rows});
  const Expr scores = a.scores();
  const Expr masked = scores + prim::broadcast_to(mask, scores.shape());
  const Expr result = prim::contract(softmax(masked), a.value);
  std::vector<ArrayValue> parameters = tensors(131, 3);
  parameters.push_back(floats({131, 131}, 5));
  expect_same_in_blocks(a.builder.finish({&result, 1}), parameters, {0.5});
}

TEST(BlockRows, RandomBitsDependOnThePlaceAmongAllScores) {
  Attention a;
  const Expr weights = softmax(a.scores());
  const Expr result = prim::contract(weights * a.kept(weights), a.value);
  expect_same_in_blocks(a.builder.finish({&result, 1}), tensors(140, 3), {0.5});
}

TEST(BlockRows, WhatOthersReadComesOut) {
  Attention a;
  const Expr weights = softmax(a.scores());
  const Expr results[] = {prim::contract(weights, a.value), weights};
  expect_same_in_blocks(a.builder.finish(results), tensors(130, 3), {0.5});
}

TEST(BlockRows, GradientsThatAreSumsOverRows) {
  Attention a;
  const Expr g = a.builder.parameter(DType::Float32, {a.batch, a.heads, a.rows, a.width});
  const Expr weights = softmax(a.scores());
  const Expr kept = a.kept(weights);
  const Expr used = weights * kept;
  const Expr of_weights = prim::contract(g, transposed(a.value)) * kept;
  const Expr of_scores = softmax_gradient(weights, of_weights);
  const Expr results[] = {prim::contract(transposed(used), g), prim::contract(of_scores, a.key),
                          transposed(prim::contract(transposed(a.query), of_scores))};
  expect_same_in_blocks(a.builder.finish(results), tensors(260, 4), {0.5});
}

TEST(BlockRows, QueriesInColumns) {
  Attention a;
  // softmax over keys, which are the rows of the product.
  const Expr scores = transposed(prim::contract(a.key, transposed(a.query)));
  const Expr result = prim::contract(softmax(scores), a.value);
  expect_same_in_blocks(a.builder.finish({&result, 1}), tensors(133, 3), {0.5});
}

TEST(BlockRows, OneTensorAsQueryKeyAndValue) {
  Builder builder;
  const Expr given = builder.parameter(DType::Float32, {Dim::size(0, 0), Dim::size(0, 1)});
  const Expr x = given * given;
  const Expr result = prim::contract(softmax(prim::contract(x, transposed(x))), x);
  expect_same_in_blocks(builder.finish({&result, 1}), {floats({150, 4}, 3)});
}

TEST(BlockRows, NothingToGain) {
  const auto expect_none = [](const auto& build) {
    Attention a;
    const Expr result = build(a);
    EXPECT_FALSE(compiler::block_rows(a.builder.finish({&result, 1})).has_value());
  };
  // A product and what happens to each of its elements.
  expect_none([](Attention& a) { return prim::exp(a.scores()); });
  // All scores meet.
  expect_none([](Attention& a) {
    const Expr scores = prim::exp(a.scores());
    const int64_t both[] = {2, 3};
    return scores / prim::sum(scores, both);
  });
}

TEST(BlockRows, TwoLayersAreNotAttention) {
  Attention a;
  const Expr hidden = prim::contract(a.query, transposed(a.key));
  const Expr active = prim::maximum(
      hidden, prim::broadcast_to(prim::constant(a.builder, DType::Float32, 0), hidden.shape()));
  const int64_t rows[] = {2};
  const Expr results[] = {prim::contract(active, a.value), prim::sum(active, rows)};
  EXPECT_FALSE(compiler::block_rows(a.builder.finish(results)).has_value());
}

TEST(BlockRows, ScoresAreNeverWholeInMemory) {
  constexpr int64_t kLength = 1024;
  std::vector<Tensor> tensors;
  for (int i = 0; i < 3; ++i) tensors.push_back(randn({8, kLength, 16}));
  const auto attend = [&] {
    return matmul(softmax(matmul(tensors[0], transpose(tensors[1], 1, 2)), -1), tensors[2]);
  };
  auto compiled = compile(attend);
  Tensor result;
  for (int i = 0; i < 8; ++i) {  // until all kernels are there
    result = compiled();
    compiler::flush();
    wait_for_compiler();
  }
  result = Tensor();
  reset_peak_memory_stats();
  const size_t before = memory_stats().allocated_bytes;
  result = compiled();
  compiler::flush();
  const size_t scores = 8 * kLength * kLength * sizeof(float);
  EXPECT_LT(memory_stats().peak_bytes - before, scores / 4);
  const auto bytes = static_cast<size_t>(result.numel()) * sizeof(float);
  EXPECT_EQ(std::memcmp(result.data_ptr(), attend().data_ptr(), bytes), 0);
}

}  // namespace
}  // namespace flambeau
