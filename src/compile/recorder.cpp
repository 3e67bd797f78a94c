#include "compile/recorder.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/error.h"
#include "base/per_thread.h"
#include "compile/report.h"
#include "eager/copy.h"
#include "eager/run_at_once.h"
#include "tensor/overlap.h"

namespace flambeau::compiler {
namespace {

constexpr size_t kMaxSliceWork = 10'000;  // runs looked at for slices of one recording

/// Captures of several threads hold each other's sources: they take turns, unless one takes long
/// (it may wait for the thread that waits).
constexpr std::chrono::seconds kCaptureWait(1);
std::timed_mutex& capture_turn() {
  static auto* const turn = new std::timed_mutex;
  return *turn;
}

std::atomic<WaitHook> wait_hook{nullptr};

void wait_outside(FunctionRef<void()> work) {
  const WaitHook hook = wait_hook.load(std::memory_order_acquire);
  if (hook != nullptr)
    hook(work);
  else
    work();
}

/// Recorders outlive their threads, as storages may point to them: a thread that ends leaves its
/// own to another, which takes it when nothing is recorded any more.
class RecorderOfThread {
 public:
  RecorderOfThread() {
    const std::lock_guard lock(mutex());
    const auto found =
        std::find_if(left().begin(), left().end(), [](Recorder* each) { return each->is_free(); });
    if (found == left().end()) {
      recorder = new Recorder;
    } else {
      recorder = *found;
      left().erase(found);
    }
  }
  ~RecorderOfThread() {
    // At the end of the process nobody looks at what is pending.
    if (getpid() == gettid()) return;
    recorder->flush_or_keep();
    const std::lock_guard lock(mutex());
    left().push_back(recorder);
  }
  RecorderOfThread(const RecorderOfThread&) = delete;
  RecorderOfThread& operator=(const RecorderOfThread&) = delete;

  Recorder* recorder = nullptr;

 private:
  static ForkSafe<std::mutex>& mutex() {
    static ForkSafe<std::mutex> mutex;
    return mutex;
  }
  static std::vector<Recorder*>& left() {
    static auto* const list = new std::vector<Recorder*>;
    return *list;
  }
};

constexpr const char* kRanEarly = "what was recorded had to run before the call ended";

/// What others may change at any time is read now.
Tensor snapshot(const Tensor& tensor) {
  const Tensor copy = Tensor::empty_strided(tensor.sizes(), tensor.strides(), tensor.dtype());
  copy_elements(tensor, copy);
  return copy;
}

/// True if a result that the caller does not say where to write is a window of a parameter.
bool gives_windows(const RunShape& shape, std::span<const Tensor> results) {
  for (size_t i = 0; i < results.size(); ++i)
    if (!results[i].defined() && shape.results[i].kind != RunShape::Place::Kind::Block) return true;
  return false;
}

/// Why what is recorded runs: for reports, so with no lock held.
std::string reason(std::string_view why) {
  if (!reporting()) return {};
  const std::string_view op = RunLabel::current();
  const SourceLine* const line = SourceLine::current();
  return concat(op, op.empty() ? "" : ": ", why, line == nullptr ? "" : " at ",
                line == nullptr ? std::string() : line->text());
}

/// Works outside of Python's lock on what `done` comes to hold.
void run_outside(const Recording& done, FunctionRef<void()> work) try {
  const ReleasesLater without_locks;
  wait_outside(work);
} catch (const RunFailed& failure) {
  raise(failure, done);
}

}  // namespace

void set_wait_hook(WaitHook hook) { wait_hook.store(hook, std::memory_order_release); }

Recorder& Recorder::of_thread() {
  // A child of fork() inherits nothing that is pending.
  [[maybe_unused]] static const bool registered = [] {
    on_fork({.finish = [] { Recorder::of_thread().flush_or_keep(); }});
    return true;
  }();
  static constinit thread_local PerThread<RecorderOfThread> mine;
  return *mine->recorder;
}

void Recorder::install(bool on) {
  set_run_sink(on ? this : nullptr);
  set_memory_deferred(on);
}

void Recorder::enter(const Options& options) {
  if (depth_ == 0) {
    const auto is_new_here = [&] {
      const std::lock_guard lock(mutex_);
      return is_new();
    };
    // A tail goes on beside it.
    if (run_sink() != nullptr && !is_new_here()) flush("a compiled function is entered");
    install(true);
  } else {
    outer_options_.push_back(options_);
  }
  options_ = options;
  ++depth_;
}

void Recorder::leave() {
  if (--depth_ > 0) {
    options_ = outer_options_.back();
    outer_options_.resize(outer_options_.size() - 1);
  }
  uninstall_if_idle();
}

bool Recorder::touches(const Tensor& tensor) {
  if (!tensor.defined()) return false;
  PendingWork* const work = tensor->storage->pending();
  if (work == this) return true;
  if (work != nullptr) work->settle(*tensor->storage, true);
  return false;
}

void Recorder::pass_tail(std::span<const Tensor> parameters, std::span<const Tensor> results) {
  // Its owner alone leaves one.
  if (follower_.is_tail_over()) return end_tail();
  if (depth_ > 0) return;
  const auto is_of_tail = [&](const Tensor& tensor) {
    return tensor.defined() && tensor->storage->pending() == this &&
           tensor->storage->pending_slot() == Recording::kRunning;
  };
  bool touches_it = false;
  {
    const std::lock_guard lock(mutex_);
    touches_it = std::any_of(parameters.begin(), parameters.end(), is_of_tail) ||
                 std::any_of(results.begin(), results.end(), is_of_tail);
  }
  if (touches_it) end_tail();
}

void Recorder::end_tail() {
  if (!follower_.has_tail()) return;
  Done done;
  run_outside(done.recording, [&] {
    const std::lock_guard lock(mutex_);
    const AtWork at_work;
    if (follower_.has_tail()) follower_.end_tail(done.recording, done.lines);
  });
  reuse(done);
}

bool Recorder::take(const PlanRun& run) {
  if (follower_.has_tail()) [[unlikely]]
    pass_tail(run.parameters, run.results);
  bool touched = false;
  bool shared = false;
  const auto look_at = [&](const Tensor& tensor) {
    if (!tensor.defined()) return;
    touched |= touches(tensor);
    shared |= tensor->storage->is_exported();
  };
  for (const Tensor& tensor : run.parameters) look_at(tensor);
  for (const Tensor& tensor : run.results) look_at(tensor);
  if (depth_ == 0 && !touched) {
    uninstall_if_idle();
    return false;
  }
  return (!shared && follows(run)) || record(run);
}

bool Recorder::follows(const PlanRun& run) {
  if (capture_ != nullptr) return false;
  const std::lock_guard lock(mutex_);
  return recording_.is_unused() && follower_.follow(run, options(), *this);
}

bool Recorder::record(const PlanRun& run) {
  const auto& [executable, parameters, numbers, integers, results] = run;
  const auto is_shared = [](const Tensor& tensor) {
    return tensor.defined() && tensor->storage->is_exported();
  };
  const bool shared =
      capture_ == nullptr && std::any_of(parameters.begin(), parameters.end(), is_shared);
  const bool exported = std::any_of(results.begin(), results.end(), is_shared);
  if (capture_ != nullptr && exported) refuse_shared_memory(results);
  const std::shared_ptr<const RunShape> shape = shape_of_run(executable, parameters, integers);
  std::span<const Tensor> inputs = parameters;
  SmallVector<Tensor, 4> copies;
  const auto copy_shared = [&] {
    const RunAtOnce now;
    for (const Tensor& parameter : parameters)
      copies.push_back(is_shared(parameter) ? snapshot(parameter) : parameter);
    inputs = {copies.data(), copies.size()};
  };
  // Windows are those of the parameters themselves.
  if (shared && !exported && !shape->runs_at_once && !gives_windows(*shape, results)) {
    copy_shared();
    if (follows({executable, inputs, numbers, integers, results})) return true;
  }
  if (shape->runs_at_once) {
    constexpr std::string_view kWhy = "views of complex numbers need their memory at once";
    refuse_in_capture(kWhy);
    flush(kWhy);
    return false;
  }

  // Memory of blocks is needed where a result is not written elsewhere.
  SmallVector<Tensor, 4> blocks;
  blocks.resize(shape->blocks.size());
  SmallVector<bool, 8> given;  // per result: the caller said where it is written
  for (const Tensor& result : results) given.push_back(result.defined());
  place_results(*shape, parameters, results, {blocks.data(), blocks.size()});
  if (std::none_of(blocks.begin(), blocks.end(), [](const Tensor& b) { return b.defined(); }) &&
      std::none_of(given.begin(), given.end(), [](bool is_given) { return is_given; }))
    return true;  // views alone

  end_tail();
  if (shared && copies.empty()) copy_shared();
  // Other threads may come to record on them before this one does.
  bool is_enough = false;
  for (bool added = false, again = false; !added; again = true) {
    if (again) {
      for (const Tensor& tensor : parameters) touches(tensor);
      for (const Tensor& tensor : results) touches(tensor);
    }
    const std::lock_guard lock(mutex_);
    stop_following();
    added = recording_.claim(inputs, results, *this);
    if (!added) continue;
    recording_.add(executable, shape, inputs, numbers, integers, {blocks.data(), blocks.size()},
                   results, {given.data(), given.size()}, options(), *this);
    before_slices_.clear();
    is_enough = holds_too_much();
  }
  if (capture_ != nullptr) return true;
  if (exported)
    flush("memory that others see is written");
  else if (is_enough)
    flush("it holds much that nothing else does");
  return true;
}

bool Recorder::holds_too_much() {
  if (recording_.entries.size() >= kMostEntries) return true;
  if (recording_.fresh_bytes < kLookAfter) return false;
  recording_.fresh_bytes = 0;
  size_t bytes = 0;
  for (const Ref<Storage>& storage : recording_.storages)
    if (!storage->is_deferred() && !is_seen(*storage)) bytes += storage->bytes();
  return bytes > kMostHeld;
}

void Recorder::uninstall_if_idle() {
  if (run_sink() == this && depth_ == 0 && is_idle()) install(false);
}

void Recorder::flush(std::string_view why) {
  if (run_sink() == nullptr) return;
  const AtEnd at_end{*this};
  end_tail();
  Done done;
  run_outside(done.recording, [&] {
    std::string ended = reason(why);
    const std::lock_guard lock(mutex_);
    run_locked(done, std::move(ended));
  });
  reuse(done);
}

void Recorder::flush_or_keep() noexcept {
  if (run_sink() == nullptr) return;
  const AtEnd at_end{*this};
  try {
    end_tail();
  } catch (const std::exception&) {  // what was not computed says so
    static_cast<void>(0);
  }
  Done done;
  const ReleasesLater without_locks;
  wait_outside([&] {
    const std::lock_guard lock(mutex_);
    try {
      run_locked(done, {}, OnFailure::Keep);
    } catch (const RunFailed&) {
      recording_ = std::move(done.recording);
      recording_.mark(*this);
    }
  });
}

bool Recorder::is_free() {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  return lock.owns_lock() && is_empty();
}

void Recorder::reuse(Done& done) {
  Recording& arrays = done.recording;
  if (done.ready.program != nullptr && !done.ready.program->provisional) {
    const std::vector<bool>& needed = done.ready.program->flow.needed;
    const auto remember = [&](Recording& recording, ReadyProgram ready) {
      for (Entry& entry : recording.entries) entry.line = {};  // with no lock held
      const std::lock_guard lock(mutex_);
      follower_.remember(recording, std::move(ready));
    };
    // Slices that were all there is to do, next time run with the rest.
    if (arrays.is_whole)
      remember(arrays, std::move(done.ready));
    else if (!done.before_slices.empty() &&
             std::find(needed.begin(), needed.end(), false) == needed.end())
      remember(done.before_slices, {});
  }
  arrays.clear();
  done.lines.clear();
  const std::lock_guard lock(mutex_);
  // The larger arrays for what comes next.
  if (recording_.is_unused() && recording_.windows.capacity() < arrays.windows.capacity())
    std::swap(recording_, arrays);
  if (spare_.windows.capacity() < arrays.windows.capacity()) spare_ = std::move(arrays);
}

bool Recorder::is_idle() {
  const std::lock_guard lock(mutex_);
  return is_empty();
}

void Recorder::settle(const Storage& storage, bool write) {
  if (run_sink() == this && capture_ != nullptr) return settle_in_capture(storage, write);
  const AtEnd at_end{*this};
  // Another thread's recorder may have one again by then.
  for (bool again = true; again;) {
    end_tail();
    again = !settle_without_tail(storage, write);
  }
}

bool Recorder::settle_without_tail(const Storage& storage, bool write) {
  Done done;
  bool settled = true;
  run_outside(done.recording, [&] {
    std::string ended = reason(write ? "memory is written outside of it" : "a value is read");
    const std::lock_guard lock(mutex_);
    settled = !follower_.has_tail();
    if (!settled || storage.pending() != this) return;
    const auto is_written = [&] {
      const int slot = storage.pending_slot();
      return follower_.is_following() ? follower_.writes(slot)
                                      : recording_.slots[static_cast<size_t>(slot)].written;
    };
    if (!write && !is_written()) return;
    if (follower_.is_at_end()) {
      const bool may_leave = !write && run_sink() == this;
      if (may_leave && follower_.leave_tail(storage.pending_slot(), *this)) return;
      return run_locked(done, std::move(ended));
    }
    stop_following();
    // What ran early is there, and what is left has other numbers.
    if (storage.pending() != this || (!write && !is_written())) return;
    // What depends on nothing else that is pending runs alone.
    // Many such reads of one recording would cost more than running it.
    slice_work_ += recording_.entries.size();
    if (is_written() && slice_work_ < kMaxSliceWork)
      run_slice(storage.pending_slot(), done, std::move(ended));
    else
      run_locked(done, std::move(ended));
  });
  reuse(done);
  return settled;
}

void Recorder::run_slice(int32_t slot, Done& done, std::string ended) {
  if (capture_ != nullptr) capture_->broken = kRanEarly;
  if (!recording_.take_slice(slot, done.recording, before_slices_, *this))
    return run_locked(done, std::move(ended));
  done.recording.ended = std::move(ended);
  const AtWork at_work;
  execute(done.recording);
}

void Recorder::run_locked(Done& done, std::string ended, OnFailure on_failure) {
  if (capture_ != nullptr) capture_->broken = kRanEarly;
  slice_work_ = 0;
  const AtWork at_work;
  if (follower_.is_complete() && !reporting())
    return follower_.run(done.recording, done.lines, *this, on_failure);
  stop_following();
  done.recording = std::move(recording_);
  std::swap(done.before_slices, before_slices_);
  done.recording.ended = std::move(ended);
  recording_ = std::move(spare_);
  spare_ = {};
  done.recording.mark_running(*this);
  ReadyProgram ready;
  execute(done.recording, ready, on_failure);
  done.ready = std::move(ready);
}

void Recorder::stop_following() {
  if (follower_.is_following()) recording_ = follower_.depart(*this);
}

void Recorder::begin_capture(Capture& capture) {
  std::unique_lock turn(capture_turn(), std::defer_lock);
  wait_outside([&] { static_cast<void>(turn.try_lock_for(kCaptureWait)); });
  flush();
  install(true);
  if (depth_++ == 0) options_ = {};
  const std::span<const Tensor> sources(capture.sources.data(), capture.sources.size());
  for (bool claimed = false; !claimed;) {
    for (const Tensor& source : sources) static_cast<void>(touches(source));
    const std::lock_guard lock(mutex_);
    claimed = recording_.claim(sources, {}, *this);
    if (!claimed) continue;
    for (const Tensor& source : sources) recording_.window_of(source, *this);
    capture_ = &capture;
  }
  turn_ = std::move(turn);
}

void Recorder::end_capture(FunctionRef<void(Recording&)> take) {
  const AtEnd at_end{*this};
  const std::unique_lock turn = std::move(turn_);
  --depth_;
  Recording done;
  run_outside(done, [&] {
    const std::lock_guard lock(mutex_);
    capture_ = nullptr;  // until then other threads say in it that they ran what was recorded
    stop_following();
    done = std::move(recording_);
    recording_ = std::move(spare_);
    spare_ = {};
    slice_work_ = 0;
    const RunAtOnce now;
    const PendingIgnored settled;
    take(done);
  });
}

void Recorder::look_at_recording(FunctionRef<void(const Recording&)> look) {
  end_tail();
  const std::lock_guard lock(mutex_);
  stop_following();
  look(recording_);
}

bool Recorder::is_source(int32_t slot) const {
  return std::any_of(capture_->sources.begin(), capture_->sources.end(), [&](const Tensor& source) {
    return source->storage == recording_.storages[static_cast<size_t>(slot)];
  });
}

bool Recorder::is_on_source(const Tensor& tensor) const {
  return capture_ != nullptr &&
         std::any_of(capture_->sources.begin(), capture_->sources.end(),
                     [&](const Tensor& source) { return source->storage == tensor->storage; });
}

void Recorder::note_offset(const Tensor& tensor) {
  if (is_on_source(tensor)) capture_->offsets_are_fixed = true;
}

void Recorder::note_version(const Tensor& tensor) const {
  if (is_on_source(tensor))
    refuse_in_capture("_version is read of a tensor that the function is given or uses");
}

bool Recorder::depends_on_call(int32_t slot) const {
  const Recording::Slice slice = recording_.slice_of(slot);
  for (size_t i = 0; i < slice.slots.size(); ++i)
    if (slice.slots[i] && is_source(static_cast<int32_t>(i))) return true;
  for (size_t i = 0; i < slice.entries.size(); ++i) {
    if (!slice.entries[i]) continue;
    const Range range = recording_.entries[i].numbers;
    for (int32_t n = range.begin; n < range.end; ++n)
      if (is_drawn(*capture_, recording_.numbers[static_cast<size_t>(n)])) return true;
  }
  return false;
}

void Recorder::settle_in_capture(const Storage& storage, bool write) {
  Done done;
  bool refused = false;
  run_outside(done.recording, [&] {
    const std::lock_guard lock(mutex_);
    if (storage.pending() != this) return;
    const int32_t slot = storage.pending_slot();
    if (!recording_.slots[static_cast<size_t>(slot)].written) {
      refused = is_source(slot) ? capture_->checking == nullptr : write;
    } else if (depends_on_call(slot)) {
      refused = true;
    } else {
      // Every call would compute the same: what was computed is kept.
      const bool depends_on_all = recording_.slice_of(slot).count == recording_.entries.size();
      Capture* const capture = std::exchange(capture_, nullptr);
      run_slice(slot, done, {});
      capture_ = capture;
      if (!depends_on_all && recording_.empty())
        capture->broken =
            "a value is read of what operations before the read use, too (read it before them)";
      for (const Tensor& source : capture->sources)
        if (recording_.claim({&source, 1}, {}, *this))
          recording_.window_of(source, *this);
        else
          capture->broken = "another thread recorded on a tensor that it uses";
    }
  });
  reuse(done);
  if (!refused) return;
  if (capture_->checking != nullptr)
    refuse_in_capture(concat(capture_->checking->op->parsed.name,
                             " checks values that are computed in the function"));
  refuse_in_capture(
      "a value is read that depends on what the function is given; a replayed call would not read "
      "it again");
}

void Recorder::refuse_in_capture(std::string_view why) const {
  if (capture_ == nullptr) return;
  const std::string_view label = RunLabel::current();
  std::string text =
      concat("compile: replay=True cannot be had here: ", label, label.empty() ? "" : ": ", why);
  if (capture_->refused.empty()) capture_->refused = text;
  throw RuntimeError(text);
}

void Recorder::refuse_shared_memory(std::span<const Tensor> written) const {
  for (const Tensor& tensor : written)
    for (const Tensor& source : capture_->sources)
      if (tensor.defined() && tensor->storage != source->storage &&
          share_memory(*tensor->storage, *source->storage))
        refuse_in_capture(
            "it writes to memory of another library that another of its tensors has from there, "
            "too "
            "(as two from_numpy() of one array)");
}

void Recorder::check_values(const PreparedCall& call, FunctionRef<void()> check) {
  if (capture_ == nullptr) return check();
  struct Checking {
    Capture& capture;
    ~Checking() { capture.checking = nullptr; }
  } const checking{*capture_};
  capture_->checking = &call;
  check();
  ValueCheck& again = capture_->checks.emplace_back(ValueCheck{call.op, call.arguments});
  for (const Tensor& input : call.inputs)
    again.inputs.push_back({input.info(), input->storage->is_deferred() ? Tensor() : input});
}

void Recorder::key_drawn(const Generator& generator, uint64_t key) {
  if (capture_ != nullptr) capture_->draws.push_back({&generator, static_cast<int64_t>(key)});
}

void Recorder::draws_on_host(std::string_view op) {
  refuse_in_capture(concat(op, " draws its numbers outside of the program"));
}

void run_now(FunctionRef<void()> work) {
  wait_outside([&] {
    const RunAtOnce now;
    work();
  });
}

void flush() { Recorder::of_thread().flush(); }

}  // namespace flambeau::compiler
