#include "codegen/share_row_values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/codegen/kernel_run.h"
#include "tests/codegen/loop_builder.h"

namespace flambeau::test {
namespace {

constexpr DType kF32 = DType::Float32;

/// out[i, j] = g(f(x[i, j] - most) / sum of f(...)), f costly; `reread` uses x once more.
ir::LoopProgram normalised(bool reread, int64_t write_extent_slot = 2) {
  LoopBuilder b;
  const int x = b.buffer(kF32), out = b.buffer(kF32, true);
  const IntOperand x_row = b.slot(), out_row = b.slot(), length = b.slot(), other = b.slot();
  const Primitive* costly = ir::find_primitive("exp");
  b.loop(LoopMark::Parallel, c(0), [&](LoopVar r) {
    const auto load = [&](LoopVar v) { return b.load(x, {at(r, x_row), at(v)}); };
    const ValueId most = b.reduce(CoreOp::Max, LoopMark::Vector, length, load);
    const auto value = [&](LoopVar v) {
      return b.row(costly, kF32, {b.op(CoreOp::Sub, {load(v), most})});
    };
    const ValueId sum = b.reduce(CoreOp::Add, LoopMark::Vector, length, value);
    b.loop(LoopMark::Vector, write_extent_slot == 2 ? length : other, [&](LoopVar v) {
      ValueId result = b.op(CoreOp::Div, {value(v), sum});
      if (reread) result = b.op(CoreOp::Add, {result, load(v)});
      b.store(out, {at(r, out_row), at(v)}, result);
    });
  });
  return b.finish();
}

int count(const std::string& text, const std::string& what) {
  int found = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

TEST(ShareRowValues, ComputesACostlyValueOnce) {
  const std::string before = normalised(false).text();
  const std::string after = codegen::share_row_values(normalised(false)).text();
  EXPECT_EQ(count(before, "= exp "), 2);
  EXPECT_EQ(count(after, "= exp "), 1) << after;
  EXPECT_EQ(count(after, "store b1"), 2) << after;
  EXPECT_EQ(count(after, "load b1"), 1) << after;
}

TEST(ShareRowValues, LeavesWhatIsNotSafe) {
  // Another read of the row would find it overwritten if out is x.
  EXPECT_EQ(codegen::share_row_values(normalised(true)).text(), normalised(true).text());
  // Other extents: not every element written was computed before.
  EXPECT_EQ(codegen::share_row_values(normalised(false, 3)).text(), normalised(false, 3).text());
}

TEST(ShareRowValues, ChangesNoBit) {
  for (const int64_t length :
       {int64_t{1}, int64_t{31}, int64_t{77}, int64_t{1024}, int64_t{2500}}) {
    for (const bool in_place : {false, true}) {
      constexpr int64_t kRows = 3;
      std::mt19937_64 random(11);
      std::normal_distribution<float> normal;
      const size_t bytes = static_cast<size_t>(kRows * length) * sizeof(float);
      GuardedBuffer input(bytes), expected(bytes);
      for (int64_t i = 0; i < kRows * length; ++i) {
        const float v = normal(random);
        std::memcpy(input.data() + i * 4, &v, 4);
      }
      const int64_t ints[] = {length, length, length, length};
      void* const reference[] = {input.data(), expected.data()};
      ir::interpret(normalised(false), reference, ints, 0, kRows, 0, 0);
      for (const Isa isa : runnable_isas()) {
        const auto kernel = load_kernel(codegen::compile(normalised(false), isa));
        GuardedBuffer source(bytes), result(bytes);
        std::memcpy(source.data(), input.data(), bytes);
        void* const buffers[] = {source.data(), in_place ? source.data() : result.data()};
        kernel(buffers, ints, 0, kRows, 0, 0);
        EXPECT_EQ(std::memcmp(buffers[1], expected.data(), bytes), 0)
            << isa_name(isa) << ' ' << length << (in_place ? " in place" : "");
      }
    }
  }
}

}  // namespace
}  // namespace flambeau::test
