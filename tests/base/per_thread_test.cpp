#include "base/per_thread.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace flambeau {
namespace {

int alive = 0;
struct Counted {
  Counted() { ++alive; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  ~Counted() { --alive; }
  std::vector<int> numbers;
};

PerThread<Counted>& of_thread() {
  static constinit thread_local PerThread<Counted> mine;
  return mine;
}

/// Uses the object in its end, which comes after the object's.
struct UsedLate {
  ~UsedLate() {
    seen = of_thread()->numbers;
    of_thread()->numbers.assign(1000, 1);
  }
  inline static std::vector<int> seen{};
};

TEST(PerThread, IsOfOneThreadAndGoesWithIt) {
  of_thread()->numbers = {1, 2};
  std::thread([] {
    EXPECT_TRUE(of_thread()->numbers.empty());
    of_thread()->numbers = {3};
    EXPECT_EQ(alive, 2);
  }).join();
  EXPECT_EQ(alive, 1);
  EXPECT_EQ(of_thread()->numbers, (std::vector<int>{1, 2}));
}

TEST(PerThread, MayBeUsedAfterItsEnd) {
  const int before = alive;
  UsedLate::seen = {7};
  std::thread([] {
    static thread_local UsedLate late;
    static_cast<void>(late);
    of_thread()->numbers = {3};
  }).join();
  EXPECT_TRUE(UsedLate::seen.empty()) << "it is made anew";
  EXPECT_EQ(alive, before) << "and goes, too";
}

}  // namespace
}  // namespace flambeau
