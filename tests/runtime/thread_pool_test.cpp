#include "runtime/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"

namespace flambeau {
namespace {

/// Sets a thread count for one test.
class Threads {
 public:
  explicit Threads(int count) : before_(get_num_threads()) { set_num_threads(count); }
  ~Threads() { set_num_threads(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_;
};

/// Waits for `ready`, for at most a long while; false if it did not come.
template <class Ready>
bool eventually(Ready ready) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!ready()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

/// Runs `chunks` chunks and expects each to be run exactly once.
void expect_each_once(int64_t chunks, int64_t cost = kUnknownCost) {
  std::vector<std::atomic<int>> calls(static_cast<size_t>(chunks));
  parallel_for(chunks, [&](int64_t chunk, int) { ++calls[static_cast<size_t>(chunk)]; }, cost);
  for (const auto& count : calls) ASSERT_EQ(count.load(), 1);
}

TEST(ThreadPool, RunsEachChunkOnceForAnyThreadAndChunkCount) {
  for (const int threads : {1, 2, 3, 8}) {
    const Threads set(threads);
    for (const int64_t chunks : {0, 1, 2, 3, 7, 64, 1000}) expect_each_once(chunks);
    for (const int64_t cost : {0, 1'000, 5'000, 50'000, 1'000'000}) expect_each_once(100, cost);
  }
}

TEST(ThreadPool, WorkersTakePartAndAreNumbered) {
  const Threads set(3);
  std::atomic<int> inside{0};
  std::vector<int> workers(3, -1);
  bool met = true;
  parallel_for(3, [&](int64_t chunk, int worker) {
    workers[static_cast<size_t>(chunk)] = worker;
    ++inside;
    if (!eventually([&] { return inside.load() == 3; })) met = false;
  });
  EXPECT_TRUE(met) << "the three chunks did not run at the same time";
  std::sort(workers.begin(), workers.end());
  EXPECT_EQ(workers, (std::vector<int>{0, 1, 2}));
}

TEST(ThreadPool, EachThreadBeginsWithItsOwnShare) {
  const Threads set(2);
  for (int round = 0; round < 3; ++round) {
    std::atomic<int> inside{0};
    std::vector<int> workers(9, -1);
    parallel_for(9, [&](int64_t chunk, int worker) {
      workers[static_cast<size_t>(chunk)] = worker;
      ++inside;
      eventually([&] { return inside.load() >= 2; });
    });
    EXPECT_EQ(workers[0], 0);
    EXPECT_EQ(workers[5], 1);
  }
}

TEST(ThreadPool, SharesOfThreadsThatDoNotComeAreTaken) {
  const Threads set(2);
  std::atomic<int> others{0};
  parallel_for(9, [&](int64_t, int worker) {
    // The worker stays in its first chunk until the caller has done all the rest.
    if (worker == 0)
      ++others;
    else
      eventually([&] { return others.load() == 8; });
  });
  EXPECT_GE(others.load(), 8);
}

TEST(ThreadPool, SleepingWorkersComeForLargeWork) {
  const Threads set(2);
  expect_each_once(10);
  for (int round = 0; round < 3; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // longer than a worker spins
    std::atomic<int> inside{0};
    bool met = true;
    parallel_for(2, [&](int64_t, int) {
      ++inside;
      if (!eventually([&] { return inside.load() == 2; })) met = false;
    });
    EXPECT_TRUE(met);
  }
}

TEST(ThreadPool, ManyLaunchesInARow) {
  const Threads set(2);
  std::atomic<int64_t> sum{0};
  for (int i = 0; i < 20'000; ++i)
    parallel_for(4, [&](int64_t chunk, int) { sum += chunk; }, 10'000);
  EXPECT_EQ(sum.load(), 20'000 * 6);
}

TEST(ThreadPool, NestedCallsRunOnTheirThread) {
  const Threads set(2);
  std::atomic<int> inner{0};
  EXPECT_FALSE(in_parallel_region());
  parallel_for(8, [&](int64_t, int) {
    EXPECT_TRUE(in_parallel_region());
    const auto self = std::this_thread::get_id();
    parallel_for(5, [&](int64_t, int worker) {
      EXPECT_EQ(std::this_thread::get_id(), self);
      EXPECT_EQ(worker, 0);
      ++inner;
    });
  });
  EXPECT_FALSE(in_parallel_region());
  EXPECT_EQ(inner.load(), 40);
}

TEST(ThreadPool, SeveralCallersAtOnce) {
  const Threads set(2);
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i)
    callers.emplace_back([] {
      for (int round = 0; round < 300; ++round) expect_each_once(50);
    });
  for (std::thread& caller : callers) caller.join();
}

TEST(ThreadPool, RethrowsAnExceptionAndStaysUsable) {
  for (const int threads : {1, 2, 4}) {
    const Threads set(threads);
    for (const int64_t bad : {0, 17, 99}) {
      try {
        parallel_for(100, [&](int64_t chunk, int) {
          if (chunk == bad) throw std::out_of_range("chunk " + std::to_string(chunk));
        });
        FAIL() << "no exception";
      } catch (const std::out_of_range& error) {
        EXPECT_EQ(error.what(), "chunk " + std::to_string(bad));
      }
      EXPECT_FALSE(in_parallel_region());
      expect_each_once(100);
    }
  }
}

TEST(ThreadPool, AnExceptionCancelsWhatHasNotBegun) {
  const Threads set(2);
  std::atomic<int64_t> calls{0};
  EXPECT_THROW(parallel_for(int64_t{1} << 40,
                            [&](int64_t, int) {
                              if (++calls == 5) throw std::runtime_error("stop");
                            }),
               std::runtime_error);
}

TEST(ThreadPool, ThreadCountIsChecked) {
  const Threads set(2);
  EXPECT_EQ(get_num_threads(), 2);
  EXPECT_THROW(set_num_threads(0), RuntimeError);
  EXPECT_THROW(set_num_threads(-3), RuntimeError);
  EXPECT_THROW(set_num_threads(1'000'000), RuntimeError);
  EXPECT_EQ(get_num_threads(), 2);
  EXPECT_THROW(parallel_for(2, [](int64_t, int) { set_num_threads(1); }), RuntimeError);
  EXPECT_EQ(get_num_threads(), 2);
}

TEST(ThreadPool, ThreadCountChangesBetweenUses) {
  const Threads set(2);
  for (int round = 0; round < 50; ++round) {
    set_num_threads(1 + round % 4);
    expect_each_once(20);
  }
}

TEST(ThreadPool, AChildOfForkHasAPoolOfItsOwn) {
  const Threads set(2);
  expect_each_once(100);
  for (int round = 0; round < 3; ++round) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      std::atomic<int> inside{0};
      bool met = true;
      parallel_for(2, [&](int64_t, int) {
        ++inside;
        if (!eventually([&] { return inside.load() == 2; })) met = false;
      });
      _exit(met ? 0 : 1);
    }
    expect_each_once(100);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
}

TEST(ThreadPool, ForkWhileAnotherThreadUsesThePool) {
  const Threads set(2);
  std::atomic<bool> stop{false};
  std::thread user([&] {
    while (!stop.load()) parallel_for(4, [](int64_t, int) {});
  });
  for (int round = 0; round < 20; ++round) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      alarm(20);
      std::atomic<int> calls{0};
      parallel_for(10, [&](int64_t, int) { ++calls; });
      _exit(calls.load() == 10 ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
  stop = true;
  user.join();
}

TEST(ThreadPoolDeathTest, TheProcessExitsWithWorkersSpinningOrAsleep) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto use_and_exit = [](int wait_ms) {
    alarm(20);
    set_num_threads(4);
    expect_each_once(1000);
    std::this_thread::sleep_for(std::chrono::milliseconds(wait_ms));
    std::exit(0);
  };
  EXPECT_EXIT(use_and_exit(0), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(use_and_exit(20), testing::ExitedWithCode(0), "");
}

TEST(ThreadPoolDeathTest, TheSettingGivesTheFirstCount) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto count_is = [](const char* text, int count) {
    setenv("FLAMBEAU_NUM_THREADS", text, 1);
    _exit(get_num_threads() == count ? 0 : 1);
  };
  EXPECT_EXIT(count_is("3", 3), testing::ExitedWithCode(0), "");
  const auto refused = [](const char* text) {
    setenv("FLAMBEAU_NUM_THREADS", text, 1);
    try {
      get_num_threads();
    } catch (const ValueError& error) {
      _exit(std::string(error.what()).find("FLAMBEAU_NUM_THREADS") != std::string::npos ? 0 : 1);
    }
    _exit(2);
  };
  EXPECT_EXIT(refused("0"), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(refused("many"), testing::ExitedWithCode(0), "");
}

/// Counts until it is told to stop.
class Counting final : public BesideWork {
 public:
  void run_beside() noexcept override {
    alone = in_parallel_region();
    while (!stop) ++count;
    ended = true;
  }
  std::atomic<int64_t> count = 0;
  std::atomic<bool> stop = false, ended = false, alone = false;
};

TEST(ThreadPool, WorkBesideRunsWhileItsOwnerGoesOn) {
  const Threads set(2);
  Counting work;
  // Offered in vain until so much of it was that a worker is woken.
  ASSERT_TRUE(eventually([&] { return offer_beside(work, 1'000'000); }));
  ASSERT_TRUE(eventually([&] { return work.count > 0; }));
  EXPECT_FALSE(withdraw_beside(work)) << "it has begun";
  expect_each_once(100);  // without that worker
  Counting next;
  EXPECT_TRUE(offer_beside(next, 1'000'000)) << "the worker is awake";
  EXPECT_FALSE(offer_beside(work, 1)) << "one at a time";
  EXPECT_TRUE(withdraw_beside(next));
  EXPECT_FALSE(withdraw_beside(next));
  work.stop = true;
  ASSERT_TRUE(eventually([&] { return work.ended.load(); }));
  EXPECT_TRUE(work.alone);
  EXPECT_EQ(next.count, 0);
}

TEST(ThreadPool, AForkWaitsForWorkBeside) {
  const Threads set(2);
  Counting work;
  ASSERT_TRUE(eventually([&] { return offer_beside(work, 1'000'000); }));
  ASSERT_TRUE(eventually([&] { return work.count > 0; }));
  std::thread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    work.stop = true;
  });
  const pid_t child = fork();
  if (child == 0) _exit(work.ended ? 0 : 1);
  stopper.join();
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(ThreadPool, OneThreadTakesNoWorkBeside) {
  const Threads set(1);
  Counting work;
  EXPECT_FALSE(offer_beside(work, kUnknownCost));
}

}  // namespace
}  // namespace flambeau
