#pragma once
// Records the runs of a thread while a compiled function is active and as long as later runs touch
// what is recorded (architecture, section 8); runs them when a value is needed.

#include <atomic>
#include <mutex>

#include "base/fork.h"
#include "base/function_ref.h"
#include "compile/capture.h"
#include "compile/execute.h"
#include "compile/follow.h"

namespace flambeau::compiler {

/// The recorder of a thread.
class Recorder final : public RunSink, public PendingWork {
 public:
  static Recorder& of_thread();

  /// A compiled function begins or ends. The outermost one runs what an earlier one recorded. What
  /// is computed of its results, until they are, is recorded with its options, too.
  void enter(const Options& options = {});
  void leave();
  /// Runs what is recorded. `why` is for reports.
  void flush(std::string_view why = "flush");
  /// The same where no error can be raised: what fails, and what would come after it, stays
  /// recorded, and is tried again by who needs it.
  void flush_or_keep() noexcept;
  /// True if nothing is recorded and no thread is at work on it.
  bool is_free();

  /// A call that is to be replayed begins: all of it is recorded. Whatever a replayed call could
  /// not do again raises RuntimeError where it is done.
  void begin_capture(Capture& capture);
  /// It ends. `take` gets the recording, and runs it.
  void end_capture(FunctionRef<void(Recording&)> take);
  bool is_capturing() const { return capture_ != nullptr; }
  /// The program is about to be told where the tensor begins in its storage, or how often it was
  /// written. RuntimeError if a captured call is, and other calls may find another number.
  void note_offset(const Tensor& tensor) override;
  void note_version(const Tensor& tensor) const;
  /// The seed of a generator is about to be given to the program.
  void note_seed() const {
    refuse_in_capture("initial_seed() is read, and other calls may find another seed");
  }
  /// `state` of a generator is about to be given to the program.
  void note_state(const Tensor& state) {
    if (capture_ != nullptr) capture_->states.push_back(state);
  }
  /// Calls look(recording), which nobody changes meanwhile.
  void look_at_recording(FunctionRef<void(const Recording&)> look);

  bool take(const PlanRun& run) override;
  void check_values(const PreparedCall& call, FunctionRef<void()> check) override;
  void key_drawn(const Generator& generator, uint64_t key) override;
  void draws_on_host(std::string_view op) override;
  void settle(const Storage& storage, bool write) override;

 private:
  /// What a run leaves, to be let go of without the lock.
  struct Done {
    Recording recording;
    Recording before_slices{};  ///< that were taken of it, if nothing was recorded since
    ReadyProgram ready;  ///< the program of a recording that may come again; null: it is known
    Follower::Lines lines{};
  };
  /// True if the run is the next one of a recording that is known, and noted as that.
  bool follows(const PlanRun& run);
  /// The same as take(), for a run that is not, or reads what others may change.
  bool record(const PlanRun& run);
  /// True if the recording touches the tensor; what other threads recorded on it runs first.
  bool touches(const Tensor& tensor);
  /// Runs what is recorded.
  void run_locked(Done& done, std::string ended, OnFailure on_failure = OnFailure::Drop);
  /// False, and nothing happens, where there is a tail.
  bool settle_without_tail(const Storage& storage, bool write);
  void settle_in_capture(const Storage& storage, bool write);
  void run_slice(int32_t slot, Done& done, std::string ended);
  /// What was compared with a known recording becomes recorded.
  void stop_following();
  /// Before a run is recorded: the tail of the recording before it ends if it is through, or the
  /// run is not recorded and touches it.
  void pass_tail(std::span<const Tensor> parameters, std::span<const Tensor> results);
  void end_tail();
  bool is_new() const { return recording_.empty() && follower_.size() == 0; }
  bool is_empty() const { return is_new() && !follower_.has_tail(); }
  bool depends_on_call(int32_t slot) const;
  bool is_source(int32_t slot) const;
  bool is_on_source(const Tensor& tensor) const;
  /// RuntimeError while a call is captured.
  void refuse_in_capture(std::string_view why) const;
  void refuse_shared_memory(std::span<const Tensor> written) const;
  void reuse(Done& done);
  void install(bool on);
  /// Nothing is recorded, and nothing will be: calls of this thread are as if there were no
  /// recorder. For the owner's thread alone.
  void uninstall_if_idle();
  /// Those of the compiled function that runs; null outside of any.
  const Options* options() const { return depth_ > 0 ? &options_ : nullptr; }
  struct AtEnd {  // also where what is recorded fails
    Recorder& recorder;
    ~AtEnd() { recorder.uninstall_if_idle(); }
  };
  bool is_idle();
  /// True if the recording is as long as one may be, or keeps much memory that nobody else does: in
  /// a loop whose values nobody reads, what each pass is given. Under the lock.
  bool holds_too_much();
  static constexpr size_t kMostEntries = 16'384;
  static constexpr size_t kMostHeld = size_t{256} << 20;
  static constexpr size_t kLookAfter = kMostHeld / 8;  ///< bytes that came since the last look

  ForkSafe<std::mutex> mutex_;
  Recording recording_;
  Recording spare_;    ///< empty; the next recording's arrays
  Follower follower_;  ///< has what recording_ would hold, or nothing
  /// Without storages: what slices were taken of, if nothing was recorded since; else empty.
  Recording before_slices_;
  int depth_ = 0;
  Options options_;
  SmallVector<Options, 4> outer_options_;  ///< of the functions around the innermost
  Capture* capture_ = nullptr;             ///< of the call that is being captured
  std::unique_lock<std::timed_mutex> turn_;
  size_t slice_work_ = 0;  ///< runs looked at for slices of the present recording
};

/// Calls of this thread are recorded while one lives.
class Scope {
 public:
  explicit Scope(const Options& options = {}) { Recorder::of_thread().enter(options); }
  ~Scope() { Recorder::of_thread().leave(); }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
};

/// Runs what this thread has recorded.
void flush();

/// Runs `work` at once, while others may run: none of its runs is recorded.
void run_now(FunctionRef<void()> work);

/// Who waits for a lock or runs recorded work does it in here: the bindings let go of Python's
/// lock meanwhile.
using WaitHook = void (*)(FunctionRef<void()> work);
void set_wait_hook(WaitHook hook);

}  // namespace flambeau::compiler
