#include "base/fork.h"

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace flambeau {
namespace {

struct Entry {
  ForkHandlers handlers;
  Entry* next = nullptr;  // added before this one
};

std::atomic<Entry*> entries{nullptr};
std::atomic<int> threads_inside{0};
std::atomic<bool> forking{false};
Entry* forked = nullptr;  // the entries of the fork in progress

/// How often this thread is inside.
thread_local constinit int depth = 0;

template <class Condition>
void wait_while(Condition condition) {
  while (condition()) std::this_thread::sleep_for(std::chrono::microseconds(50));
}

void before_fork() {
  for (const Entry* entry = entries.load(); entry != nullptr; entry = entry->next)
    if (entry->handlers.finish != nullptr) entry->handlers.finish();
  wait_while([] { return forking.exchange(true); });
  const int own = depth > 0 ? 1 : 0;
  wait_while([own] { return threads_inside.load() > own; });
  // The handlers' own locks do not wait for the fork.
  if (depth++ == 0) threads_inside.fetch_add(1);
  forked = entries.load();
  for (const Entry* entry = forked; entry != nullptr; entry = entry->next)
    if (entry->handlers.before != nullptr) entry->handlers.before();
}

/// First added, first run.
void run_after(const Entry* entry, void (*ForkHandlers::*handler)()) {
  if (entry == nullptr) return;
  run_after(entry->next, handler);
  if (entry->handlers.*handler != nullptr) (entry->handlers.*handler)();
}

void after_in_parent() {
  run_after(forked, &ForkHandlers::in_parent);
  leave_fork_shield();
  forking.store(false);
}

void after_in_child() {
  run_after(forked, &ForkHandlers::in_child);
  --depth;
  // Threads of the parent that came and saw the fork are not here to be taken off again.
  threads_inside.store(depth > 0 ? 1 : 0);
  forking.store(false);
}

[[maybe_unused]] const int kRegistered =
    pthread_atfork(before_fork, after_in_parent, after_in_child);

}  // namespace

void on_fork(const ForkHandlers& handlers) {
  auto* const entry = new Entry{handlers, entries.load()};
  while (!entries.compare_exchange_weak(entry->next, entry)) {
  }
}

void enter_fork_shield() {
  if (depth++ > 0) return;
  while (true) {
    threads_inside.fetch_add(1);
    if (!forking.load()) return;
    threads_inside.fetch_sub(1);
    wait_while([] { return forking.load(); });
  }
}

void leave_fork_shield() {
  if (--depth == 0) threads_inside.fetch_sub(1);
}

}  // namespace flambeau
