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

/// out[i, j] = f - mean of f, over the root of the mean square of that, f(x[i, j]) costly.
ir::LoopProgram standardised() {
  LoopBuilder b;
  const int x = b.buffer(kF32), out = b.buffer(kF32, true);
  const IntOperand x_row = b.slot(), out_row = b.slot(), length = b.slot();
  const Primitive* costly = ir::find_primitive("exp");
  b.loop(LoopMark::Parallel, c(0), [&](LoopVar r) {
    const auto value = [&](LoopVar v) {
      return b.row(costly, kF32, {b.load(x, {at(r, x_row), at(v)})});
    };
    const ValueId sum = b.reduce(CoreOp::Add, LoopMark::Vector, length, value);
    const auto centred = [&](LoopVar v) { return b.op(CoreOp::Sub, {value(v), sum}); };
    const ValueId squares = b.reduce(CoreOp::Add, LoopMark::Vector, length, [&](LoopVar v) {
      const ValueId difference = centred(v);
      return b.op(CoreOp::Mul, {difference, difference});
    });
    b.loop(LoopMark::Vector, length, [&](LoopVar v) {
      b.store(out, {at(r, out_row), at(v)}, b.op(CoreOp::Div, {centred(v), squares}));
    });
  });
  return b.finish();
}

/// normalised() from and to bfloat16.
ir::LoopProgram normalised_halves() {
  LoopBuilder b;
  const int x = b.buffer(DType::BFloat16), out = b.buffer(DType::BFloat16, true);
  const IntOperand x_row = b.slot(), out_row = b.slot(), length = b.slot();
  b.loop(LoopMark::Parallel, c(0), [&](LoopVar r) {
    const auto value = [&](LoopVar v) {
      return b.row(ir::find_primitive("exp"), kF32,
                   {b.convert(kF32, b.load(x, {at(r, x_row), at(v)}))});
    };
    const ValueId sum = b.reduce(CoreOp::Add, LoopMark::Vector, length, value);
    b.loop(LoopMark::Vector, length, [&](LoopVar v) {
      b.store(out, {at(r, out_row), at(v)},
              b.convert(DType::BFloat16, b.op(CoreOp::Div, {value(v), sum})));
    });
  });
  return b.finish();
}

/// A normalised row that is written over the one that is read.
ir::LoopProgram normalised_in_place() {
  LoopBuilder b;
  const int x = b.buffer(kF32, true);
  const IntOperand row = b.slot(), length = b.slot();
  b.loop(LoopMark::Parallel, c(0), [&](LoopVar r) {
    const auto value = [&](LoopVar v) {
      return b.row(ir::find_primitive("exp"), kF32, {b.load(x, {at(r, row), at(v)})});
    };
    const ValueId sum = b.reduce(CoreOp::Add, LoopMark::Vector, length, value);
    b.loop(LoopMark::Vector, length,
           [&](LoopVar v) { b.store(x, {at(r, row), at(v)}, b.op(CoreOp::Div, {value(v), sum})); });
  });
  return b.finish();
}

int count(const std::string& text, const std::string& what) {
  int found = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

std::string shared(const ir::LoopProgram& program) {
  return codegen::share_row_values(program).program.text();
}

TEST(ShareRowValues, ComputesACostlyValueOnce) {
  for (const bool reread : {false, true}) {
    const std::string after = shared(normalised(reread));
    EXPECT_EQ(count(normalised(reread).text(), "= exp "), 2);
    EXPECT_EQ(count(after, "= exp "), 1) << after;
    EXPECT_EQ(count(after, "store b2"), 1) << after;
    EXPECT_EQ(count(after, "load b2"), 1) << after;
  }
}

TEST(ShareRowValues, KeepsAValueForAllPassesAfterIt) {
  const std::string after = shared(standardised());
  EXPECT_EQ(count(standardised().text(), "= exp "), 3);
  EXPECT_EQ(count(after, "= exp "), 1) << after;
  EXPECT_EQ(count(after, "store b2"), 1) << after;
  EXPECT_EQ(count(after, "load b2"), 2) << after;
}

TEST(ShareRowValues, OfHalvesAreKeptInFloat32) {
  const codegen::SharedRows after = codegen::share_row_values(normalised_halves());
  EXPECT_EQ(count(after.program.text(), "= exp "), 1) << after.program.text();
  ASSERT_EQ(after.places.size(), 1U);
  EXPECT_EQ(after.places[0].home, -1);
  EXPECT_EQ(after.program.buffers.back().dtype, kF32);
}

TEST(ShareRowValues, LeavesWhatIsNotSafe) {
  // Other extents: not every element written was computed before.
  EXPECT_EQ(shared(normalised(false, 3)), normalised(false, 3).text());
  // What is read again may not be where values are kept.
  EXPECT_EQ(shared(normalised_in_place()), normalised_in_place().text());
}

TEST(ShareRowValues, ChangesNoBit) {
  constexpr int64_t kRows = 3;
  for (const ir::LoopProgram& program : {normalised(false), normalised(true), standardised()})
    // The longest rows are kept where the result will be.
    for (const int64_t length : {1, 31, 77, 1024, 2500, 4096, 4097}) {
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
      ir::interpret(program, reference, ints, 0, kRows, 0, 0);
      for (const Isa isa : runnable_isas()) {
        const auto kernel = load_kernel(codegen::compile(program, isa));
        GuardedBuffer result(bytes);
        void* const buffers[] = {input.data(), result.data()};
        kernel(buffers, ints, 0, kRows, 0, 0);
        EXPECT_EQ(std::memcmp(result.data(), expected.data(), bytes), 0)
            << isa_name(isa) << ' ' << length;
      }
    }
}

TEST(ShareRowValues, OfHalvesChangesNoBit) {
  constexpr int64_t kRows = 2;
  const ir::LoopProgram program = normalised_halves();
  for (const int64_t length : {1, 33, 1024, 4096, 4097, 5000}) {
    const size_t bytes = static_cast<size_t>(kRows * length) * sizeof(uint16_t);
    GuardedBuffer input(bytes), expected(bytes);
    std::mt19937_64 random(12);
    for (int64_t i = 0; i < kRows * length; ++i) {
      const auto v = static_cast<uint16_t>(0x3c00 + random() % 0x400);
      std::memcpy(input.data() + i * 2, &v, 2);
    }
    const int64_t ints[] = {length, length, length};
    void* const reference[] = {input.data(), expected.data()};
    ir::interpret(program, reference, ints, 0, kRows, 0, 0);
    for (const Isa isa : runnable_isas()) {
      const auto kernel = load_kernel(codegen::compile(program, isa));
      GuardedBuffer result(bytes);
      void* const buffers[] = {input.data(), result.data()};
      kernel(buffers, ints, 0, kRows, 0, 0);
      EXPECT_EQ(std::memcmp(result.data(), expected.data(), bytes), 0)
          << isa_name(isa) << ' ' << length;
    }
  }
}

}  // namespace
}  // namespace flambeau::test
