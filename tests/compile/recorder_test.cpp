// What is recorded, when it runs, and into what it is cut.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <thread>

#include "compile/report.h"
#include "flambeau/flambeau.h"
#include "runtime/compiler.h"
#include "vectors.h"

namespace flambeau {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::ThrowsMessage;

int64_t runs() { return compiler::program_stats().runs; }

/// The programs that `function` becomes once its kernels are compiled.
template <class Function>
std::vector<compiler::ProgramReport> programs_of(const Function& function) {
  auto compiled = compile(function);
  auto kept = compiled();
  compiler::flush();
  wait_for_compiler();
  compiler::begin_reports();
  kept = compiled();
  compiler::flush();
  return compiler::end_reports();
}

TEST(Recorder, RunsWhenAValueIsRead) {
  const Tensor x = numbers({1, 2, 3});
  auto twice = compile([](const Tensor& t) { return mul(t, 2); });
  const int64_t before = runs();
  const Tensor y = twice(x);
  const Tensor z = add(y, 1);  // joins, as it reads what is pending
  EXPECT_EQ(runs(), before);
  EXPECT_THAT(values(z), ElementsAre(3, 5, 7));
  EXPECT_EQ(runs(), before + 1);
  EXPECT_THAT(values(y), ElementsAre(2, 4, 6));
  EXPECT_EQ(runs(), before + 1);
  EXPECT_EQ(run_sink(), nullptr) << "the thread is as before";
}

TEST(Recorder, CompiledFunctionsMayBeConst) {
  const auto twice = compile([](const Tensor& t) { return mul(t, 2); });
  EXPECT_THAT(values(twice(numbers({1, 2}))), ElementsAre(2, 4));
  int calls = 0;
  auto count = compile([calls](const Tensor& t) mutable { return add(t, ++calls); });
  EXPECT_THAT(values(count(numbers({1}))), ElementsAre(2));
  EXPECT_THAT(values(count(numbers({1}))), ElementsAre(3));
}

TEST(Recorder, RefusesABudgetOutsideOfItsRange) {
  const auto with = [](float budget) {
    return compile([](const Tensor& t) { return t; }, {.memory_budget = budget});
  };
  for (const float budget : {-3.0F, 2.0F, std::numeric_limits<float>::quiet_NaN()})
    EXPECT_THROW(with(budget), ValueError) << budget;
  EXPECT_NO_THROW(with(0.5F));
}

TEST(Recorder, TheNextCallRunsWhatAnEarlierOneLeft) {
  const Tensor x = numbers({1, 2});
  auto twice = compile([](const Tensor& t) { return mul(t, 2); });
  const Tensor y = twice(x);
  const int64_t before = runs();
  const Tensor z = twice(y);
  EXPECT_EQ(runs(), before + 1);
  EXPECT_THAT(values(z), ElementsAre(4, 8));
}

TEST(Recorder, AValueThatDependsOnNothingElseRunsAlone) {
  auto both = compile([](const Tensor& t) { return std::pair(mul(t, 2), add(t, 5)); });
  const auto [y, z] = both(numbers({1, 2, 3, 4, 5}));  // no recording that is known begins so
  const int64_t before = runs();
  EXPECT_THAT(values(y), ElementsAre(2, 4, 6, 8, 10));
  EXPECT_EQ(runs(), before + 1);
  EXPECT_NE(z->storage->pending(), nullptr);
  EXPECT_THAT(values(z), ElementsAre(6, 7, 8, 9, 10));
  EXPECT_EQ(runs(), before + 2);
}

TEST(Recorder, WhatStaysBehindARunAloneIsAsBefore) {
  const Tensor shared = numbers({1, 2, 3, 4});
  std::vector<Tensor> made;
  auto all = compile([&](const Tensor& t) {
    for (int i = 0; i < 4; ++i) {
      const Tensor own = numbers({1, 2, 3, 4});  // of this run alone
      made.push_back(mul(add(t, i), select(own, 0, i)));
    }
    return select(made.back(), 0, 3);
  });
  const Tensor last = all(shared);
  // Runs in the middle go, and with them the storages that only they touch.
  for (const int i : {1, 0}) {
    const auto factor = static_cast<float>(i + 1);
    const auto first = static_cast<float>(i + 1) * factor;
    EXPECT_THAT(values(made[static_cast<size_t>(i)]),
                ElementsAre(first, first + factor, first + 2 * factor, first + 3 * factor));
    EXPECT_NE(made[2]->storage->pending(), nullptr);
  }
  const Tensor later = add(made[2], last);  // joins what stayed
  EXPECT_THAT(values(later), ElementsAre(3 * 3 + 28, 3 * 4 + 28, 3 * 5 + 28, 3 * 6 + 28));
  EXPECT_THAT(values(made[3]), ElementsAre(4 * 4, 4 * 5, 4 * 6, 4 * 7));
  EXPECT_EQ(shared->storage->pending(), nullptr);
}

TEST(Recorder, ManyReadsOfOneRecordingRunItAll) {
  std::vector<Tensor> counters(3000);
  for (Tensor& counter : counters) counter = numbers({1});
  auto count = compile([&] {
    for (const Tensor& counter : counters) add_(counter, 1);
  });
  count();
  const int64_t before = runs();
  for (const Tensor& counter : counters) EXPECT_EQ(counter.item(), Scalar(2.0));
  EXPECT_LT(runs(), before + 10);
}

TEST(Recorder, WritesStayBehindReadsOfWhatTheyReplace) {
  auto step = compile([](Tensor& t) {
    const Tensor before = mul(t, 10);
    add_(t, 1);
    const Tensor view = t.alias({2}, {1}, 1);
    mul_(view, 2);
    return cat({before, t});
  });
  Tensor x = numbers({1, 2, 3});
  const Tensor result = step(x);
  EXPECT_THAT(values(result), ElementsAre(10, 20, 30, 2, 6, 8));
  EXPECT_THAT(values(x), ElementsAre(2, 6, 8));
}

TEST(Recorder, WhatOthersMayChangeIsReadAtOnce) {
  float memory[2] = {1, 2};
  const Tensor shared(make_ref<TensorImpl>(make_ref<Storage>(memory, sizeof memory, [] {}),
                                           TensorInfo{DType::Float32, {2}, {1}}, 0));
  auto twice = compile([](const Tensor& t) { return mul(t, 2); });
  const Tensor y = twice(shared);
  memory[0] = 100;
  EXPECT_THAT(values(y), ElementsAre(2, 4));
  auto increase = compile([](Tensor t) { return add_(t, 1); });
  static_cast<void>(increase(shared));
  EXPECT_EQ(memory[0], 101) << "a write is there when the call returns";
}

TEST(Recorder, AnotherThreadWaitsForWhatItReads) {
  auto twice = compile([](const Tensor& t) { return mul(t, 2); });
  const Tensor y = twice(numbers({1, 2}));
  std::vector<float> seen;
  std::thread([&] { seen = values(add(y, 1)); }).join();
  EXPECT_THAT(seen, ElementsAre(3, 5));
}

TEST(Recorder, AThreadThatEndsRunsWhatItRecorded) {
  auto twice = compile([](const Tensor& t) { return add(mul(t, 2), 1); });
  const Tensor x = numbers({1, 2});
  const Tensor columns = ones({2, 3});
  Tensor y;
  std::thread([&] {
    // The recorder is the first thing that the thread uses: what else it has goes before it.
    EXPECT_THAT(values(twice(x)), ElementsAre(3, 5));
    y = twice(columns);
  }).join();
  EXPECT_THAT(values(y), Each(3));
}

TEST(Recorder, WhatFailsIsSaidAndWhatDependsOnItNeverRead) {
  auto step = compile([&] {
    const Tensor row = empty({1 << 21});
    const Tensor huge = mul(row.alias({1 << 21, 1}, {1, 1}, 0), row);  // 16 TiB
    return add(huge, 1);
  });
  const Tensor other = step();
  EXPECT_THROW(compiler::flush(), RuntimeError);
  EXPECT_EQ(run_sink(), nullptr) << "the thread is as before";
  EXPECT_THAT([&] { static_cast<void>(other.data_ptr()); },
              ThrowsMessage<RuntimeError>(HasSubstr("never computed")));
}

TEST(Fuse, PointwiseChainsAreOneKernel) {
  const Tensor x = numbers({-1, 2, 3});
  const auto programs = programs_of([&] { return mul(relu(add(x, 1)), 3); });
  ASSERT_EQ(programs.size(), 1U);
  ASSERT_EQ(programs[0].regions.size(), 1U);
  EXPECT_THAT(programs[0].regions[0].ops, ElementsAre("add", "relu", "mul"));
  EXPECT_EQ(programs[0].regions[0].launches, 1);
  EXPECT_TRUE(programs[0].regions[0].merged);
  EXPECT_THAT(programs[0].regions[0].program, HasSubstr("select"));
}

TEST(Fuse, AReductionTakesItsProducersAndConsumers) {
  const Tensor x = empty({64, 300});
  const Tensor mask = empty({64, 300}, DType::Bool);
  const auto programs =
      programs_of([&] { return softmax(masked_fill(mul(x, 0.125), mask, -1e9), 1); });
  ASSERT_EQ(programs[0].regions.size(), 1U);
  EXPECT_EQ(programs[0].regions[0].launches, 1);
  EXPECT_THAT(programs[0].regions[0].ops, ElementsAre("mul", "masked_fill", "softmax"));
  EXPECT_EQ(programs[0].recording,
            "mul(w0: f32[64, 300]) -> w1: f32[64, 300]\n"
            "masked_fill(w1: f32[64, 300], w2: b1[64, 300]) -> w3: f32[64, 300]\n"
            "softmax(w3: f32[64, 300]) -> w4: f32[64, 300]\n");
}

TEST(Fuse, ResultsThatNobodySeesAreNotComputed) {
  const Tensor x = numbers({1, 2});
  const auto programs = programs_of([&] {
    static_cast<void>(exp(sin(x)));
    return mul(x, 2);
  });
  EXPECT_EQ(programs[0].runs, 3);
  EXPECT_EQ(programs[0].unneeded, 2);
}

TEST(Fuse, ARepeatedLayerIsOneProgram) {
  const Tensor x = numbers({1, 2});
  const auto programs = programs_of([&] {
    Tensor y = x;
    for (int layer = 0; layer < 40; ++layer) y = tanh(mul(y, 0.5));
    return y;
  });
  // Regions hold a bounded number of runs.
  ASSERT_GE(programs[0].regions.size(), 2U);
  EXPECT_EQ(programs[0].regions[0].program, programs[0].regions[1].program);
  EXPECT_THAT(std::string(programs[0].regions[1].apart), Not(testing::IsEmpty()));
}

TEST(Programs, OtherSizesAreTheSameProgram) {
  auto step = compile([](const Tensor& t) { return sum(mul(add(t, 1), t), {0}); });
  const auto once = [&](int64_t rows, int64_t columns) {
    const Tensor t = empty({rows, columns});
    static_cast<void>(step(t).data_ptr());
  };
  once(3, 5);
  const int64_t made = compiler::program_stats().made;
  for (int64_t rows = 4; rows < 20; ++rows) once(rows, 25 - rows);
  EXPECT_LE(compiler::program_stats().made, made + 1) << "rows equal to columns may be one more";
}

}  // namespace
}  // namespace flambeau
