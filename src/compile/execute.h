#pragma once
// Runs recordings.

#include <exception>
#include <vector>

#include "compile/program.h"
#include "eager/run_at_once.h"

namespace flambeau::compiler {

struct Difference;

/// Runs of a recording that have failed; there is no memory, as a rule.
class RunFailed final : public std::exception {
 public:
  const char* what() const noexcept override { return "a recorded run has failed"; }
  std::exception_ptr cause;
  std::vector<int32_t> entries;          ///< one of them failed; none: before any ran
  std::vector<bool> left;                ///< per entry: it has not happened
  std::vector<Ref<Storage>> never_made;  ///< fail when used
  /// All has run, and FLAMBEAU_CHECK has found this.
  std::shared_ptr<const Difference> difference;
};
/// Throws the cause as an error that names the operations and the user's lines, which those that
/// ask for what was never made get, too. `recording` is what was run. With no lock held.
[[noreturn]] void raise(const RunFailed& failure, const Recording& recording);

/// What one run of a recording has of its own.
struct Frame {
  /// Per slot. Each is let go of, and is null, as soon as no later run touches it. A slot that no
  /// region of a bound program touches may have none.
  std::span<Ref<Storage>> storages;
  std::span<const Scalar> numbers;
  /// Per slot: elements by which its windows lie later than those of the recording; empty: none.
  std::span<const int64_t> shifts{};
  std::span<const size_t> bytes{};  ///< per slot: of a storage that it may lack
  /// Slots whose storage has memory for what region is to write there.
  struct Taken {
    size_t region;
    int32_t slot;
  };
  std::span<const Taken> taken{};
  /// The storages are marked as pending: the mark goes with the reference.
  bool marked = true;
  bool will_repeat = false;  ///< the program is kept, to run again

  int64_t offset_of(const Window& window) const {
    return window.offset + (shifts.empty() ? 0 : shifts[static_cast<size_t>(window.slot)]);
  }
};

/// What runs recorded work lives in this.
struct AtWork {
  RunAtOnce now;
  PendingIgnored settled;
};

/// Addresses of parameters and results, or of those and what a run makes.
using RunMemory = SmallVector<void*, 16>;
/// What the runs of a region of `recording` are given: its parameters, then its results, as many as
/// `given` has. Memory that is deferred is taken.
void set_given(std::span<void*> given, const Recording& recording, const Region& region,
               const Frame& frame);
inline size_t given_count(const Region& region) {
  return region.parameters.size() + region.outputs.size();
}
/// Repeats `run`, which is of the region. After OutOfMemory nothing that it reads has changed.
void run_bound(const Recording& recording, const Region& region, const BoundRun& run,
               std::span<void* const> given, std::span<const Scalar> numbers);

/// A recording's program with what its geometry decides.
struct ReadyProgram {
  std::shared_ptr<const Program> program;  ///< null: to be found
  Hash128 geometry{};
  std::shared_ptr<const BoundProgram> bound;  ///< null: not known yet
};

/// Runs it; `ready` becomes what is known of it. RunFailed as below. The first `done` regions have
/// run already.
void execute(const Recording& recording, ReadyProgram& ready, const Frame& frame,
             bool fail_outputs = true, size_t done = 0);

/// What becomes of runs that have not happened when one fails: they never do, or they stay.
enum class OnFailure : uint8_t { Drop, Keep };

/// Runs what somebody can see the results of. Afterwards no storage is pending. After a failure
/// (RunFailed) for want of memory what was recorded before the run that failed has happened, and
/// nothing after it but what was in a region with earlier runs; else each region as a whole or not
/// at all. Runs that stay are what `recording` then holds, with no storage marked.
void execute(Recording& recording, ReadyProgram& ready, OnFailure on_failure = OnFailure::Drop);
void execute(Recording& recording, OnFailure on_failure = OnFailure::Drop);

}  // namespace flambeau::compiler
