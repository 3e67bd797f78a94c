#include "runtime/thread_pool.h"

#include <immintrin.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/fork.h"
#include "base/settings.h"
#include "runtime/cpu_topology.h"
#include "runtime/futex.h"

namespace flambeau {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

constexpr int kMaxThreads = 512;
/// A second thread pays from about this much work, and one more for each further part of this size.
constexpr int64_t kCostPerThread = 2'000;
/// Work below this does not wake a sleeping worker by itself ...
constexpr int64_t kWakeCost = 100'000;
/// ... but does once this much of it has run without the workers that sleep.
constexpr int64_t kWakeDebt = 1'000'000;
constexpr nanoseconds kMaxSpin{200'000};
constexpr nanoseconds kMinSpin{5'000};
/// Two looks of a spinning thread further apart than this: another process wants the core.
constexpr nanoseconds kPreempted{30'000};
constexpr int kPausesPerLook = 16;

thread_local bool in_region = false;

// The gate is one word that says all that a worker must know of the work on offer:
//   bits 0-9    workers inside
//   bits 10-19  limit: workers with a number up to this may enter
//   bit  20     open
//   bit  21     the caller sleeps until the last worker has left
//   bits 22-31  number of the job, modulo 1024
// A worker enters by adding one while the gate is open. A worker that comes too late finds it
// closed, so the caller never waits for one that has not entered. When the number of the job wraps
// around, a worker may miss one job, which costs its help with that job and nothing else.
constexpr uint32_t kCountMask = 0x3ff;
constexpr uint32_t kLimitShift = 10;
constexpr uint32_t kOpen = 1U << 20;
constexpr uint32_t kCallerSleeps = 1U << 21;
constexpr uint32_t kJobShift = 22;

uint32_t count_of(uint32_t gate) { return gate & kCountMask; }
uint32_t limit_of(uint32_t gate) { return (gate >> kLimitShift) & kCountMask; }
uint32_t job_of(uint32_t gate) { return gate >> kJobShift; }

void pin(pthread_t thread, int core) {
  const size_t bytes = CPU_ALLOC_SIZE(core + 1);
  cpu_set_t* mask = CPU_ALLOC(static_cast<size_t>(core + 1));
  if (mask == nullptr) return;
  CPU_ZERO_S(bytes, mask);
  CPU_SET_S(static_cast<size_t>(core), bytes, mask);
  // A refusal (the mask of the process has changed) leaves the worker where it is.
  pthread_setaffinity_np(thread, bytes, mask);
  CPU_FREE(mask);
}

/// The workers for one thread count. Workers own it together with the pool, so that the last of
/// them to notice its end frees it and nobody has to wait for that.
class Team : public std::enable_shared_from_this<Team> {
 public:
  /// `beside` is where work is offered to the first worker; it outlives all teams.
  explicit Team(std::atomic<BesideWork*>& beside) : beside_(beside) {}
  /// Starts up to `workers` threads; fewer where the system allows no more.
  void start(int workers);
  /// Asks the workers to end, without waiting.
  void retire();
  /// Runs the work on the caller and on workers 1 to `limit`; wakes those asleep if `wake`.
  /// Returns true if some of them were asleep.
  bool run(int64_t chunks, const FunctionRef<void(int64_t, int)>& body, int limit, bool wake);
  int workers() const { return available_; }
  /// Whether the worker that takes what is offered beside is asleep; wakes it if `wake`.
  bool sleeps_beside(bool wake) { return workers() > 0 && wake_sleepers(1, wake); }

 private:
  struct alignas(64) Slot {
    std::atomic<uint32_t> parked{0};
    alignas(64) std::atomic<int64_t> next{0};
    pthread_t thread{};
    int core = -1;  // -1: not pinned
  };
  struct Start {
    std::shared_ptr<Team> team;
    int index;
  };

  static void* thread_main(void* argument);
  void work(int index);
  /// Waits for work; false when none came in the time that `budget` allows.
  bool spin(int index, uint32_t last_job, nanoseconds& budget);
  void park(int index, uint32_t last_job);
  bool enter(int index, uint32_t& last_job);
  void leave();
  bool is_offered(int index) const { return index == 1 && beside_.load() != nullptr; }
  void take_beside();
  void run_chunks(int index) noexcept;
  void wait_for_workers();
  bool wake_sleepers(int limit, bool wake);
  void keep_off_callers_core();

  std::atomic<int64_t>& next_of(int share) { return share == 0 ? callers_next_ : slot(share).next; }
  int64_t first_of(int share) const {
    return chunks_ / shares_ * share + std::min<int64_t>(share, chunks_ % shares_);
  }
  Slot& slot(int index) { return *slots_[static_cast<size_t>(index - 1)]; }
  static bool wanted(uint32_t gate, int index, uint32_t last_job) {
    return (gate & kOpen) != 0 && job_of(gate) != last_job &&
           static_cast<uint32_t>(index) <= limit_of(gate);
  }

  alignas(64) std::atomic<uint32_t> gate_{0};
  std::atomic<bool> stop_{false};
  const FunctionRef<void(int64_t, int)>* body_ = nullptr;
  int64_t chunks_ = 0;
  int shares_ = 1;
  alignas(64) std::atomic<int64_t> callers_next_{0};
  std::atomic<bool> failed_{false};
  std::exception_ptr error_;
  std::atomic<uint32_t> done_{0};
  std::atomic<BesideWork*>& beside_;
  std::vector<std::unique_ptr<Slot>> slots_;
  int available_ = 0;    // workers that could be started
  int spare_core_ = -1;  // the allowed core without a worker, -1: not pinned
  nanoseconds max_spin_ = kMaxSpin;
};

void Team::start(int workers) {
  std::vector<int> cores = allowed_cores();
  const bool pinned = workers < static_cast<int>(cores.size());
  if (pinned) {
    // The caller's core comes last, so that no worker gets it.
    const auto own = std::find(cores.begin(), cores.end(), sched_getcpu());
    if (own != cores.end()) std::rotate(cores.begin(), own + 1, cores.end());
    spare_core_ = cores.back();
  } else {
    max_spin_ = kMinSpin;
  }
  // Signals are for the program's own threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  // Workers read slots_, so it has its final size before the first one starts.
  for (int i = 0; i < workers; ++i) slots_.push_back(std::make_unique<Slot>());
  int started = 0;
  for (; started < workers; ++started) {
    auto begin = std::make_unique<Start>(Start{shared_from_this(), started + 1});
    Slot& place = slot(started + 1);
    if (pthread_create(&place.thread, &attributes, &Team::thread_main, begin.get()) != 0) break;
    [[maybe_unused]] const Start* const taken_over = begin.release();
    pthread_setname_np(place.thread, concat("flambeau-", started + 1).c_str());
    if (pinned) {
      place.core = cores[static_cast<size_t>(started)];
      pin(place.thread, place.core);
    }
  }
  available_ = started;
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Team::retire() {
  stop_.store(true);
  for (const auto& place : slots_)
    if (place->parked.exchange(0) != 0) futex_wake_one(place->parked);
}

void* Team::thread_main(void* argument) {
  const std::unique_ptr<Start> begin(static_cast<Start*>(argument));
  begin->team->work(begin->index);
  return nullptr;
}

void Team::work(int index) {
  uint32_t last_job = 0;
  nanoseconds budget = max_spin_;
  while (!stop_.load(std::memory_order_relaxed)) {
    if (!spin(index, last_job, budget)) park(index, last_job);
    if (is_offered(index)) take_beside();
    if (!enter(index, last_job)) continue;
    in_region = true;
    run_chunks(index);
    in_region = false;
    leave();
  }
}

bool Team::spin(int index, uint32_t last_job, nanoseconds& budget) {
  const Clock::time_point begin = Clock::now();
  Clock::time_point before = begin;
  while (true) {
    for (int i = 0; i < kPausesPerLook; ++i) {
      if (wanted(gate_.load(std::memory_order_relaxed), index, last_job) || is_offered(index)) {
        budget = std::min(budget * 2, max_spin_);
        return true;
      }
      _mm_pause();
    }
    if (stop_.load(std::memory_order_relaxed)) return true;
    const Clock::time_point now = Clock::now();
    if (now - before > kPreempted) budget = std::max(budget / 4, kMinSpin);
    if (now - begin > budget) return false;
    before = now;
  }
}

void Team::park(int index, uint32_t last_job) {
  std::atomic<uint32_t>& parked = slot(index).parked;
  // Sequentially consistent on both sides: either the caller sees the worker parked, or the worker
  // sees the open gate.
  parked.store(1);
  while (parked.load() != 0 && !stop_.load() && !wanted(gate_.load(), index, last_job) &&
         !is_offered(index))
    futex_wait(parked, 1);
  parked.store(0);
}

void Team::take_beside() {
  // A fork waits until the work is done: the child would wait for it for ever.
  enter_fork_shield();
  if (BesideWork* const work = beside_.exchange(nullptr); work != nullptr) {
    in_region = true;
    work->run_beside();
    in_region = false;
  }
  leave_fork_shield();
}

bool Team::enter(int index, uint32_t& last_job) {
  uint32_t gate = gate_.load(std::memory_order_relaxed);
  while (wanted(gate, index, last_job)) {
    if (!gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acquire,
                                     std::memory_order_relaxed))
      continue;
    last_job = job_of(gate);
    return true;
  }
  return false;
}

void Team::leave() {
  const uint32_t before = gate_.fetch_sub(1, std::memory_order_acq_rel);
  const bool last = count_of(before) == 1 && (before & kOpen) == 0;
  if (last && (before & kCallerSleeps) != 0) {
    done_.fetch_add(1);
    futex_wake_one(done_);
  }
}

void Team::run_chunks(int index) noexcept {
  try {
    for (int i = 0; i < shares_; ++i) {
      const int share = index + i < shares_ ? index + i : index + i - shares_;
      std::atomic<int64_t>& next = next_of(share);
      const int64_t end = first_of(share + 1);
      while (true) {
        const int64_t chunk = next.fetch_add(1, std::memory_order_relaxed);
        if (chunk >= end) break;
        (*body_)(chunk, index);
      }
    }
  } catch (...) {
    if (!failed_.exchange(true)) error_ = std::current_exception();
    for (int share = 0; share < shares_; ++share)
      next_of(share).store(chunks_, std::memory_order_relaxed);
  }
}

bool Team::run(int64_t chunks, const FunctionRef<void(int64_t, int)>& body, int limit, bool wake) {
  body_ = &body;
  chunks_ = chunks;
  shares_ = limit + 1;
  for (int share = 0; share < shares_; ++share)
    next_of(share).store(first_of(share), std::memory_order_relaxed);
  const uint32_t job = job_of(gate_.load(std::memory_order_relaxed)) + 1;
  gate_.store((job << kJobShift) | kOpen | (static_cast<uint32_t>(limit) << kLimitShift));
  const bool asleep = wake_sleepers(limit, wake);
  in_region = true;
  run_chunks(0);
  in_region = false;
  const uint32_t gate = gate_.fetch_and(~kOpen, std::memory_order_acq_rel);
  if (count_of(gate) != 0) wait_for_workers();
  if (failed_.load(std::memory_order_relaxed)) {
    failed_.store(false, std::memory_order_relaxed);
    std::rethrow_exception(std::exchange(error_, nullptr));
  }
  return asleep;
}

void Team::wait_for_workers() {
  const Clock::time_point begin = Clock::now();
  do {
    for (int i = 0; i < kPausesPerLook; ++i) {
      if (count_of(gate_.load(std::memory_order_acquire)) == 0) return;
      _mm_pause();
    }
  } while (Clock::now() - begin < max_spin_);
  // The worker may have lost its core to another process, perhaps to this very thread.
  uint32_t seen = done_.load();
  gate_.fetch_or(kCallerSleeps);
  while (count_of(gate_.load(std::memory_order_acquire)) != 0) {
    futex_wait(done_, seen);
    seen = done_.load();
  }
}

bool Team::wake_sleepers(int limit, bool wake) {
  bool asleep = false;
  for (int index = 1; index <= limit; ++index) {
    Slot& place = slot(index);
    if (place.parked.load() == 0) continue;
    if (wake && !asleep) keep_off_callers_core();
    asleep = true;
    if (wake && place.parked.exchange(0) != 0) futex_wake_one(place.parked);
  }
  return asleep;
}

void Team::keep_off_callers_core() {
  if (spare_core_ < 0) return;
  const int own = sched_getcpu();
  if (own < 0 || own == spare_core_) return;
  for (const auto& place : slots_) {
    if (place->core != own) continue;
    std::swap(place->core, spare_core_);
    pin(place->thread, place->core);
  }
}

int initial_thread_count() {
  if (setting("FLAMBEAU_NUM_THREADS").empty()) return std::min(usable_core_count(), kMaxThreads);
  const int64_t count = int_setting("FLAMBEAU_NUM_THREADS");
  check<ValueError>(count >= 1 && count <= kMaxThreads, [&] {
    return concat("settings: FLAMBEAU_NUM_THREADS is ", count, ", expected 1 to ", kMaxThreads);
  });
  return static_cast<int>(count);
}

class Pool {
 public:
  static Pool& get();

  int threads() const { return threads_.load(std::memory_order_relaxed); }
  void set_threads(int count);
  /// False if another thread is using the pool.
  bool try_run(int64_t chunks, const FunctionRef<void(int64_t, int)>& body, int64_t cost_ns);
  bool offer(BesideWork& work, int64_t cost_ns);
  bool withdraw(BesideWork& work) {
    BesideWork* offered = &work;
    return beside_.compare_exchange_strong(offered, nullptr);
  }

 private:
  Pool() : threads_(initial_thread_count()) {
    on_fork({.in_child = [] { get().after_fork_in_child(); }});
  }
  void run(int64_t chunks, const FunctionRef<void(int64_t, int)>& body, int64_t cost_ns);
  Team& team();
  void after_fork_in_child();

  std::atomic<bool> busy_{false};
  std::atomic<BesideWork*> beside_{nullptr};
  std::atomic<int> threads_;
  std::shared_ptr<Team> team_;
  int64_t debt_ = 0;
  int64_t beside_debt_ = 0;
};

Pool& Pool::get() {
  // Never destroyed: workers may still look at it while the process exits.
  static Pool* const pool = new Pool;
  return *pool;
}

/// Gives the pool back on every way out.
class BusyGuard {
 public:
  explicit BusyGuard(std::atomic<bool>& busy) : busy_(busy) {}
  ~BusyGuard() { busy_.store(false, std::memory_order_release); }
  BusyGuard(const BusyGuard&) = delete;
  BusyGuard& operator=(const BusyGuard&) = delete;

 private:
  std::atomic<bool>& busy_;
};

bool Pool::try_run(int64_t chunks, const FunctionRef<void(int64_t, int)>& body, int64_t cost_ns) {
  if (busy_.load(std::memory_order_relaxed) || busy_.exchange(true, std::memory_order_acquire))
    return false;
  const BusyGuard guard(busy_);
  run(chunks, body, cost_ns);
  return true;
}

Team& Pool::team() {
  if (!team_) {
    team_ = std::make_shared<Team>(beside_);
    team_->start(threads() - 1);
  }
  return *team_;
}

void Pool::run(int64_t chunks, const FunctionRef<void(int64_t, int)>& body, int64_t cost_ns) {
  const int64_t useful = std::max<int64_t>(1, cost_ns / kCostPerThread - 1);
  const int64_t limit = std::min({chunks - 1, useful, static_cast<int64_t>(team().workers())});
  const bool wake = cost_ns >= kWakeCost || debt_ >= kWakeDebt;
  if (wake) debt_ = 0;
  if (team_->run(chunks, body, static_cast<int>(limit), wake) && !wake) debt_ += cost_ns;
}

bool Pool::offer(BesideWork& work, int64_t cost_ns) {
  if (threads() == 1 || beside_.load(std::memory_order_relaxed) != nullptr ||
      busy_.load(std::memory_order_relaxed) || busy_.exchange(true, std::memory_order_acquire))
    return false;
  const BusyGuard guard(busy_);
  if (team().workers() == 0) return false;
  BesideWork* none = nullptr;
  if (!beside_.compare_exchange_strong(none, &work)) return false;
  const bool wake = beside_debt_ >= kWakeDebt;
  if (!team_->sleeps_beside(wake)) return true;
  beside_debt_ = wake ? 0 : beside_debt_ + cost_ns;
  return wake || !withdraw(work);
}

void Pool::set_threads(int count) {
  while (busy_.exchange(true, std::memory_order_acquire)) sched_yield();
  const BusyGuard guard(busy_);
  if (count == threads()) return;
  threads_.store(count, std::memory_order_relaxed);
  if (team_) team_->retire();
  team_.reset();
}

void Pool::after_fork_in_child() {
  // The workers exist in the parent only; the references that they held keep the old team's memory.
  team_.reset();
  debt_ = 0;
  beside_debt_ = 0;
  busy_.store(false);
}

}  // namespace

void parallel_for(int64_t chunks, FunctionRef<void(int64_t chunk, int worker)> body,
                  int64_t cost_ns) {
  const bool alone = chunks <= 1 || cost_ns < kCostPerThread || in_region;
  if (!alone) {
    Pool& pool = Pool::get();
    if (pool.threads() > 1 && pool.try_run(chunks, body, cost_ns)) return;
  }
  for (int64_t chunk = 0; chunk < chunks; ++chunk) body(chunk, 0);
}

bool offer_beside(BesideWork& work, int64_t cost_ns) {
  return !in_region && Pool::get().offer(work, cost_ns);
}

bool withdraw_beside(BesideWork& work) { return Pool::get().withdraw(work); }

int get_num_threads() { return Pool::get().threads(); }

void set_num_threads(int count) {
  check(count >= 1 && count <= kMaxThreads, [&] {
    return concat("set_num_threads: ", count, " is not a number of threads, expected 1 to ",
                  kMaxThreads);
  });
  check(!in_region, [] {
    return std::string("set_num_threads: called from inside parallel work, where it cannot change");
  });
  Pool::get().set_threads(count);
}

bool in_parallel_region() { return in_region; }

}  // namespace flambeau
