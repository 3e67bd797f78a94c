#include "compile/follow.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "compile/check.h"
#include "compile/report.h"

namespace flambeau::compiler {
namespace {

constexpr size_t kMaxKnown = 4;  // of a thread: programs of a step, in turn
/// More than this, in nanoseconds on one thread, is not left to a worker: all of them are faster.
constexpr int64_t kMostTail = 50'000;

/// True if runs that `owner` has noted, but those of a tail, touch the storage.
bool is_claimed(const Storage& storage, const PendingWork& owner) {
  return storage.pending() == &owner && storage.pending_slot() != Recording::kRunning;
}

/// Labels are mostly literals.
bool is_same_text(std::string_view a, std::string_view b) {
  return a.size() == b.size() && (a.data() == b.data() || a == b);
}

bool is_window(const Window& window, const Tensor& tensor) {
  return window.offset == tensor->offset && window.info.dtype == tensor.dtype() &&
         window.info.sizes == tensor.sizes() && window.info.strides == tensor.strides();
}

}  // namespace

/// The storage is what it was before a run that is not noted after all.
void Follower::unclaim(const Storage& storage, PendingWork& owner) const {
  const auto is_it = [&](const Ref<Storage>& each) { return each.get() == &storage; };
  if (has_tail() && std::any_of(tail_.storages.begin(), tail_.storages.end(), is_it))
    storage.set_pending(&owner, Recording::kRunning);
  else
    storage.set_pending(nullptr, 0);
}

/// True if `tensor` is the window; a storage that is new gets the number that it would get if the
/// run was recorded.
bool Follower::claims_as(const Recording& recording, int32_t window, const Tensor& tensor,
                         PendingWork& owner) {
  const Storage& storage = *tensor->storage;
  if (!is_claimed(storage, owner)) {
    if (now_.storages.size() >= recording.slots.size()) return false;  // its regions have the array
    storage.set_pending(&owner, static_cast<int>(now_.storages.size()));
    if (storage.pending() != &owner) return false;  // another thread's
    now_.storages.push_back(tensor->storage);
  }
  if (window < 0) return false;
  const Window& known = recording.windows[static_cast<size_t>(window)];
  return known.slot == storage.pending_slot() && is_window(known, tensor);
}

bool Follower::is_next(const Known& known, const PlanRun& run, const Options* options,
                       PendingWork& owner) {
  const Recording& recording = known.recording;
  if (size_ == recording.entries.size()) return false;
  const Entry& entry = recording.entries[size_];
  if (entry.program.get() != &run.executable || !is_same_text(entry.label, RunLabel::current()) ||
      entry.options != (options == nullptr ? entry.inherited : *options) ||
      static_cast<size_t>(entry.numbers.size()) != run.numbers.size() ||
      !std::equal(run.integers.begin(), run.integers.end(),
                  recording.integers.begin() + entry.integers.begin,
                  recording.integers.begin() + entry.integers.end))
    return false;
  const auto outputs = recording.operands_of(entry.outputs);
  bool given = false;
  for (size_t i = 0; i < outputs.size(); ++i) {
    if ((outputs[i] >= 0) != run.results[i].defined()) return false;
    given |= outputs[i] >= 0;
  }
  const auto parameters = recording.operands_of(entry.parameters);
  for (size_t i = 0; i < parameters.size(); ++i)
    if (!claims_as(recording, parameters[i], run.parameters[i], owner)) return false;
  return !given || numbers_as(recording, entry, run, owner);
}

/// True if results that are given are the windows that are known. Storages that are new are
/// numbered in the order of results, whether they are given or made.
bool Follower::numbers_as(const Recording& recording, const Entry& entry, const PlanRun& run,
                          const PendingWork& owner) const {
  size_t fresh = now_.storages.size();
  if (run.results.size() == 1) {
    const int32_t output = recording.operands_of(entry.outputs)[0];
    const Window& window = recording.windows[static_cast<size_t>(output)];
    const Storage& storage = *run.results[0]->storage;
    const auto slot = is_claimed(storage, owner) ? storage.pending_slot() : static_cast<int>(fresh);
    return window.slot == slot && is_window(window, run.results[0]);
  }
  SmallVector<const Storage*, 4> counted;
  SmallVector<bool, 4> made(entry.shape->blocks.size(), false);
  const auto outputs = recording.operands_of(entry.outputs);
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i] < 0) {
      const RunShape::Place& place = entry.shape->results[i];
      if (place.kind == RunShape::Place::Kind::Block &&
          !std::exchange(made[static_cast<size_t>(place.source)], true))
        ++fresh;
      continue;
    }
    const Window& window = recording.windows[static_cast<size_t>(outputs[i])];
    if (!is_window(window, run.results[i])) return false;
    const Storage* const storage = run.results[i]->storage.get();
    if (is_claimed(*storage, owner)) {
      if (window.slot != storage->pending_slot()) return false;
      continue;
    }
    if (std::find(counted.begin(), counted.end(), storage) != counted.end() ||
        window.slot != static_cast<int32_t>(fresh))
      return false;
    counted.push_back(storage);
    ++fresh;
  }
  return true;
}

/// Claims the storages of results that are given and new. False, and nothing, if one of them is
/// another thread's.
bool Follower::claim_given(const Recording& recording, const PlanRun& run,
                           PendingWork& owner) const {
  const Entry& entry = recording.entries[size_];
  const auto outputs = recording.operands_of(entry.outputs);
  SmallVector<const Storage*, 4> claimed;
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i] < 0) continue;
    const Storage* const storage = run.results[i]->storage.get();
    if (is_claimed(*storage, owner)) continue;
    storage->set_pending(&owner, recording.windows[static_cast<size_t>(outputs[i])].slot);
    if (storage->pending() != &owner) {
      for (const Storage* each : claimed) unclaim(*each, owner);
      return false;
    }
    claimed.push_back(storage);
  }
  return true;
}

bool Follower::claims_next(const Known& known, const PlanRun& run, const Options* options,
                           PendingWork& owner) {
  const size_t before = now_.storages.size();
  if (is_next(known, run, options, owner) && claim_given(known.recording, run, owner)) return true;
  for (; now_.storages.size() > before; now_.storages.pop_back())
    unclaim(*now_.storages.back(), owner);
  return false;
}

bool Follower::follow(const PlanRun& run, const Options* options, PendingWork& owner) {
  if (size_ == 0) {
    const auto first = std::find_if(recent_.begin(), recent_.end(), [&](const auto& known) {
      return known->epoch == program_epoch() && claims_next(*known, run, options, owner);
    });
    if (first == recent_.end()) return false;
    begin_following(*first);
  } else if (!claims_next(*now_.known, run, options, owner)) {
    return false;
  }
  const Entry& entry = now_.known->recording.entries[size_];
  SmallVector<Tensor, 4> blocks;
  blocks.resize(entry.shape->blocks.size());
  place_results(*entry.shape, run.parameters, run.results, {blocks.data(), blocks.size()});
  for (const Tensor& result : run.results) {
    const Storage& storage = *result->storage;
    const auto next = static_cast<int>(now_.storages.size());
    if (!is_claimed(storage, owner)) storage.set_pending(&owner, next);
    if (storage.pending_slot() == next) now_.storages.push_back(result->storage);
  }
  for (const Scalar& number : run.numbers) now_.numbers.push_back(number);
  now_.lines.emplace_back(SourceLine::current());
  ++size_;
  start_early();
  return true;
}

void Follower::begin_following(std::shared_ptr<Known> known) {
  now_.known = std::move(known);
  const Recording& recording = now_.known->recording;
  now_.storages.reserve(recording.slots.size());
  now_.numbers.reserve(recording.numbers.size());
  now_.lines.reserve(recording.entries.size());
  const std::shared_ptr<const BoundProgram>& bound = now_.known->ready.bound;
  may_start_ = now_.known->patience == 0 && bound != nullptr && !reporting() && !checking() &&
               may_run_early();
  now_.early->forget_taken();
  if (!may_start_) return;
  if (now_.known->plan_of != bound) {
    now_.known->plan = early_plan_of(recording, *now_.known->ready.program, *bound);
    now_.known->plan_of = bound;
  }
  // Both arrays stay where they are, and grow.
  now_.early->begin(recording, *now_.known->ready.program, *bound, now_.known->plan,
                    {.storages = {now_.storages.data(), recording.slots.size()},
                     .numbers = {now_.numbers.data(), recording.numbers.size()}},
                    has_tail() ? tail_.early.get() : nullptr);
  find_next_start();
}

void Follower::start_early() {
  while (may_start_ && size_ >= next_start_ && is_region_ready()) {
    may_start_ = now_.early->start();
    find_next_start();
  }
}

void Follower::find_next_start() {
  const std::vector<EarlyPlan::Start>& starts = now_.known->plan.starts;
  const size_t next = now_.early->started();
  next_start_ = next < starts.size() ? starts[next].runs : std::numeric_limits<size_t>::max();
}

bool Follower::is_region_ready() {
  const EarlyPlan& plan = now_.known->plan;
  const EarlyPlan::Start& start = plan.starts[now_.early->started()];
  const auto is_in_use = [&](auto slot) {
    return is_seen(*now_.storages[static_cast<size_t>(slot)]);
  };
  if (std::any_of(start.unseen.begin(), start.unseen.end(), is_in_use)) return false;
  const Recording& recording = now_.known->recording;
  size_t unseen = unseen_;
  for (; unseen < plan.dropped.size() && plan.dropped[unseen] < size_; ++unseen) {
    bool seen = false;
    recording.for_written(recording.entries[plan.dropped[unseen]],
                          [&](size_t slot) { seen = seen || is_in_use(slot); });
    if (seen) return false;  // it may be of use, and so may what it reads
  }
  unseen_ = unseen;
  return true;
}

bool Follower::writes(int32_t slot) const {
  return size_ > 0 &&
         static_cast<size_t>(now_.known->first_writes[static_cast<size_t>(slot)]) < size_;
}

bool Follower::is_complete() const {
  if (!is_at_end() || now_.known->ready.program == nullptr) return false;
  const std::vector<bool>& seen = now_.known->ready.program->flow.seen;
  if (now_.storages.size() != seen.size()) return false;
  for (size_t slot = 0; slot < seen.size(); ++slot)
    if (is_seen(*now_.storages[slot]) != seen[slot]) return false;
  return true;
}

/// The runs that have these lines.
Recording Follower::recording_of(const Known& known, Lines& lines) {
  Recording recording = known.recording.first(lines.size());
  for (size_t i = 0; i < lines.size(); ++i) recording.entries[i].line = std::move(lines[i]);
  return recording;
}

Recording Follower::depart(PendingWork& owner) {
  const size_t done = now_.early->finish(true);
  for (const Frame::Taken& taken : now_.early->taken())
    if (taken.region >= done) now_.storages[static_cast<size_t>(taken.slot)]->defer_again();
  Recording recording = recording_of(*now_.known, now_.lines);
  recording.slots.resize(now_.storages.size());
  recording.storages = std::move(now_.storages);
  recording.numbers = std::move(now_.numbers);
  if (done > 0) recording = left_of(std::move(recording), done, owner);
  now_.storages.clear();
  now_.numbers.clear();
  now_.lines.clear();
  now_.known = nullptr;
  size_ = unseen_ = 0;
  may_start_ = false;
  return recording;
}

Recording Follower::left_of(Recording recording, size_t done, PendingWork& owner) const {
  now_.known->patience = now_.known->penalty;
  now_.known->penalty = std::min(4 * now_.known->penalty, kMostPenalty);
  std::vector<bool> left(recording.entries.size(), true);
  for (size_t i = 0; i < done; ++i)
    for (const int32_t entry : now_.known->ready.program->regions[i].entries)
      left[static_cast<size_t>(entry)] = false;
  for (size_t i = 0; i < unseen_; ++i) left[now_.known->plan.dropped[i]] = false;
  Recording rest = recording.take(left);
  // Storages that it does not touch are nobody's business any more.
  recording.mark_running(owner);
  rest.mark(owner);
  for (const Ref<Storage>& storage : recording.storages)
    if (storage->pending_slot() == Recording::kRunning) storage->set_pending(nullptr, 0);
  return rest;
}

/// What is noted is to run; nothing of it is noted any more.
void Follower::begin_running(PendingWork& owner) {
  count_run(true);
  may_start_ = false;
  size_ = unseen_ = 0;
  for (const Ref<Storage>& storage : now_.storages)
    storage->set_pending(&owner, Recording::kRunning);
}

void Follower::run(Recording& done, Lines& lines, PendingWork& owner, OnFailure on_failure) {
  begin_running(owner);
  run(now_, done, lines, on_failure);
}

void Follower::run(Noted& noted, Recording& done, Lines& lines, OnFailure on_failure) {
  const size_t early = noted.early->finish(false);
  const std::shared_ptr<Known> known = std::move(noted.known);
  done.storages.swap(noted.storages);
  done.numbers.swap(noted.numbers);
  lines.swap(noted.lines);
  try {
    execute(known->recording, known->ready,
            {.storages = done.storages, .numbers = done.numbers, .taken = noted.early->taken()},
            on_failure == OnFailure::Drop, early);
  } catch (const RunFailed& failure) {
    Recording whole = recording_of(*known, lines);
    whole.storages = std::move(done.storages);
    whole.numbers = std::move(done.numbers);
    done = on_failure == OnFailure::Keep ? whole.take(failure.left) : std::move(whole);
    throw;
  }
  known->patience = std::max(known->patience - 1, 0);
  known->penalty = std::max(known->penalty - 1, kLeastPenalty);
  const auto place = std::find(recent_.begin(), recent_.end(), known);
  if (place != recent_.begin() && place != recent_.end())
    std::rotate(recent_.begin(), place, place + 1);
}

bool Follower::leave_tail(int32_t slot, PendingWork& owner) {
  if (!may_start_ || has_tail() || reporting()) return false;
  start_early();
  if (now_.early->started() != now_.known->ready.program->regions.size()) return false;
  const EarlyPlan& plan = now_.known->plan;
  const size_t needed = plan.last_uses[static_cast<size_t>(slot)];
  if (needed == 0 || !is_complete()) return false;
  const auto rest = std::span(plan.starts).subspan(std::max(needed, now_.early->done()));
  int64_t cost = 0;
  for (const EarlyPlan::Start& start : rest) cost += start.cost;
  if (cost > kMostTail || !now_.early->close(needed)) return false;
  begin_running(owner);
  count_tail();
  Ref<Storage>& ready = now_.storages[static_cast<size_t>(slot)];
  ready->set_pending(nullptr, 0);
  ready = nullptr;
  std::swap(now_, tail_);
  has_tail_.store(true, std::memory_order_release);
  return true;
}

void Follower::end_tail(Recording& done, Lines& lines) {
  struct Ended {
    Follower& follower;
    ~Ended() {
      follower.tail_.early->set_over();
      follower.has_tail_.store(false, std::memory_order_release);
    }
  } const ended{*this};
  run(tail_, done, lines, OnFailure::Drop);
}

void Follower::remember(Recording& recording, ReadyProgram ready) {
  std::shared_ptr<Known> known;
  if (recent_.size() == kMaxKnown) {
    known = std::move(recent_.back());
    recent_.pop_back();
  }
  // A thread may follow it already while another one, which ran what was recorded before, is here.
  // Or a worker still runs it.
  if (known == nullptr || known == now_.known || known == tail_.known)
    known = std::make_shared<Known>();
  known->first_writes.assign(recording.slots.size(),
                             static_cast<int32_t>(recording.entries.size()));
  for (size_t i = recording.entries.size(); i-- > 0;) {
    recording.for_written(recording.entries[i], [&](size_t slot) {
      known->first_writes[slot] = static_cast<int32_t>(i);
    });
  }
  std::swap(known->recording, recording);
  known->ready = std::move(ready);
  known->epoch = program_epoch();
  known->plan_of = nullptr;
  known->patience = 1;
  known->penalty = kLeastPenalty;
  // Its storages go with `recording`.
  std::swap(known->recording.storages, recording.storages);
  recent_.push_front(std::move(known));
}

}  // namespace flambeau::compiler
