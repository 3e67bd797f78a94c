#include "base/fork.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>
#include <vector>

namespace flambeau {
namespace {

using namespace std::chrono_literals;

/// The exit code of a child that runs `body`.
template <class Body>
int in_child(Body body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(Fork, FinishesWorkBeforeAnyLockIsTaken) {
  static std::atomic<int> before{0};
  static std::atomic<int> seen{-1};
  on_fork({.finish = [] { seen = before.load(); }});
  on_fork(
      {.before = [] { ++before; }, .in_parent = [] { --before; }, .in_child = [] { --before; }});
  EXPECT_EQ(in_child([] { return seen.load(); }), 0);
  EXPECT_EQ(seen, 0);
}

TEST(Fork, WaitsForThreadsInsideTheShield) {
  std::atomic<bool> inside{false};
  std::atomic<bool> done{false};
  std::thread worker([&] {
    enter_fork_shield();
    enter_fork_shield();
    inside = true;
    std::this_thread::sleep_for(30ms);
    leave_fork_shield();
    std::this_thread::sleep_for(30ms);
    done = true;
    leave_fork_shield();
  });
  while (!inside) std::this_thread::yield();
  EXPECT_EQ(in_child([&] { return done ? 7 : 8; }), 7);
  worker.join();
}

TEST(Fork, TheChildFindsNoLockTaken) {
  ForkSafe<std::mutex> mutex;
  std::atomic<bool> stop{false};
  std::vector<std::thread> workers;
  for (int i = 0; i < 3; ++i)
    workers.emplace_back([&] {
      while (!stop) const std::lock_guard lock(mutex);
    });
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(in_child([&] {
                mutex.lock();
                mutex.unlock();
                // And it can fork again.
                return in_child([&] {
                  const std::lock_guard lock(mutex);
                  return 5;
                });
              }),
              5);
  stop = true;
  for (std::thread& worker : workers) worker.join();
}

TEST(Fork, AThreadInsideTheShieldMayFork) {
  enter_fork_shield();
  EXPECT_EQ(in_child([] {
              enter_fork_shield();
              leave_fork_shield();
              leave_fork_shield();
              return in_child([] { return 3; });
            }),
            3);
  leave_fork_shield();
}

std::atomic<int> order{0};

TEST(Fork, HandlersRunInOrder) {
  static std::atomic<bool> watching{true};
  static const auto note = [](int digit) {
    if (watching) order = order * 10 + digit;
  };
  on_fork({nullptr, [] { note(2); }, [] { note(3); }, [] { note(5); }});
  on_fork({nullptr, [] { note(1); }, [] { note(4); }, [] { note(6); }});
  EXPECT_EQ(in_child([] { return order == 1256 ? 9 : 0; }), 9);
  EXPECT_EQ(order, 1234);
  watching = false;
}

}  // namespace
}  // namespace flambeau
