// What the structural rows mean, on small arrays, and what they refuse; and the functions of
// prim/build.h that add or save nodes.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "prim/build.h"
#include "tests/prim/samples.h"

namespace flambeau::testing {
namespace {

using ir::ArrayValue;
using ir::Builder;
using ir::Dim;
using ir::Expr;
using ir::Shape;
using prim::operator+;
using prim::operator-;
using prim::operator*;
using prim::operator/;

/// The value of build(parameters) at `arguments`.
template <class Build>
ArrayValue evaluate(const std::vector<ArrayValue>& arguments, const Build& build) {
  Builder builder;
  const std::vector<Expr> parameters = add_parameters(builder, arguments);
  const Expr result = build(parameters);
  const ir::Program program = builder.finish({&result, 1});
  ir::verify(program);
  return ir::interpret(program, arguments, {}, {})[0];
}

void expect_array(const ArrayValue& got, const Ints& shape, std::initializer_list<double> values) {
  EXPECT_EQ(got.shape, shape);
  ASSERT_EQ(got.size(), static_cast<int64_t>(values.size()));
  int64_t i = 0;
  for (const double value : values) EXPECT_EQ(got.as<double>()[i++], value) << "element " << i - 1;
}

void expect_ints(const ArrayValue& got, const Ints& shape, std::initializer_list<int64_t> values) {
  EXPECT_EQ(got.shape, shape);
  ASSERT_EQ(got.size(), static_cast<int64_t>(values.size()));
  int64_t i = 0;
  for (const int64_t value : values)
    EXPECT_EQ(got.as<int64_t>()[i++], value) << "element " << i - 1;
}

const ArrayValue kMatrix = float_array({2, 3}, {1, 2, 3, 4, 5, 6});

TEST(Structural, Views) {
  expect_array(evaluate({kMatrix}, [](const auto& p) { return prim::transpose(p[0], 0, -1); }),
               {3, 2}, {1, 4, 2, 5, 3, 6});
  const int64_t last[] = {1};
  expect_array(evaluate({kMatrix}, [&](const auto& p) { return prim::flip(p[0], last); }), {2, 3},
               {3, 2, 1, 6, 5, 4});
  expect_array(evaluate({kMatrix}, [](const auto& p) { return prim::slice(p[0], -1, 0, 2, 2); }),
               {2, 2}, {1, 3, 4, 6});
  expect_array(evaluate({kMatrix}, [](const auto& p) { return prim::unsqueeze(p[0], -1); }),
               {2, 3, 1}, {1, 2, 3, 4, 5, 6});
  const auto row = float_array({3}, {7, 8, 9});
  expect_array(evaluate({row}, [](const auto& p) { return prim::broadcast_to(p[0], {2, 3}); }),
               {2, 3}, {7, 8, 9, 7, 8, 9});
  const int64_t both[] = {0, 2};
  const auto column = float_array({1, 2, 1}, {3, 4});
  expect_array(evaluate({column}, [&](const auto& p) { return prim::squeeze(p[0], both); }), {2},
               {3, 4});
  expect_array(evaluate({kMatrix}, [](const auto& p) { return prim::reshape(p[0], {3, 2}); }),
               {3, 2}, {1, 2, 3, 4, 5, 6});
}

TEST(Structural, PadAndConcatenate) {
  const auto zero = float_array({}, {0});
  const Dim low[] = {0, 1};
  const Dim high[] = {1, 0};
  const Dim interior[] = {0, 1};
  expect_array(evaluate({kMatrix, zero},
                        [&](const auto& p) { return prim::pad(p[0], p[1], low, high, interior); }),
               {3, 6}, {0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 0, 0, 0, 0, 0});
  const auto column = float_array({2, 1}, {7, 8});
  expect_array(evaluate({kMatrix, column}, [](const auto& p) { return prim::concatenate(p, 1); }),
               {2, 4}, {1, 2, 3, 7, 4, 5, 6, 8});
}

TEST(Structural, Sources) {
  expect_ints(
      evaluate({kMatrix}, [](const auto& p) { return prim::iota(p[0].builder(), {2, 3}, 1); }),
      {2, 3}, {0, 1, 2, 0, 1, 2});
  expect_ints(
      evaluate({kMatrix}, [](const auto& p) { return prim::linear_index(p[0].builder(), {2, 3}); }),
      {2, 3}, {0, 1, 2, 3, 4, 5});
  Builder builder;
  builder.parameter(DType::Float64, {Dim::size(0, 0), Dim::size(0, 1)});
  const Expr count = prim::extent(builder, Dim::size(0, 0) * Dim::size(0, 1));
  expect_ints(ir::interpret(builder.finish({&count, 1}), {&kMatrix, 1}, {}, {})[0], {}, {6});
}

TEST(Structural, Reductions) {
  const int64_t rows[] = {0};
  const int64_t columns[] = {1};
  const int64_t both[] = {1, 0};
  expect_array(evaluate({kMatrix}, [&](const auto& p) { return prim::sum(p[0], columns); }), {2, 1},
               {6, 15});
  expect_array(evaluate({kMatrix}, [&](const auto& p) { return prim::sum(p[0], both, false); }), {},
               {21});
  expect_array(evaluate({kMatrix}, [&](const auto& p) { return prim::prod(p[0], rows, false); }),
               {3}, {4, 10, 18});
  expect_array(evaluate({kMatrix}, [&](const auto& p) { return prim::amax(p[0], rows); }), {1, 3},
               {4, 5, 6});
  const auto nothing = float_array({2, 0}, {});
  const double infinity = std::numeric_limits<double>::infinity();
  expect_array(evaluate({nothing}, [&](const auto& p) { return prim::amax(p[0], columns, false); }),
               {2}, {-infinity, -infinity});
  expect_array(evaluate({nothing}, [&](const auto& p) { return prim::sum(p[0], columns, false); }),
               {2}, {0, 0});
  const auto flags = bool_array({2, 2}, {true, false, true, true});
  const ArrayValue conj =
      evaluate({flags}, [&](const auto& p) { return prim::all(p[0], columns, false); });
  EXPECT_EQ(conj.as<bool>()[0], false);
  EXPECT_EQ(conj.as<bool>()[1], true);
  const ArrayValue disj =
      evaluate({flags}, [&](const auto& p) { return prim::any(p[0], rows, false); });
  EXPECT_EQ(disj.as<bool>()[0] && disj.as<bool>()[1], true);
}

TEST(Structural, IntegerExtremaOfNothingAreTheBounds) {
  const int64_t axis[] = {0};
  const auto nothing = int_array({0}, {});
  expect_ints(evaluate({nothing}, [&](const auto& p) { return prim::amax(p[0], axis, false); }), {},
              {std::numeric_limits<int64_t>::min()});
  expect_ints(evaluate({nothing}, [&](const auto& p) { return prim::amin(p[0], axis, false); }), {},
              {std::numeric_limits<int64_t>::max()});
  const ArrayValue bytes(DType::Int8, {0});
  const ArrayValue least =
      evaluate({bytes}, [&](const auto& p) { return prim::amax(p[0], axis, false); });
  EXPECT_EQ(least.as<int8_t>()[0], -128);
}

TEST(Structural, IndexingBroadcastsItsIndices) {
  const auto rows = int_array({2, 1}, {1, 0});
  const auto columns = int_array({3}, {2, 0, 2});
  expect_array(evaluate({kMatrix, rows, columns},
                        [](const auto& p) {
                          return prim::gather(p[0], std::span<const Expr>(p).subspan(1));
                        }),
               {2, 3}, {6, 4, 6, 3, 1, 3});
  const auto added = float_array({2, 3}, {10, 20, 30, 40, 50, 60});
  const auto scatter = [&](auto fn) {
    return evaluate({kMatrix, rows, columns, added}, [&](const auto& p) {
      return fn(p[0], std::span<const Expr>(p).subspan(1, 2), p[3]);
    });
  };
  expect_array(scatter(prim::scatter_add), {2, 3}, {51, 2, 103, 24, 5, 46});
  expect_array(scatter(prim::scatter_set), {2, 3}, {50, 2, 60, 20, 5, 30});
}

TEST(Structural, IndicesOutOfRangeAreRefused) {
  const auto index = int_array({1}, {3});
  const auto vector = float_array({3}, {1, 2, 3});
  EXPECT_THROW(
      evaluate({vector, index}, [](const auto& p) { return prim::gather(p[0], {&p[1], 1}); }),
      InternalError);
}

TEST(Structural, ScatterAddAddsInAscendingOrder) {
  const auto target = float_array({1}, {0});
  const auto index = int_array({3}, {0, 0, 0});
  const auto source = float_array({3}, {1, 1e16, -1e16});
  expect_array(evaluate({target, index, source},
                        [](const auto& p) { return prim::scatter_add(p[0], {&p[1], 1}, p[2]); }),
               {1}, {0});
}

TEST(Structural, Contract) {
  const auto b = float_array({3, 2}, {1, 0, 0, 1, 2, 3});
  expect_array(evaluate({kMatrix, b}, [](const auto& p) { return prim::contract(p[0], p[1]); }),
               {2, 2}, {7, 11, 16, 23});
}

// ---- build.h
// -------------------------------------------------------------------------------------

TEST(Build, OperandsBroadcastAndPreferTheFirstExtent) {
  Builder builder;
  const Dim m = Dim::size(0, 0);
  const Dim n = Dim::size(0, 1);
  const Expr a = builder.parameter(DType::Float32, {m, n});
  const Expr b = builder.parameter(DType::Float32, {Dim::size(1, 0)});
  const Expr c = builder.parameter(DType::Float32, {m, 1});
  EXPECT_EQ((a + b).shape(), (Shape{m, n}));
  EXPECT_EQ((c + b).shape(), (Shape{m, Dim::size(1, 0)}));
  EXPECT_EQ((1.0 - c).shape(), c.shape());
  const Expr d = builder.parameter(DType::Float32, {Dim::size(3, 0), Dim::size(3, 1)});
  const size_t before = builder.nodes().size();
  EXPECT_EQ((a * d).shape(), a.shape());
  EXPECT_EQ(builder.nodes().size(), before + 1);  // symbols are taken as equal: no broadcast
}

TEST(Build, ExtentsThatDifferAreRefused) {
  Builder builder;
  const Expr a = builder.parameter(DType::Float32, {2, 3});
  const Expr b = builder.parameter(DType::Float32, {4});
  EXPECT_THROW(a + b, InternalError);
  EXPECT_THROW(prim::reshape(a, {4}), InternalError);
  EXPECT_THROW(prim::slice(a, 1, 2, 2), InternalError);
  EXPECT_THROW(prim::contract(a, a), InternalError);
  const int64_t repeated[] = {0, 0};
  EXPECT_THROW(prim::permute(a, repeated), InternalError);
  EXPECT_THROW(prim::sum(a, repeated), InternalError);
  EXPECT_THROW(prim::squeeze(a, {repeated, 1}), InternalError);
  EXPECT_THROW(prim::flip(a, repeated), InternalError);
  EXPECT_THROW(prim::gather(a, {&b, 1}), InternalError);
  EXPECT_THROW(prim::exp(Expr()), InternalError);
}

TEST(Build, WhatChangesNoBitAddsNoNode) {
  Builder builder;
  const Shape shape{Dim::size(0, 0), Dim(3)};
  const Expr a = builder.parameter(DType::Float32, shape);
  EXPECT_EQ((a * 1.0).id(), a.id());
  EXPECT_EQ((1.0 * a).id(), a.id());
  EXPECT_EQ((a / 1.0).id(), a.id());
  EXPECT_NE((a + 0.0).id(), a.id());  // -0 + 0 is +0
  const int64_t identity[] = {0, 1};
  EXPECT_EQ(prim::permute(a, identity).id(), a.id());
  EXPECT_EQ(prim::broadcast_to(a, shape).id(), a.id());
  EXPECT_EQ(prim::reshape(a, shape).id(), a.id());
  EXPECT_EQ(prim::slice(a, 1, 0, 3).id(), a.id());
  EXPECT_EQ(prim::convert(a, DType::Float32).id(), a.id());
  EXPECT_EQ(prim::sum(a, {}).id(), a.id());
  EXPECT_EQ(prim::concatenate({&a, 1}, 0).id(), a.id());
  EXPECT_EQ((a * 2.0).id(), (a * 2.0).id());
}

TEST(Build, BroadcastsOfBroadcastsAreOne) {
  Builder builder;
  const Expr a = builder.parameter(DType::Float32, {3});
  const Expr once = prim::unsqueeze(a, 1);
  const Expr twice = prim::broadcast_to(once, {2, 3, 4});
  EXPECT_EQ(twice.node().arguments[0], a.id());
  const auto values = float_array({3}, {1, 2, 3});
  const ArrayValue got = evaluate({values}, [](const auto& p) {
    return prim::broadcast_to(prim::unsqueeze(p[0], 1), {2, 3, 2});
  });
  expect_array(got, {2, 3, 2}, {1, 1, 2, 2, 3, 3, 1, 1, 2, 2, 3, 3});
}

TEST(Build, NumbersTakeTheDtypeOfTheirOperand) {
  Builder builder;
  const Expr n = builder.parameter(DType::Int64, {2});
  EXPECT_EQ((n + 1.0).dtype(), DType::Int64);
  EXPECT_EQ(prim::eq(n, 0).dtype(), DType::Bool);
  EXPECT_EQ(prim::constant(builder, DType::Float32, Scalar(1)).id(),
            prim::constant(builder, DType::Float32, Scalar(1.0)).id());
}

}  // namespace
}  // namespace flambeau::testing
