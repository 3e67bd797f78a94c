// The form of a scan over blocks: what it encodes, which parts blocks see, what it refuses.

#include "ir/block_scan.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "prim/block_scan.h"

namespace flambeau {
namespace {

using ir::BlockScan;
using ir::Builder;
using ir::Expr;

BlockScan example() {
  BlockScan scan{.carries = 1, .batch = 2, .block = 3, .triangular = true};
  scan.operands = {{.rows = 0}, {.scanned = 1, .step = 3}, {.scanned = 0, .step = 1}, {.rows = 1}};
  scan.outputs = {{.rows = 0, .scanned = 1, .step = 3}};
  return scan;
}

TEST(BlockScanForm, EncodesAllOfItself) {
  const BlockScan scan = example();
  const BlockScan back = BlockScan::decode(scan.encode());
  EXPECT_EQ(back.encode(), scan.encode());
  EXPECT_EQ(back.carries, 1);
  EXPECT_EQ(back.batch, 2);
  EXPECT_EQ(back.block, 3);
  EXPECT_TRUE(back.triangular);
  EXPECT_FALSE(back.reverse);
  ASSERT_EQ(back.operands.size(), 4U);
  EXPECT_EQ(back.operands[1].scanned, 1);
  EXPECT_EQ(back.operands[2].step, 1);
  ASSERT_EQ(back.outputs.size(), 1U);
  EXPECT_EQ(back.outputs[0].rows, 0);
}

TEST(BlockScanForm, RefusesAxesThatAreNone) {
  SmallVector<int64_t, 5> axes = example().encode();
  axes.pop_back();
  EXPECT_THROW(BlockScan::decode(axes), InternalError);
  EXPECT_THROW(BlockScan::decode(SmallVector<int64_t, 5>{}), InternalError);
  axes = example().encode();
  axes[2] = 0;  // no block
  EXPECT_THROW(BlockScan::decode(axes), InternalError);
  axes = example().encode();
  axes[0] = 5;  // more carried values than operands
  EXPECT_THROW(BlockScan::decode(axes), InternalError);
}

TEST(BlockScanForm, PartsOfBlocks) {
  BlockScan scan = example();
  scan.batch = 0;
  const std::vector<Ints> sizes{{4, 2}, {2, 7}, {3, 5}, {2, 4}};
  const BlockScan::Extents extents = scan.extents(sizes);
  EXPECT_EQ(extents.scanned, 7);
  EXPECT_EQ(extents.blocks, 3);
  EXPECT_EQ(extents.rows, 4);
  const BlockScan::Part last = scan.part(scan.operands[1], sizes[1], 2, 0, 4);
  EXPECT_EQ(last.starts, (Ints{0, 6}));
  EXPECT_EQ(last.sizes, (Ints{2, 1}));
  const BlockScan::Part rows = scan.part(scan.operands[3], sizes[3], 1, 3, 4);
  EXPECT_EQ(rows.starts, (Ints{0, 3}));
  EXPECT_EQ(rows.sizes, (Ints{2, 1}));
  EXPECT_EQ(scan.part(scan.operands[2], sizes[2], 1, 0, 4).starts, (Ints{1, 0}));
  EXPECT_THROW(scan.extents(std::vector<Ints>{{4, 2}, {2, 7}, {4, 5}, {2, 4}}), InternalError);
}

/// The sum of blocks' sums of p0, onto p1.
std::vector<Expr> sums(Builder& builder, DType carried_dtype) {
  const Expr x = builder.parameter(DType::Float32, {ir::Dim::size(0, 0)});
  const Expr start = builder.parameter(carried_dtype, {});
  const prim::Scanned inputs[] = {{x, {.scanned = 0, .step = 128}}};
  const prim::Scanned carried[] = {{start}};
  return prim::block_scan({}, inputs, carried, {}, [](const prim::BlockScanBody& b) {
    const int64_t axes[] = {0};
    return std::vector<Expr>{prim::operator+(b.carried[0], prim::sum(b.inputs[0], axes, false))};
  });
}

TEST(BlockScanForm, ReadsBackFromText) {
  Builder builder;
  const std::vector<Expr> results = sums(builder, DType::Float32);
  const ir::Program program = builder.finish(results);
  ir::verify(program);
  const ir::Program again = ir::parse_program(program.text());
  EXPECT_EQ(again.hash(), program.hash());
  ir::verify(again);
}

TEST(BlockScanForm, RefusesWhatDoesNotFit) {
  Builder builder;
  const std::vector<Expr> results = sums(builder, DType::Float32);
  const ir::Node node = results[0].node();
  const Expr x = builder.expr(node.arguments[0]);
  const Expr start = builder.expr(node.arguments[1]);
  const auto add = [&](std::vector<Expr> operands, ir::Attributes attributes) {
    return builder.add(node.primitive, operands, std::move(attributes));
  };
  EXPECT_THROW(add({x}, node.attributes), InternalError);
  EXPECT_THROW(add({start, x}, node.attributes), InternalError);
  ir::Attributes changed = node.attributes;
  changed.index = 1;
  EXPECT_THROW(add({x, start}, changed), InternalError);
  changed = node.attributes;
  changed.body = nullptr;
  EXPECT_THROW(add({x, start}, changed), InternalError);
  BlockScan scan = BlockScan::decode(node.attributes.axes);
  scan.operands[0] = {.rows = 0};  // nothing is scanned
  changed = node.attributes;
  changed.axes = scan.encode();
  EXPECT_THROW(add({x, start}, changed), InternalError);
}

TEST(BlockScanForm, WidenedInputsArePassedAsTheyAre) {
  Builder builder;
  const Expr x = builder.parameter(DType::BFloat16, {ir::Dim::size(0, 0)});
  const Expr start = builder.parameter(DType::Float32, {});
  const prim::Scanned inputs[] = {{prim::convert(x, DType::Float32), {.scanned = 0, .step = 128}}};
  const prim::Scanned carried[] = {{start}};
  const std::vector<Expr> results =
      prim::block_scan({}, inputs, carried, {}, [](const prim::BlockScanBody& b) {
        EXPECT_EQ(b.inputs[0].dtype(), DType::Float32);
        const int64_t axes[] = {0};
        return std::vector<Expr>{prim::amax(b.inputs[0], axes, false)};
      });
  EXPECT_EQ(results[0].node().arguments[0], x.id());
}

}  // namespace
}  // namespace flambeau
