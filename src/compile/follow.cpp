#include "compile/follow.h"

#include <algorithm>
#include <utility>

#include "compile/check.h"
#include "compile/report.h"

namespace flambeau::compiler {
namespace {

constexpr size_t kMaxKnown = 4;  // of a thread: programs of a step, in turn

/// Labels are mostly literals.
bool is_same_text(std::string_view a, std::string_view b) {
  return a.size() == b.size() && (a.data() == b.data() || a == b);
}

bool is_window(const Window& window, const Tensor& tensor) {
  return window.offset == tensor->offset && window.info.dtype == tensor.dtype() &&
         window.info.sizes == tensor.sizes() && window.info.strides == tensor.strides();
}

}  // namespace

/// True if `tensor` is the window; a storage that is new gets the number that it would get if the
/// run was recorded.
bool Follower::claims_as(const Recording& recording, int32_t window, const Tensor& tensor,
                         PendingWork& owner) {
  const Storage& storage = *tensor->storage;
  if (storage.pending() != &owner) {
    if (storages_.size() >= recording.slots.size()) return false;  // early_ has the array
    storage.set_pending(&owner, static_cast<int>(storages_.size()));
    if (storage.pending() != &owner) return false;  // another thread's
    storages_.push_back(tensor->storage);
  }
  if (window < 0) return false;
  const Window& known = recording.windows[static_cast<size_t>(window)];
  return known.slot == storage.pending_slot() && is_window(known, tensor);
}

bool Follower::is_next(const Known& known, const AskedRun& run, PendingWork& owner) {
  const Recording& recording = known.recording;
  if (size_ == recording.entries.size()) return false;
  const Entry& entry = recording.entries[size_];
  if (entry.program.get() != &run.program || !is_same_text(entry.label, RunLabel::current()) ||
      entry.options != run.options ||
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
bool Follower::numbers_as(const Recording& recording, const Entry& entry, const AskedRun& run,
                          const PendingWork& owner) const {
  size_t fresh = storages_.size();
  if (run.results.size() == 1) {
    const int32_t output = recording.operands_of(entry.outputs)[0];
    const Window& window = recording.windows[static_cast<size_t>(output)];
    const Storage& storage = *run.results[0]->storage;
    const auto slot =
        storage.pending() == &owner ? storage.pending_slot() : static_cast<int>(fresh);
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
    if (storage->pending() == &owner) {
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
bool Follower::claim_given(const Recording& recording, const AskedRun& run,
                           PendingWork& owner) const {
  const Entry& entry = recording.entries[size_];
  const auto outputs = recording.operands_of(entry.outputs);
  SmallVector<const Storage*, 4> claimed;
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i] < 0) continue;
    const Storage* const storage = run.results[i]->storage.get();
    if (storage->pending() == &owner) continue;
    storage->set_pending(&owner, recording.windows[static_cast<size_t>(outputs[i])].slot);
    if (storage->pending() != &owner) {
      for (const Storage* each : claimed) each->set_pending(nullptr, 0);
      return false;
    }
    claimed.push_back(storage);
  }
  return true;
}

bool Follower::claims_next(const Known& known, const AskedRun& run, PendingWork& owner) {
  const size_t before = storages_.size();
  if (is_next(known, run, owner) && claim_given(known.recording, run, owner)) return true;
  for (; storages_.size() > before; storages_.pop_back()) storages_.back()->set_pending(nullptr, 0);
  return false;
}

bool Follower::follow(const AskedRun& run, PendingWork& owner) {
  if (size_ == 0) {
    const auto first = std::find_if(recent_.begin(), recent_.end(), [&](const auto& known) {
      return known->epoch == program_epoch() && claims_next(*known, run, owner);
    });
    if (first == recent_.end()) return false;
    begin_following(*first);
  } else if (!claims_next(*known_, run, owner)) {
    return false;
  }
  const Entry& entry = known_->recording.entries[size_];
  SmallVector<Tensor, 4> blocks;
  blocks.resize(entry.shape->blocks.size());
  place_results(*entry.shape, run.parameters, run.results, {blocks.data(), blocks.size()});
  for (const Tensor& result : run.results) {
    const Storage& storage = *result->storage;
    const auto next = static_cast<int>(storages_.size());
    if (storage.pending() != &owner) storage.set_pending(&owner, next);
    if (storage.pending_slot() == next) storages_.push_back(result->storage);
  }
  numbers_.insert(numbers_.end(), run.numbers.begin(), run.numbers.end());
  lines_.emplace_back(SourceLine::current());
  ++size_;
  start_early();
  return true;
}

void Follower::begin_following(std::shared_ptr<Known> known) {
  known_ = std::move(known);
  const Recording& recording = known_->recording;
  storages_.reserve(recording.slots.size());
  numbers_.reserve(recording.numbers.size());
  lines_.reserve(recording.entries.size());
  const std::shared_ptr<const BoundProgram>& bound = known_->ready.bound;
  may_start_ = known_->patience == 0 && bound != nullptr && !reporting() && !checking() &&
               early_way() != EarlyWay::Never;
  if (!may_start_) return;
  if (known_->plan_of != bound) {
    known_->plan = early_plan_of(recording, *known_->ready.program, *bound);
    known_->plan_of = bound;
  }
  // Both arrays stay where they are, and grow.
  early_.begin(recording, *known_->ready.program, *bound,
               {.storages = {storages_.data(), recording.slots.size()},
                .numbers = {numbers_.data(), recording.numbers.size()}});
}

void Follower::start_early() {
  while (may_start_ && is_region_ready()) early_.start(known_->plan.starts[early_.started()].cost);
}

bool Follower::is_region_ready() {
  const EarlyPlan& plan = known_->plan;
  if (early_.started() == plan.starts.size()) return false;
  const EarlyPlan::Start& start = plan.starts[early_.started()];
  if (start.runs > size_) return false;
  const auto is_in_use = [&](auto slot) { return is_seen(*storages_[static_cast<size_t>(slot)]); };
  if (std::any_of(start.unseen.begin(), start.unseen.end(), is_in_use)) return false;
  const Recording& recording = known_->recording;
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
  return size_ > 0 && static_cast<size_t>(known_->first_writes[static_cast<size_t>(slot)]) < size_;
}

bool Follower::is_complete() const {
  if (!is_at_end() || known_->ready.program == nullptr) return false;
  const std::vector<bool>& seen = known_->ready.program->seen;
  if (storages_.size() != seen.size()) return false;
  for (size_t slot = 0; slot < seen.size(); ++slot)
    if (is_seen(*storages_[slot]) != seen[slot]) return false;
  return true;
}

/// The runs that have these lines.
Recording Follower::recording_of(const Known& known, Lines& lines) {
  Recording recording = known.recording.first(lines.size());
  for (size_t i = 0; i < lines.size(); ++i) recording.entries[i].line = std::move(lines[i]);
  return recording;
}

Recording Follower::depart(PendingWork& owner) {
  const size_t done = early_.finish(true);
  Recording recording = recording_of(*known_, lines_);
  recording.slots.resize(storages_.size());
  recording.storages = std::move(storages_);
  recording.numbers = std::move(numbers_);
  if (done > 0) recording = left_of(std::move(recording), done, owner);
  storages_.clear();
  numbers_.clear();
  lines_.clear();
  known_ = nullptr;
  size_ = unseen_ = 0;
  may_start_ = false;
  return recording;
}

Recording Follower::left_of(Recording recording, size_t done, PendingWork& owner) const {
  known_->patience = known_->penalty;
  known_->penalty = std::min(4 * known_->penalty, kMostPenalty);
  std::vector<bool> left(recording.entries.size(), true);
  for (size_t i = 0; i < done; ++i)
    for (const int32_t entry : known_->ready.program->regions[i].entries)
      left[static_cast<size_t>(entry)] = false;
  for (size_t i = 0; i < unseen_; ++i) left[known_->plan.dropped[i]] = false;
  Recording rest = recording.take(left);
  // Storages that it does not touch are nobody's business any more.
  recording.mark_running(owner);
  rest.mark(owner);
  for (const Ref<Storage>& storage : recording.storages)
    if (storage->pending_slot() == Recording::kRunning) storage->set_pending(nullptr, 0);
  return rest;
}

void Follower::run(Recording& done, Lines& lines, PendingWork& owner, OnFailure on_failure) {
  count_run(true);
  const size_t early = early_.finish(false);
  may_start_ = false;
  unseen_ = 0;
  for (const Ref<Storage>& storage : storages_) storage->set_pending(&owner, Recording::kRunning);
  const std::shared_ptr<Known> known = std::move(known_);
  done.storages.swap(storages_);
  done.numbers.swap(numbers_);
  lines.swap(lines_);
  size_ = 0;
  try {
    execute(known->recording, known->ready, {.storages = done.storages, .numbers = done.numbers},
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

void Follower::remember(Recording& recording, ReadyProgram ready) {
  std::shared_ptr<Known> known;
  if (recent_.size() == kMaxKnown) {
    known = std::move(recent_.back());
    recent_.pop_back();
  }
  // A thread may follow it already while another one, which ran what was recorded before, is here.
  if (known == nullptr || known == known_) known = std::make_shared<Known>();
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
