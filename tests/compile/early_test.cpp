// Regions that run while the recording that they are of goes on, or takes another way.

#include "compile/early.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <functional>
#include <random>
#include <thread>

#include "eager/bound_run.h"
#include "flambeau/flambeau.h"
#include "runtime/compiler.h"
#include "vectors.h"

namespace flambeau {
namespace {

using testing::ElementsAre;

int64_t early() { return compiler::program_stats().early; }

/// Runs `step` until its regions may run early.
void repeat(const std::function<void()>& step) {
  for (int round = 0; round < 4; ++round) {
    step();
    wait_for_compiler();
  }
}

Tensor identity() { return numbers({1, 0, 0, 1}).alias({2, 2}, {2, 1}, 0); }

TEST(Early, WhatRanIsNotDoneAgainWhereTheRecordingGoesAnotherWay) {
  Tensor count = numbers({0});
  const Tensor w = identity();
  auto step = compile([&](const Tensor& x, bool other) {
    add_(count, 1);
    const Tensor y = matmul(x, w);
    if (other) return sub(matmul(y, w), count);
    return add(matmul(relu(y), w), count);
  });
  const Tensor x = full({2, 2}, Scalar(2.0));
  float expected = 0;
  repeat([&] { EXPECT_EQ(values(step(x, false))[0], 2 + ++expected); });
  const int64_t before = early();
  EXPECT_EQ(values(step(x, true))[0], 2 - ++expected);
  EXPECT_GT(early(), before);
  EXPECT_THAT(values(count), ElementsAre(expected));
  EXPECT_EQ(values(step(x, false))[0], 2 + ++expected);
  EXPECT_THAT(values(count), ElementsAre(expected));
}

TEST(Early, ARecordingThatWasLeftIsNotTrustedAtOnce) {
  const Tensor w = identity();
  auto step = compile([&](const Tensor& x, bool other) {
    const Tensor y = matmul(x, w);
    return other ? exp(matmul(y, w)) : relu(matmul(y, w));
  });
  const Tensor x = full({2, 2}, Scalar(2.0));
  repeat([&] { EXPECT_EQ(values(step(x, false))[0], 2); });
  EXPECT_GT(values(step(x, true))[0], 7);
  const int64_t before = early();
  EXPECT_GT(values(step(x, true))[0], 7);
  EXPECT_EQ(values(step(x, false))[0], 2);
  EXPECT_EQ(early(), before);
}

TEST(Early, AValueThatAProgramDoesWithoutIsThereForWhoAsks) {
  const Tensor w = identity();
  std::vector<Tensor> kept;
  auto step = compile([&](const Tensor& x, bool keep) {
    const Tensor inside = mul(x, 3);  // the product behind it reads it from registers
    const Tensor y = matmul(add(inside, 1), w);
    if (keep) kept.push_back(inside);
    return relu(matmul(y, w));
  });
  const Tensor x = full({2, 2}, Scalar(2.0));
  repeat([&] { EXPECT_EQ(values(step(x, false))[0], 7); });
  EXPECT_EQ(values(step(x, true))[0], 7);
  EXPECT_EQ(values(kept.at(0))[0], 6);
}

TEST(Early, WhatIsDroppedMayBeAskedForLater) {
  const Tensor w = identity();
  Tensor memory = full({2, 2}, Scalar(5.0));
  auto step = compile([&](const Tensor& x, bool ask) {
    const Tensor before = mul(memory, 10);  // nobody needs it, unless `ask`
    copy_(memory, matmul(x, w));
    const Tensor y = matmul(memory, w);
    return ask ? add(y, before) : y;
  });
  repeat([&] {
    fill_(memory, Scalar(5.0));
    EXPECT_EQ(values(step(full({2, 2}, Scalar(2.0)), false))[0], 2);
  });
  fill_(memory, Scalar(5.0));
  EXPECT_EQ(values(step(full({2, 2}, Scalar(2.0)), true))[0], 52);
  EXPECT_EQ(values(memory)[0], 2);
}

TEST(Early, AReadOnTheWaySeesWhatRan) {
  const Tensor w = identity();
  auto step = compile([&](const Tensor& x, bool read) {
    const Tensor y = matmul(x, w);
    const Tensor z = matmul(relu(y), w);
    if (read) EXPECT_EQ(values(y)[0], -2);
    return add(z, 1);
  });
  const Tensor x = full({2, 2}, Scalar(-2.0));
  repeat([&] { EXPECT_EQ(values(step(x, false))[0], 1); });
  EXPECT_EQ(values(step(x, true))[0], 1);
}

TEST(Early, AnotherThreadReadsWhatRunsEarly) {
  const Tensor w = identity();
  auto step = compile([&](const Tensor& x) { return matmul(relu(matmul(x, w)), w); });
  for (int round = 0; round < 50; ++round) {
    const Tensor y = step(full({2, 2}, Scalar(static_cast<double>(round))));
    std::vector<float> seen;
    std::thread([&] { seen = values(y); }).join();
    EXPECT_EQ(seen[0], static_cast<float>(round));
  }
}

/// A region of one launch, whose kernel is `function`.
std::shared_ptr<const BoundRun> run_of(ir::KernelFunction function) {
  auto run = std::make_shared<BoundRun>();
  run->launches.emplace_back().function = function;
  run->steps.push_back({BoundRun::Step::Kind::Launch, 0});
  return run;
}

/// Of regions that may all start at once; offered in vain, they wake a worker.
compiler::EarlyPlan plan_of(size_t regions) {
  compiler::EarlyPlan plan;
  plan.starts.assign(regions, {.cost = 1'000'000});
  return plan;
}

TEST(Early, ARegionThatFailsHasNotHappenedNorThoseBehindIt) {
  static std::atomic<int> calls = 0;
  const auto counts =
      run_of([](void* const*, const int64_t*, int64_t, int64_t, int64_t, int64_t) { ++calls; });
  const auto fails = run_of([](void* const*, const int64_t*, int64_t, int64_t, int64_t, int64_t) {
    throw std::bad_alloc();
  });
  const compiler::Recording recording;
  compiler::Program program;
  program.regions.resize(3);
  compiler::BoundProgram bound{{counts, fails, counts}};
  const compiler::EarlyPlan plan = plan_of(3);
  compiler::EarlyRegions regions;
  for (int round = 0; round < 2; ++round) {
    calls = 0;
    regions.begin(recording, program, bound, plan, {});
    for (int i = 0; i < 3; ++i) regions.start();
    EXPECT_EQ(regions.finish(true), 1U);
    EXPECT_EQ(calls, 1);
  }
  bound.runs[1] = counts;
  for (int i = 0; i < 3; ++i) regions.start();
  EXPECT_EQ(regions.finish(true), 3U);
  EXPECT_EQ(regions.finish(true), 0U) << "none started";
}

/// Operations drawn from a seed, on 4 x 4 matrices that live or die as it says.
class Script {
 public:
  /// `cut`: from there on another seed decides.
  static std::vector<Tensor> run(unsigned seed, int length, int cut, unsigned other) {
    std::mt19937 random(seed);
    std::vector<Tensor> live = begin();
    auto call = [&] {
      for (int i = 0; i < length; ++i) {
        if (i == cut) random.seed(other);
        step(random, live);
      }
    };
    if (compiled)
      compile(call)();
    else
      call();
    return live;
  }
  static inline bool compiled = false;

  static std::vector<Tensor> begin() {
    std::vector<Tensor> live;
    for (int i = 0; i < 3; ++i) {
      live.push_back(Tensor::empty({4, 4}));
      for (int64_t k = 0; k < 16; ++k)
        live.back().data<float>()[k] = static_cast<float>(static_cast<int>(k) * (i + 1) % 7 - 3);
    }
    return live;
  }
  static void step(std::mt19937& random, std::vector<Tensor>& live) {
    const auto draw = [&](size_t below) { return static_cast<size_t>(random() % below); };
    const Tensor a = live[draw(live.size())];
    const Tensor b = live[draw(live.size())];
    Tensor made;
    switch (draw(10)) {
      case 0:
      case 1:
        made = mul(matmul(a, b), 0.25);
        break;
      case 2:
        made = tanh(add(a, b));
        break;
      case 3:
        made = relu(sub(a, 0.5));
        break;
      case 4:
        mul_(live[draw(live.size())], 0.5);
        return;
      case 5: {
        Tensor row = a.alias({4}, {1}, 4 * static_cast<int64_t>(draw(4)));
        add_(row, 1);
        return;
      }
      case 6:
        copy_(live[draw(live.size())], mul(b, 1));  // which may be a view of it
        return;
      case 7:
        made = add(sum(a), b);
        break;
      case 8:
        made = a.alias({4, 4}, {1, 4}, 0);  // a view, written through later
        break;
      default:
        made = softmax(mul(a, 0.5), -1);
    }
    if (draw(3) == 0)
      live.push_back(made);
    else
      live[draw(live.size())] = made;
    if (live.size() > 6) live.erase(live.begin() + static_cast<int64_t>(draw(live.size())));
  }
};

std::vector<uint32_t> bits_of(const Tensor& tensor) {
  std::vector<uint32_t> bits;
  for (const float value : values(tensor.alias({16}, {1}, 0)))
    bits.push_back(std::bit_cast<uint32_t>(value));
  return bits;
}

void expect_same_bits(unsigned seed, int length, int cut, unsigned other) {
  Script::compiled = false;
  const std::vector<Tensor> expected = Script::run(seed, length, cut, other);
  Script::compiled = true;
  const std::vector<Tensor> seen = Script::run(seed, length, cut, other);
  ASSERT_EQ(seen.size(), expected.size());
  for (size_t i = 0; i < seen.size(); ++i)
    ASSERT_EQ(bits_of(seen[i]), bits_of(expected[i]))
        << "seed " << seed << ", length " << length << ", cut " << cut << ", other " << other
        << ": tensor " << i;
}

/// Each script comes often enough to run early, turns away, and comes again.
void expect_same_bits(unsigned first, unsigned end) {
  const int64_t before = early();
  for (unsigned seed = first; seed < end && !testing::Test::HasFatalFailure(); ++seed) {
    std::mt19937 random(seed);
    const int length = 5 + static_cast<int>(random() % 25);
    for (int turn = 0; turn < 3; ++turn) {
      for (int round = 0; round < 14; ++round) {
        expect_same_bits(seed, length, length, 0);
        if (round == 6) wait_for_compiler();
      }
      const int cut = static_cast<int>(random() % static_cast<unsigned>(length));
      expect_same_bits(seed, length, cut, static_cast<unsigned>(random()));
    }
  }
  EXPECT_GT(early(), before + (end - first));
}

TEST(Early, ScriptsThatTurnAwayAnywhereHaveEagersBits) { expect_same_bits(0, 40); }

/// Steps of a script that change what they share; after each one value is read, mostly, and
/// something else happens at times.
class Loop {
 public:
  static std::vector<double> run(unsigned seed, bool compiled) {
    std::mt19937 random(seed);
    const int length = 4 + static_cast<int>(random() % 20);
    std::vector<Tensor> state = Script::begin();
    std::vector<double> log;
    std::vector<Tensor> live;
    for (int round = 0; round < 40; ++round) {
      const int cut = round > 12 && random() % 8 == 0 ? static_cast<int>(random() % 8) : length;
      std::mt19937 script(seed);
      live = state;
      const auto step = [&] {
        for (int i = 0; i < length; ++i) {
          if (i == cut) script.seed(static_cast<unsigned>(round));
          Script::step(script, live);
        }
        copy_(state[0], tanh(live.back()));
      };
      if (compiled)
        compile(step)();
      else
        step();
      happen(random, state, live, log);
      if (round == 6) wait_for_compiler();
    }
    for (const Tensor& tensor : state)
      for (const float value : values(tensor)) log.push_back(value);
    return log;
  }

 private:
  static void happen(std::mt19937& random, std::vector<Tensor>& state, std::vector<Tensor>& live,
                     std::vector<double>& log) {
    const auto draw = [&](size_t below) { return static_cast<size_t>(random() % below); };
    const auto read = [&](const Tensor& tensor) {
      log.push_back(tensor.alias({}, {}, static_cast<int64_t>(draw(16))).item().to_double());
    };
    read(live[0]);
    switch (draw(12)) {
      case 0:
        read(live[draw(live.size())]);
        break;
      case 1:
        read(tanh(state[draw(3)]));  // by itself
        break;
      case 2:
        mul_(state[draw(3)], 0.5);
        break;
      case 3:
        state[draw(3)].data<float>()[draw(16)] = 1;
        break;
      case 4:
        state[draw(3)] = add(state[draw(3)], 1);
        break;
      case 5:
        live.clear();
        break;
      case 6:
        set_num_threads(get_num_threads() == 1 ? 2 : 1);
        break;
      case 7:
        std::thread([&] { read(state[draw(3)]); }).join();
        break;
      case 8:
        std::thread([&] { mul_(state[draw(3)], 2); }).join();
        break;
      case 9:
        compiler::flush();
        break;
      default:
        break;
    }
  }
};

/// Until its end regions run in this way.
class Way {
 public:
  explicit Way(compiler::EarlyWay way) { compiler::set_early_way(way); }
  ~Way() { compiler::set_early_way(before_); }
  Way(const Way&) = delete;
  Way& operator=(const Way&) = delete;

 private:
  const compiler::EarlyWay before_ = compiler::early_way();
};

/// Programs of three regions that count.
class CountedRegions : public testing::Test {
 protected:
  CountedRegions() {
    program_.regions.resize(3);
    const auto counts =
        run_of([](void* const*, const int64_t*, int64_t, int64_t, int64_t, int64_t) { ++calls; });
    bound_.runs = {counts, counts, counts};
    calls = 0;
  }
  void begin(compiler::EarlyRegions& regions, const compiler::EarlyRegions* before = nullptr) {
    regions.begin(recording_, program_, bound_, plan_, {}, before);
  }
  static inline std::atomic<int> calls = 0;

 private:
  const compiler::Recording recording_;
  compiler::Program program_;
  compiler::BoundProgram bound_;
  const compiler::EarlyPlan plan_ = plan_of(3);
};

TEST_F(CountedRegions, RunNoEarlierThanThoseBeforeThemAreOver) {
  const Way here(compiler::EarlyWay::Here);
  compiler::EarlyRegions before;
  compiler::EarlyRegions regions;
  begin(before);
  begin(regions, &before);
  EXPECT_TRUE(regions.start());
  EXPECT_EQ(calls, 0);
  EXPECT_FALSE(regions.close(1));
  EXPECT_TRUE(before.start());
  EXPECT_FALSE(before.is_over()) << "more may start";
  EXPECT_TRUE(before.close(1));
  EXPECT_TRUE(before.is_over());
  EXPECT_TRUE(regions.start());
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(regions.finish(true), 2U);
  EXPECT_EQ(before.finish(true), 1U);
}

TEST_F(CountedRegions, ThatAreClosedRunOnlyWhatIsNeeded) {
  const Way late(compiler::EarlyWay::Late);
  compiler::EarlyRegions regions;
  begin(regions);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(regions.start());
  EXPECT_EQ(regions.done(), 0U);
  EXPECT_TRUE(regions.close(2));
  EXPECT_EQ(regions.done(), 2U);
  EXPECT_FALSE(regions.is_over());
  EXPECT_EQ(regions.finish(false), 2U);
  EXPECT_EQ(calls, 2);
}

TEST_F(CountedRegions, OfAWorkerAreOverWhenItHasRunThem) {
  const Way worker(compiler::EarlyWay::Worker);
  compiler::EarlyRegions regions;
  for (int round = 0; round < 200; ++round) {
    begin(regions);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(regions.start());
    // Where the worker is slow nobody waits for it.
    if (regions.close(0) && round % 2 == 0)
      while (!regions.is_over()) std::this_thread::yield();
    EXPECT_EQ(regions.finish(true), 3U);
  }
  EXPECT_EQ(calls, 600);
}

class EarlyWays : public testing::TestWithParam<compiler::EarlyWay> {
 protected:
  void TearDown() override {
    compiler::flush();
    set_num_threads(threads_);
  }

 private:
  const Way way_{GetParam()};
  const int threads_ = get_num_threads();
};

void expect_same_log(unsigned first, unsigned end) {
  set_num_threads(2);
  const int64_t before = compiler::program_stats().tails;
  for (unsigned seed = first; seed < end; ++seed) {
    const std::vector<double> expected = Loop::run(seed, false);
    const std::vector<double> seen = Loop::run(seed, true);
    ASSERT_EQ(seen.size(), expected.size());
    for (size_t i = 0; i < seen.size(); ++i)
      ASSERT_EQ(std::bit_cast<uint64_t>(seen[i]), std::bit_cast<uint64_t>(expected[i]))
          << "seed " << seed << ", value " << i;
  }
  if (compiler::early_way() == compiler::EarlyWay::Late) {
    EXPECT_GT(compiler::program_stats().tails, before + 2 * (end - first));
  }
}

TEST_P(EarlyWays, WhatFollowsAReadSeesWhatIsBehindIt) { expect_same_log(0, 60); }
TEST_P(EarlyWays, SlowMoreLoops) { expect_same_log(60, 600); }

TEST_P(EarlyWays, ScriptsThatTurnAwayAnywhereHaveEagersBits) { expect_same_bits(1000, 1015); }

std::string name_of(const testing::TestParamInfo<compiler::EarlyWay>& info) {
  static constexpr std::array<const char*, 3> kNames = {"Worker", "Here", "Late"};
  return kNames[static_cast<size_t>(info.param)];
}
INSTANTIATE_TEST_SUITE_P(All, EarlyWays,
                         testing::Values(compiler::EarlyWay::Worker, compiler::EarlyWay::Here,
                                         compiler::EarlyWay::Late),
                         name_of);

TEST(Early, SlowMoreScripts) { expect_same_bits(40, 800); }

}  // namespace
}  // namespace flambeau
