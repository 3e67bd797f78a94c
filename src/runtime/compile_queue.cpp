#include "runtime/compile_queue.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

namespace flambeau {
namespace {

constexpr int kNiceness = 10;  // below the threads that somebody waits for

std::unique_ptr<CompileQueue>& instance() {
  static auto* const queue = new std::unique_ptr<CompileQueue>;
  return *queue;
}

}  // namespace

CompileQueue& CompileQueue::global() {
  static std::once_flag once;
  std::call_once(once, [] {
    instance() = std::make_unique<CompileQueue>();
    // The parent's thread and whatever it holds do not exist in a child.
    on_fork({.in_child = [] {
      static_cast<void>(instance().release());
      instance() = std::make_unique<CompileQueue>();
    }});
  });
  return *instance();
}

void CompileQueue::add(const Hash128& name, std::function<void()> job) {
  const std::lock_guard lock(mutex_);
  const auto same = [&](const Job& other) { return other.name == name; };
  if (stopped_ || std::any_of(jobs_.begin(), jobs_.end(), same)) return;
  jobs_.push_back({name, std::move(job)});
  if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
  changed_.notify_all();
}

void CompileQueue::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return jobs_.empty() || stopped_; });
}

void CompileQueue::work() {
  pthread_setname_np(pthread_self(), "flambeau-compile");
  setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kNiceness);
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stopped_ || !jobs_.empty(); });
    if (stopped_) return;
    const std::function<void()> run = jobs_.front().run;
    lock.unlock();
    try {
      run();
    } catch (...) {  // NOLINT(bugprone-empty-catch): see add()
    }
    lock.lock();
    if (!jobs_.empty()) jobs_.pop_front();
    changed_.notify_all();
  }
}

void CompileQueue::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

}  // namespace flambeau
