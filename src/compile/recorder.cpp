#include "compile/recorder.h"

#include <unistd.h>

#include <algorithm>

#include "eager/copy.h"

namespace flambeau::compiler {
namespace {

constexpr size_t kMaxSliceWork = 10'000;  // runs looked at for slices of one recording

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

/// What others may change at any time is read now.
Tensor snapshot(const Tensor& tensor) {
  const Tensor copy = Tensor::empty_strided(tensor.sizes(), tensor.strides(), tensor.dtype());
  copy_elements(tensor, copy);
  return copy;
}

/// While one lives, runs of this thread happen at once.
class SinkOff {
 public:
  SinkOff() : sink_(run_sink()) { set_run_sink(nullptr); }
  ~SinkOff() { set_run_sink(sink_); }
  SinkOff(const SinkOff&) = delete;
  SinkOff& operator=(const SinkOff&) = delete;

 private:
  RunSink* sink_;
  MemoryDeferral memory_{false};
};

}  // namespace

void set_wait_hook(WaitHook hook) { wait_hook.store(hook, std::memory_order_release); }

Recorder& Recorder::of_thread() {
  // A child of fork() inherits nothing that is pending.
  [[maybe_unused]] static const bool registered = [] {
    on_fork({.before = [] { Recorder::of_thread().flush_or_keep(); }});
    return true;
  }();
  static thread_local RecorderOfThread mine;
  return *mine.recorder;
}

void Recorder::install(bool on) {
  set_run_sink(on ? this : nullptr);
  set_memory_deferred(on);
}

void Recorder::enter() {
  if (depth_ == 0) {
    flush();
    install(true);
  }
  ++depth_;
}

void Recorder::leave() {
  --depth_;
  uninstall_if_idle();
}

bool Recorder::touches(const Tensor& tensor) {
  if (!tensor.defined()) return false;
  PendingWork* const work = tensor->storage->pending();
  if (work == this) return true;
  if (work != nullptr) work->settle(*tensor->storage, true);
  return false;
}

bool Recorder::take(const Executable& executable, std::span<const Tensor> parameters,
                    std::span<const Scalar> numbers, std::span<const int64_t> integers,
                    std::span<const Tensor> outputs, Results& results) {
  if (depth_ == 0 && is_idle()) {
    install(false);
    return false;
  }
  bool touched = false;
  for (const Tensor& tensor : parameters) touched |= touches(tensor);
  for (const Tensor& tensor : outputs) touched |= touches(tensor);
  if (depth_ == 0 && !touched) return false;
  const std::shared_ptr<const RunShape> shape = shape_of_run(executable, parameters, integers);
  if (shape->runs_at_once) {
    flush();
    return false;
  }

  // Memory of blocks is needed where a result is not written elsewhere.
  SmallVector<Tensor, 4> blocks;
  blocks.resize(shape->blocks.size());
  bool exported = false;
  for (size_t i = 0; i < shape->results.size(); ++i) {
    const RunShape::Place& place = shape->results[i];
    if (i < outputs.size() && outputs[i].defined()) {
      results.push_back(outputs[i]);
      exported |= outputs[i]->storage->is_exported();
      continue;
    }
    const auto source = static_cast<size_t>(place.source);
    if (place.kind == RunShape::Place::Kind::Parameter) {
      results.push_back(parameters[source]);
    } else if (place.kind == RunShape::Place::Kind::Window) {
      const Tensor& whole = parameters[source];
      results.push_back(
          whole.alias(place.info.sizes, place.info.strides, whole->offset + place.offset));
    } else {
      Tensor& block = blocks[source];
      if (!block.defined()) {
        const TensorInfo& info = shape->blocks[source].info;
        block = Tensor::empty_strided(info.sizes, info.strides, info.dtype);
      }
      const bool whole = place.offset == 0 && place.info.sizes == block.sizes() &&
                         place.info.strides == block.strides();
      results.push_back(whole ? block
                              : block.alias(place.info.sizes, place.info.strides, place.offset));
    }
  }
  const auto is_defined = [](const Tensor& tensor) { return tensor.defined(); };
  if (std::none_of(blocks.begin(), blocks.end(), is_defined) &&
      std::none_of(outputs.begin(), outputs.end(), is_defined))
    return true;  // views alone

  SmallVector<Tensor, 4> written(results.begin(), results.end());
  for (size_t i = 0; i < written.size(); ++i)
    if (!(i < outputs.size() && outputs[i].defined()) &&
        shape->results[i].kind != RunShape::Place::Kind::Block)
      written[i] = Tensor();
  SmallVector<Tensor, 6> inputs;
  for (const Tensor& parameter : parameters) {
    if (parameter->storage->is_exported() && !parameter->storage->read_only()) {
      const SinkOff now;
      inputs.push_back(snapshot(parameter));
    } else {
      inputs.push_back(parameter);
    }
  }
  {
    const std::lock_guard lock(mutex_);
    recording_.add(executable, shape, {inputs.data(), inputs.size()}, numbers, integers,
                   {blocks.data(), blocks.size()}, outputs, {written.data(), written.size()},
                   *this);
  }
  if (exported) flush();
  return true;
}

void Recorder::uninstall_if_idle() {
  if (run_sink() == this && depth_ == 0 && is_idle()) install(false);
}

void Recorder::flush() {
  if (run_sink() == nullptr) return;
  const AtEnd at_end{*this};
  Recording done;
  try {
    wait_outside([&] {
      const std::lock_guard lock(mutex_);
      run_locked(done);
    });
  } catch (const RunFailed& failure) {
    raise(failure, done);
  }
  reuse(done);
}

void Recorder::flush_or_keep() noexcept {
  if (run_sink() == nullptr) return;
  const AtEnd at_end{*this};
  Recording done;
  wait_outside([&] {
    const std::lock_guard lock(mutex_);
    try {
      run_locked(done, OnFailure::Keep);
    } catch (const RunFailed&) {
      recording_ = std::move(done);
      recording_.mark(*this);
    }
  });
}

bool Recorder::is_free() {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  return lock.owns_lock() && recording_.empty();
}

void Recorder::reuse(Recording& done) {
  done.clear();
  const std::lock_guard lock(mutex_);
  spare_ = std::move(done);
}

bool Recorder::is_idle() {
  const std::lock_guard lock(mutex_);
  return recording_.empty();
}

void Recorder::settle(const Storage& storage, bool write) {
  const AtEnd at_end{*this};
  Recording done;
  const auto work = [&] {
    const std::lock_guard lock(mutex_);
    if (storage.pending() != this) return;
    const int slot = storage.pending_slot();
    const bool written = recording_.slots[static_cast<size_t>(slot)].written;
    if (!write && !written) return;
    // What depends on nothing else that is pending runs alone.
    // Many such reads of one recording would cost more than running it.
    slice_work_ += recording_.entries.size();
    if (written && slice_work_ < kMaxSliceWork && recording_.take_slice(slot, done)) {
      // Storages of both are let go of by the one that runs.
      struct MarkAgain {
        Recorder& recorder;
        ~MarkAgain() { recorder.recording_.mark(recorder); }
      } const mark_again{*this};
      run(done);
    } else {
      run_locked(done);
    }
  };
  try {
    wait_outside(work);
  } catch (const RunFailed& failure) {
    raise(failure, done);
  }
  reuse(done);
}

void Recorder::run_locked(Recording& done, OnFailure on_failure) {
  done = std::move(recording_);
  recording_ = std::move(spare_);
  spare_ = {};
  slice_work_ = 0;
  run(done, on_failure);
}

void Recorder::run(Recording& recording, OnFailure on_failure) {
  const SinkOff now;
  const PendingIgnored settled;
  execute(recording, on_failure);
}

void flush() { Recorder::of_thread().flush(); }

}  // namespace flambeau::compiler
