#pragma once
// A spare thread that compiles what nobody waits for.

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <set>
#include <thread>

#include "base/fork.h"
#include "base/hash.h"

namespace flambeau {

/// Jobs run one after the other in the order in which they came. At the end of the process those
/// that have not begun are dropped; a child of fork() begins with none.
class CompileQueue {
 public:
  static CompileQueue& global();

  /// Runs `job` unless one of this name waits or runs. What it throws is dropped: who needs its
  /// result does the work again and sees the error.
  void add(const Hash128& name, std::function<void()> job);
  /// Waits until there is nothing left.
  void wait();
  /// Waits for the job that runs, and drops the others and those to come.
  void stop();

 private:
  struct Job {
    Hash128 name;
    std::function<void()> run;
  };
  void work();

  ForkSafe<std::mutex> mutex_;
  std::condition_variable_any changed_;
  std::deque<Job> jobs_;  ///< the first one runs
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace flambeau
