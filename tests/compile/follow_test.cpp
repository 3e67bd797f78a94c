// Recordings that repeat a known one, and those that only begin like one.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "compile/program.h"
#include "flambeau/flambeau.h"
#include "vectors.h"

namespace flambeau {
namespace {

using testing::ElementsAre;

int64_t repeated() { return compiler::program_stats().repeated; }

TEST(Follow, AStepThatComesAgainIsKnown) {
  Tensor weight = numbers({1, 2});
  auto step = compile([&](const Tensor& x, double rate) {
    const Tensor y = mul(x, weight);
    sub_(weight, mul(y, rate));
    return sum(y);
  });
  const int64_t before = repeated();
  EXPECT_EQ(step(numbers({1, 1}), 0.5).item(), Scalar(3.0));
  EXPECT_EQ(repeated(), before);
  EXPECT_EQ(step(numbers({2, 2}), 1.0).item(), Scalar(3.0)) << "other numbers, other memory";
  EXPECT_EQ(step(numbers({1, 1}), 1.0).item(), Scalar(-1.5));
  EXPECT_EQ(repeated(), before + 2);
  EXPECT_THAT(values(weight), ElementsAre(0, 0));
}

TEST(Follow, WhatGoesAnotherWayIsRecordedFromThereOn) {
  Tensor count = numbers({0});
  auto step = compile([&](const Tensor& x, int way) {
    add_(count, 1);
    Tensor y = mul(x, 2);
    if (way == 0) return add(exp(y), count);
    if (way == 1) return sub(y, count);
    return y;
  });
  const Tensor x = numbers({0, 1});
  for (int round = 0; round < 3; ++round) {
    const auto before = static_cast<float>(3 * round);
    EXPECT_EQ(values(step(x, 0))[0], 1 + before + 1);
    EXPECT_THAT(values(step(x, 1)), ElementsAre(-before - 2, 2 - before - 2));
    EXPECT_THAT(values(step(x, 2)), ElementsAre(0, 2)) << "it ends where the known one goes on";
    EXPECT_THAT(values(count), ElementsAre(before + 3));
  }
}

TEST(Follow, OtherSizesAndTypesAreAnotherRecording) {
  auto twice = compile([](const Tensor& x) { return mul(add(x, x), 2); });
  for (const int64_t size : {2, 3, 2, 1, 2, 0, 3}) {
    const Tensor x = full({size}, Scalar(1.5));
    EXPECT_EQ(values(twice(x)), std::vector<float>(static_cast<size_t>(size), 6.0F));
    const Tensor wide = full({size}, Scalar(1.5), DType::Float64);
    EXPECT_EQ(twice(wide).dtype(), DType::Float64);
  }
  const Tensor rows = numbers({1, 2, 3, 4});
  for (const int64_t offset : {0, 1, 2, 1})
    EXPECT_THAT(
        values(twice(rows.alias({2}, {1}, offset))),
        ElementsAre(4.0F * static_cast<float>(offset + 1), 4.0F * static_cast<float>(offset + 2)));
}

TEST(Follow, SharedMemoryIsNotTakenForApart) {
  auto step = compile([](Tensor& a, const Tensor& b) {
    add_(a, b);
    add_(a, b);
    return mul(b, 1);
  });
  for (int round = 0; round < 2; ++round) {
    Tensor a = numbers({1, 2});
    const Tensor b = numbers({3, 4});
    EXPECT_THAT(values(step(a, b)), ElementsAre(3, 4));
    EXPECT_THAT(values(a), ElementsAre(7, 10));
    Tensor same = numbers({1, 2});
    EXPECT_THAT(values(step(same, same)), ElementsAre(4, 8));
  }
}

TEST(Follow, WhatLivesDecidesTheProgram) {
  std::vector<Tensor> kept;
  auto step = compile([&](const Tensor& x, bool keep) {
    const Tensor middle = mul(x, 3);
    if (keep) kept.push_back(middle);
    return add(middle, 1);
  });
  const Tensor x = numbers({1, 2});
  for (const bool keep : {false, false, true, true, false}) {
    EXPECT_THAT(values(step(x, keep)), ElementsAre(4, 7));
    for (const Tensor& each : kept) EXPECT_THAT(values(each), ElementsAre(3, 6));
  }
  EXPECT_EQ(kept.size(), 2U);
}

TEST(Follow, ResultsInGivenMemory) {
  auto step = compile([](const Tensor& x, Tensor& buffer) {
    const Tensor y = mul(x, 2);
    copy_(buffer, y);  // memory that nothing recorded touched before
    return add(buffer, y);
  });
  const int64_t before = repeated();
  for (int round = 0; round < 3; ++round) {
    const auto value = static_cast<float>(round);
    Tensor buffer = numbers({-1});
    EXPECT_THAT(values(step(numbers({value}), buffer)), ElementsAre(4 * value));
    EXPECT_THAT(values(buffer), ElementsAre(2 * value));
  }
  EXPECT_EQ(repeated(), before + 2);
}

TEST(Follow, AViewOfWhatNothingElseTouchesIsNoRun) {
  auto step = compile([](const Tensor& x, const Tensor& other) {
    const Tensor y = mul(x, 2);
    const Tensor view = reshape(other, Ints{4});
    const Tensor copy = reshape(x.alias({2, 2}, {1, 2}, 0), Ints{4});
    return add(copy, y);
  });
  const Tensor x = numbers({1, 2, 3, 4});
  for (int round = 0; round < 3; ++round) {
    const Tensor other = numbers({5, 6, 7, 8}).alias({2, 2}, {2, 1}, 0);
    EXPECT_THAT(values(step(x, other)), ElementsAre(3, 7, 8, 12));
  }
}

TEST(Follow, ProgramsInTurn) {
  auto plus = compile([](const Tensor& x) { return add(exp(x), 1); });
  auto minus = compile([](const Tensor& x) { return sub(tanh(x), 1); });
  const Tensor x = numbers({0});
  const int64_t before = repeated();
  for (int round = 0; round < 3; ++round) {
    EXPECT_THAT(values(plus(x)), ElementsAre(2));
    EXPECT_THAT(values(minus(x)), ElementsAre(-1));
  }
  EXPECT_EQ(repeated(), before + 4);
}

TEST(Follow, SlicesAtTheEndAreOneProgramWithTheRest) {
  std::vector<Tensor> weights{numbers({1}), numbers({2}), numbers({3})};
  auto step = compile([&] {
    for (Tensor& weight : weights) mul_(weight, 2);
  });
  const int64_t before = repeated();
  for (int round = 1; round <= 5; ++round) {
    step();
    EXPECT_THAT(values(weights[0]), ElementsAre(static_cast<float>(1 << round)));
    EXPECT_EQ(weights[1]->storage->pending() == nullptr, round > 1) << "round " << round;
  }
  EXPECT_EQ(repeated(), before + 3);
  EXPECT_THAT(values(weights[2]), ElementsAre(96));
}

TEST(Follow, ACounterThatIsReadOnTheWayCutsNothing) {
  Tensor count = numbers({0});
  auto step = compile([&](const Tensor& x) {
    const Tensor y = mul(x, 2);
    add_(count, 1);
    static_cast<void>(count.item());
    return add(y, 1);
  });
  for (int round = 0; round < 4; ++round) {
    const Tensor y = step(numbers({1}));
    const int64_t before = compiler::program_stats().runs;
    EXPECT_THAT(values(y), ElementsAre(3));
    EXPECT_EQ(compiler::program_stats().runs, before + 1) << "both operations, in one";
  }
}

TEST(Follow, AnotherThreadRunsWhatIsFollowed) {
  auto step = compile([](const Tensor& x) { return mul(add(x, 1), 2); });
  for (int round = 0; round < 4; ++round) {
    const Tensor y = step(numbers({static_cast<float>(round)}));
    std::vector<float> seen;
    std::thread([&] { seen = values(y); }).join();
    EXPECT_THAT(seen, ElementsAre(2.0F * static_cast<float>(round + 1)));
  }
}

TEST(Follow, AnotherThreadReadsWhileStepsGoOn) {
  constexpr int kSteps = 600;
  auto step = compile([](const Tensor& x, int length) {
    Tensor y = x;
    for (int i = 0; i < length; ++i) y = add(y, 1);
    return mul(y, 2);
  });
  std::vector<Tensor> made(kSteps);
  std::atomic<int> count = 0;
  int wrong = 0;
  std::thread reader([&] {
    for (int i = 0; i < kSteps; ++i) {
      while (count <= i) std::this_thread::yield();
      const int length = 1 + i % 6;  // more than are known
      wrong += values(made[static_cast<size_t>(i)])[0] != 2.0F * static_cast<float>(i + length);
    }
  });
  for (int i = 0; i < kSteps; ++i) {
    made[static_cast<size_t>(i)] = step(numbers({static_cast<float>(i)}), 1 + i % 6);
    count = i + 1;
  }
  reader.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Follow, ProgramsThatAreForgottenAreMadeAgain) {
  auto step = compile([](const Tensor& x) { return mul(add(x, 1), 2); });
  const Tensor x = numbers({1});
  for (int round = 0; round < 2; ++round) EXPECT_THAT(values(step(x)), ElementsAre(4));
  const int64_t made = compiler::program_stats().made;
  compiler::forget_programs();
  EXPECT_THAT(values(step(x)), ElementsAre(4));
  EXPECT_EQ(compiler::program_stats().made, made + 1);
}

}  // namespace
}  // namespace flambeau
