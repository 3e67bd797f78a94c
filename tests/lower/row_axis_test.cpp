// Programs that keep the rows of their parameters apart, and programs in which rows meet.

#include "lower/row_axis.h"

#include <gtest/gtest.h>

#include "prim/build.h"

namespace flambeau {
namespace {

using ir::Builder;
using ir::Dim;
using ir::Expr;
using prim::operator+;
using prim::operator*;

/// x has its rows along axis 0, y along axis 1, w none. True if build(x, y, w) keeps them apart.
template <class Build>
bool apart(int result_rows, const Build& build) {
  Builder builder;
  const Dim rows = Dim::size(0, 0);
  const Dim width = Dim::size(0, 1);
  const Expr x = builder.parameter(DType::Float32, {rows, width});
  const Expr y = builder.parameter(DType::Float32, {width, rows});
  const Expr w = builder.parameter(DType::Float32, {width, width});
  const Expr result = build(x, y, w);
  const ir::Program program = builder.finish({&result, 1});
  const int parameters[] = {0, 1, -1};
  return lower::keeps_rows_apart(program, parameters, {&result_rows, 1});
}

const int64_t kFirst[] = {0};
const int64_t kSecond[] = {1};

TEST(RowAxis, ElementwiseAndViews) {
  EXPECT_TRUE(apart(0, [](auto x, auto y, auto) { return x + prim::transpose(y, 0, 1); }));
  EXPECT_TRUE(apart(1, [](auto x, auto y, auto) { return prim::transpose(x, 0, 1) * y; }));
  EXPECT_FALSE(apart(1, [](auto x, auto, auto) { return x; }));  // rows are elsewhere
  EXPECT_TRUE(apart(0, [](auto x, auto, auto) { return prim::flip(x, kSecond); }));
  EXPECT_FALSE(apart(0, [](auto x, auto, auto) { return prim::flip(x, kFirst); }));
  EXPECT_TRUE(apart(0, [](auto x, auto, auto) { return prim::slice(x, 1, 0, 1); }));
  EXPECT_FALSE(apart(0, [](auto x, auto, auto) { return prim::slice(x, 0, 0, 1); }));
  EXPECT_TRUE(apart(1, [](auto x, auto, auto) { return prim::unsqueeze(x, 0); }));
  EXPECT_FALSE(
      apart(0, [](auto x, auto, auto) { return prim::reshape(x, {x.dim(0) * x.dim(1)}); }));
}

TEST(RowAxis, Reductions) {
  EXPECT_TRUE(apart(0, [](auto x, auto, auto) { return prim::sum(x, kSecond, false); }));
  EXPECT_TRUE(apart(0, [](auto, auto y, auto) { return prim::sum(y, kFirst, false); }));
  EXPECT_FALSE(apart(-1, [](auto x, auto, auto) { return prim::sum(x, kFirst, false); }));
  EXPECT_TRUE(apart(0, [](auto x, auto, auto) { return x * prim::amax(x, kSecond); }));
}

TEST(RowAxis, Products) {
  EXPECT_TRUE(apart(0, [](auto x, auto, auto w) { return prim::contract(x, w); }));
  EXPECT_TRUE(apart(1, [](auto, auto y, auto w) { return prim::contract(w, y); }));
  EXPECT_FALSE(apart(-1, [](auto x, auto y, auto) { return prim::contract(y, x); }));
  EXPECT_FALSE(apart(0, [](auto x, auto y, auto) { return prim::contract(x, y); }));
}

TEST(RowAxis, NumbersOfRowsAreRows) {
  EXPECT_FALSE(apart(0, [](auto x, auto, auto) {
    return x * prim::convert(prim::extent(x.builder(), x.dim(0)), DType::Float32);
  }));
  EXPECT_TRUE(apart(0, [](auto x, auto, auto) {
    return x * prim::convert(prim::extent(x.builder(), x.dim(1)), DType::Float32);
  }));
  EXPECT_TRUE(apart(0, [](auto x, auto, auto) {
    return x + prim::convert(prim::iota(x.builder(), x.shape(), 1), DType::Float32);
  }));
}

TEST(RowAxis, ResultsWithoutRows) {
  EXPECT_TRUE(apart(-1, [](auto, auto, auto w) { return prim::sum(w, kFirst, false); }));
  EXPECT_FALSE(apart(-1, [](auto x, auto, auto) { return prim::sum(x, kSecond, false); }));
}

}  // namespace
}  // namespace flambeau
