#include "compile/early.h"

#include <immintrin.h>
#include <sched.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/settings.h"
#include "eager/bound_run.h"

namespace flambeau::compiler {
namespace {

/// A region that takes one thread longer, in nanoseconds, runs on all of them at the end.
constexpr int64_t kMostCost = 200'000;
/// They may take no more memory for results: none is given back before the end.
constexpr size_t kMostTaken = size_t{32} << 20;
constexpr int kLinger = 1'000;  // looks of a worker that has nothing to do
constexpr int kSpins = 10'000;  // before a thread that waits lets others run

std::atomic<EarlyWay>& way() {
  static std::atomic<EarlyWay> way = early_way_of(setting("FLAMBEAU_EARLY"));
  return way;
}

}  // namespace

EarlyPlan early_plan_of(const Recording& recording, const Program& program,
                        const BoundProgram& bound) {
  EarlyPlan plan;
  std::vector<bool> used(recording.entries.size(), false);
  for (const Region& region : program.regions)
    for (const int32_t entry : region.entries) {
      // What is computed again later is not there in between.
      if (used[static_cast<size_t>(entry)]) return {};
      used[static_cast<size_t>(entry)] = true;
    }
  for (size_t i = 0; i < used.size(); ++i)
    if (!used[i]) plan.dropped.push_back(i);
  size_t runs = 0;
  for (size_t i = 0; i < program.regions.size(); ++i) {
    const Region& region = program.regions[i];
    const BoundRun* const run = bound.runs[i].get();
    const auto is_of_region = [&](const Program::Donation& donation) {
      return static_cast<size_t>(donation.region) == i;
    };
    if (run == nullptr || run->cost() > kMostCost ||
        std::any_of(program.donations.begin(), program.donations.end(), is_of_region))
      break;
    EarlyPlan::Start start{.runs = runs, .cost = run->cost(), .given = plan.given};
    plan.given += given_count(region);
    const auto is_output = [&](int32_t window) {
      return std::find(region.outputs.begin(), region.outputs.end(), window) !=
             region.outputs.end();
    };
    for (const int32_t number : region.entries) {
      const Entry& entry = recording.entries[static_cast<size_t>(number)];
      start.runs = std::max(start.runs, static_cast<size_t>(number) + 1);
      for (const Range range : {entry.blocks, entry.results})
        for (const int32_t window : recording.operands_of(range))
          if (window >= 0 && !is_output(window))
            start.unseen.push_back(static_cast<int32_t>(recording.slot_of(window)));
    }
    runs = start.runs;
    plan.starts.push_back(std::move(start));
  }
  plan.last_uses.resize(recording.slots.size());
  for (size_t i = 0; i < program.regions.size(); ++i)
    for (const int32_t slot : program.last_uses[i])
      plan.last_uses[static_cast<size_t>(slot)] = i + 1;
  return plan;
}

EarlyWay early_way_of(std::string_view name) {
  if (name == "worker") return EarlyWay::Worker;
  if (name == "here") return EarlyWay::Here;
  if (name == "late") return EarlyWay::Late;
  check<ValueError>(name == "never", [&] {
    return concat("settings: FLAMBEAU_EARLY is '", name, "', expected worker, here, late or never");
  });
  return EarlyWay::Never;
}

EarlyWay early_way() { return way().load(std::memory_order_relaxed); }
void set_early_way(EarlyWay wanted) { way() = wanted; }
bool may_run_early() {
  const EarlyWay now = early_way();
  return now != EarlyWay::Never && (now != EarlyWay::Worker || get_num_threads() > 1);
}

void EarlyRegions::begin(const Recording& recording, const Program& program,
                         const BoundProgram& bound, const EarlyPlan& plan, const Frame& frame,
                         const EarlyRegions* before) {
  recording_ = &recording;
  program_ = &program;
  bound_ = &bound;
  plan_ = &plan;
  frame_ = frame;
  given_.resize(std::max(given_.size(), plan.given));
  before_ = before;
  forget_taken();
  closed_.store(false, std::memory_order_relaxed);
  over_.store(false, std::memory_order_relaxed);
}

void EarlyRegions::forget_taken() {
  taken_.clear();
  taken_bytes_ = 0;
}

std::span<void*> EarlyRegions::given(size_t region) {
  return {given_.data() + plan_->starts[region].given, given_count(program_->regions[region])};
}

bool EarlyRegions::start() try {
  const size_t next = started();
  const Region& region = program_->regions[next];
  const auto storage_of = [&](int32_t window) -> const Storage& {
    return *frame_.storages[recording_->slot_of(window)];
  };
  size_t bytes = taken_bytes_;
  for (const auto* windows : {&region.parameters, &region.outputs})
    for (const int32_t window : *windows) {
      if (window < 0) continue;
      if (storage_of(window).is_linked()) return false;
      if (storage_of(window).is_deferred()) bytes += storage_of(window).bytes();
    }
  if (bytes > kMostTaken) return false;
  taken_bytes_ = bytes;
  for (const int32_t window : region.outputs)
    if (window >= 0 && storage_of(window).is_deferred())
      taken_.push_back({next, static_cast<int32_t>(recording_->slot_of(window))});
  set_given(given(next), *recording_, region, frame_);
  started_.store(next + 1, std::memory_order_release);
  if (early_way() == EarlyWay::Here) run_next();
  if (early_way() != EarlyWay::Worker || away_.load(std::memory_order_acquire)) return true;
  away_.store(true, std::memory_order_relaxed);
  if (!offer_beside(*this, plan_->starts[next].cost)) away_.store(false, std::memory_order_relaxed);
  return true;
} catch (const std::exception&) {
  return false;  // whoever runs it again says why
}

bool EarlyRegions::close(size_t needed) {
  const bool late = early_way() == EarlyWay::Late;
  while (late && done() < needed && run_next()) {
  }
  const bool at_work = late || away_.load(std::memory_order_acquire);
  const size_t ran = done();
  if (ran < needed || (ran < started() && !at_work)) return false;
  closed_.store(true, std::memory_order_relaxed);
  if (ran == started()) set_over();
  return true;
}

size_t EarlyRegions::finish(bool all) noexcept {
  if (started() == 0) return 0;
  stop_.store(true, std::memory_order_relaxed);
  if (away_.load(std::memory_order_acquire) && !withdraw_beside(*this)) {
    for (int spins = 0; away_.load(std::memory_order_acquire); ++spins)
      if (spins < kSpins)
        _mm_pause();
      else
        sched_yield();
  }
  away_.store(false, std::memory_order_relaxed);
  while (all && run_next()) {
  }
  started_.store(0, std::memory_order_relaxed);
  stop_.store(false, std::memory_order_relaxed);
  failed_.store(false, std::memory_order_relaxed);
  const size_t done = done_.exchange(0, std::memory_order_relaxed);
  count_early(done);
  return done;
}

void EarlyRegions::run_beside() noexcept {
  // To be offered again costs more than to wait while the owner goes on.
  for (int idle = 0; idle < kLinger && !stop_.load(std::memory_order_relaxed); ++idle) {
    if (run_next()) {
      idle = 0;
    } else if (closed_.load(std::memory_order_relaxed) && done() == started()) {
      set_over();
      break;
    } else {
      _mm_pause();
    }
  }
  away_.store(false, std::memory_order_release);
}

/// False if there is none, or it fails: whoever runs it again says why.
bool EarlyRegions::run_next() noexcept try {
  const size_t next = done_.load(std::memory_order_relaxed);
  if (failed_.load(std::memory_order_relaxed) || next == started_.load(std::memory_order_acquire))
    return false;
  if (before_ != nullptr && !before_->is_over()) return false;
  before_ = nullptr;
  const AtWork at_work;
  run_bound(*recording_, program_->regions[next], *bound_->runs[next], given(next), frame_.numbers);
  done_.store(next + 1, std::memory_order_release);
  return true;
} catch (...) {
  failed_.store(true, std::memory_order_relaxed);
  return false;
}

}  // namespace flambeau::compiler
