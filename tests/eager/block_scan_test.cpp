// Scans over blocks as they are run: the interpreter's bits, whatever rows are taken together and
// however many threads there are.

#include "eager/block_scan.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "eager/bound_run.h"
#include "ir/interpreter.h"
#include "lower/plan.h"
#include "prim/block_scan.h"
#include "runtime/thread_pool.h"
#include "tests/eager/array_of.h"

namespace flambeau {
namespace {

using ir::ArrayValue;
using ir::BlockScan;
using ir::Builder;
using ir::Dim;
using ir::Expr;
using ir::Program;
using testing::array_of;

Tensor random_tensor(const Ints& sizes, uint32_t seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  Tensor t = Tensor::empty(sizes, DType::Float32);
  for (int64_t i = 0; i < t.numel(); ++i) t.data<float>()[i] = normal(engine);
  return t;
}

/// Scores of [batch, rows, width] against [batch, keys, width], their exponentials' sums and what
/// they weight, and the scores themselves laid one block behind the other: what attention does.
/// `column_sums` gives an output in which rows meet, `masked` hides what is above the diagonal.
Program attention(BlockScan form, bool column_sums, bool masked = true) {
  Builder builder;
  const auto size = [](int p, int axis) { return Dim::size(p, axis); };
  const Expr query = builder.parameter(DType::Float32, {size(0, 0), size(0, 1), size(0, 2)});
  const Expr key = builder.parameter(DType::Float32, {size(0, 0), size(1, 1), size(0, 2)});
  form.batch = 1;
  const auto filled = [&](std::initializer_list<Dim> shape, double value) {
    return prim::broadcast_to(prim::constant(builder, DType::Float32, value), ir::Shape(shape));
  };
  const prim::Scanned inputs[] = {{query, {.rows = 0}}, {key, {.scanned = 0, .step = form.block}}};
  const prim::Scanned carried[] = {{filled({size(0, 0), size(0, 1)}, 1), {.rows = 0}},
                                   {filled({size(0, 0), size(0, 1), size(0, 2)}, 0), {.rows = 0}}};
  std::vector<BlockScan::Axes> outputs{{.rows = 1, .scanned = 0, .step = form.block}};
  if (column_sums) outputs.push_back({.scanned = 0, .step = form.block});
  const std::vector<Expr> results = prim::block_scan(
      form, inputs, carried, outputs, [&](const prim::BlockScanBody& b) -> std::vector<Expr> {
        using namespace prim;  // NOLINT(google-build-using-namespace): the language of programs
        const int64_t rows[] = {0};
        const int64_t columns[] = {1};
        const Expr scores = contract(b.inputs[0], transpose(b.inputs[1], 0, 1));
        const Expr column = iota(b.builder, scores.shape(), 1) + b.block_start;
        const Expr row = iota(b.builder, scores.shape(), 0) + b.first_row;
        Expr weights = exp(scores * 0.1);
        if (masked) weights = select(gt(column, row), 0.25, weights);
        std::vector<Expr> out{
            b.carried[0] * 0.5 + sum(weights, columns, false),
            b.carried[1] * unsqueeze(b.carried[0], 1) * 0.01 + contract(weights, b.inputs[1]),
            transpose(scores, 0, 1)};
        if (column_sums) out.push_back(sum(weights, rows, false));
        return out;
      });
  return builder.finish(results);
}

struct Case {
  int64_t batch, rows, keys, width, block;
  bool triangular = false, reverse = false, column_sums = false;
};

class BlockScans : public ::testing::TestWithParam<Case> {};

INSTANTIATE_TEST_SUITE_P(
    Sizes, BlockScans,
    ::testing::Values(
        Case{2, 5, 7, 3, 4}, Case{3, 17, 33, 8, 16}, Case{1, 1, 40, 5, 16}, Case{2, 33, 1, 4, 16},
        Case{2, 40, 40, 4, 16, true}, Case{1, 50, 20, 4, 16, true}, Case{1, 20, 50, 4, 16, true},
        Case{2, 40, 33, 4, 16, false, true}, Case{2, 40, 50, 4, 16, true, true},
        Case{2, 17, 33, 8, 16, false, false, true}, Case{2, 40, 50, 4, 16, true, false, true},
        Case{1, 40, 50, 4, 16, true, true, true}, Case{2, 0, 9, 3, 4, true, false, true},
        Case{2, 9, 0, 3, 4}, Case{0, 9, 5, 3, 4}, Case{2, 0, 9, 3, 4}));

TEST_P(BlockScans, AreTheInterpretersToTheBit) {
  const Case& c = GetParam();
  const Program program = attention(
      {.block = c.block, .triangular = c.triangular, .reverse = c.reverse}, c.column_sums);
  ir::verify(program);
  const Tensor parameters[] = {random_tensor({c.batch, c.rows, c.width}, 1),
                               random_tensor({c.batch, c.keys, c.width}, 2)};
  const ArrayValue arrays[] = {array_of(parameters[0]), array_of(parameters[1])};
  const std::vector<ArrayValue> wanted = ir::interpret(program, arrays, {}, {});
  const int threads = get_num_threads();
  for (const int count : {1, 2, 3}) {
    set_num_threads(count);
    const Results got = run(*make_executable(program), parameters, {}, {});
    ASSERT_EQ(got.size(), wanted.size());
    for (size_t i = 0; i < got.size(); ++i)
      EXPECT_EQ(array_of(got[i]).data, wanted[i].data) << "result " << i << ", threads " << count;
  }
  set_num_threads(threads);
}

TEST(BlockScan, WhatIsOneRunOfItsBodyIsBoundWithWhatIsAroundIt) {
  const Program scan = attention({.block = 16}, true);
  Builder builder(scan);
  const auto old = [&](size_t i) { return builder.expr(scan.results[i]); };
  const std::vector<Expr> results{prim::exp(prim::exp(old(0))), old(1), old(2), old(3)};
  const Program program = builder.finish(results);
  const std::shared_ptr<const Executable> executable = make_executable(program);
  std::shared_ptr<const BoundRun> bound;
  for (uint32_t turn = 0; turn < 3; ++turn) {
    const Tensor parameters[] = {random_tensor({2, 9, 3}, 2 * turn),
                                 random_tensor({2, 5, 3}, 2 * turn + 1)};
    const ArrayValue arrays[] = {array_of(parameters[0]), array_of(parameters[1])};
    const std::vector<ArrayValue> wanted = ir::interpret(program, arrays, {}, {});
    Results got(4);
    run_into(bound, *executable, parameters, {}, {}, {got.data(), got.size()});
    ASSERT_TRUE(bound->possible);
    for (size_t i = 0; i < got.size(); ++i)
      EXPECT_EQ(array_of(got[i]).data, wanted[i].data) << "result " << i << ", turn " << turn;
  }
  // Two blocks are not.
  const Tensor more[] = {random_tensor({2, 9, 3}, 1), random_tensor({2, 17, 3}, 2)};
  Results got(4);
  bound = nullptr;
  run_into(bound, *executable, more, {}, {}, {got.data(), got.size()});
  EXPECT_FALSE(bound->possible);
}

TEST(BlockScan, RowsAreTakenInPiecesWhereTheyStayApart) {
  const std::string apart = lower::text_of(lower::make_plan(attention({.block = 16}, false)));
  EXPECT_NE(apart.find("by rows"), std::string::npos) << apart;
  const std::string meeting = lower::text_of(lower::make_plan(attention({.block = 16}, true)));
  EXPECT_EQ(meeting.find("by rows"), std::string::npos) << meeting;
}

TEST(BlockScan, OutputsThatNothingReadsAreNotComputed) {
  const Program whole = attention({.block = 16}, true);
  Builder builder(whole);
  const Expr sums = builder.expr(whole.results[0]);
  const lower::Plan plan = lower::make_plan(builder.finish({&sums, 1}));
  const auto& step = std::get<lower::ScanStep>(plan.steps.back());
  EXPECT_EQ(step.form.outputs.size(), 0U);
  EXPECT_TRUE(step.by_rows);
}

TEST(BlockScan, ARowAloneIsTheRowAmongOthers) {
  const Program program = attention({.block = 16}, false, false);
  const Tensor query = random_tensor({2, 40, 8}, 1);
  const Tensor key = random_tensor({2, 50, 8}, 2);
  const Tensor all[] = {query, key};
  const Tensor together = run(*make_executable(program), all, {}, {})[1];
  for (const int64_t row : {0, 15, 16, 39}) {
    const Tensor one[] = {query.alias({2, 1, 8}, query.strides(), row * 8), key};
    const Tensor alone = run(*make_executable(program), one, {}, {})[1];
    for (const int64_t member : {0, 1})
      EXPECT_EQ(std::memcmp(alone.data<float>() + member * 8,
                            together.data<float>() + (member * 40 + row) * 8, 8 * sizeof(float)),
                0)
          << row;
  }
}

}  // namespace
}  // namespace flambeau
