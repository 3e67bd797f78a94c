#pragma once
// How long each step of a run takes: for reports.

#include <chrono>
#include <vector>

#include "eager/executable.h"

namespace flambeau {

/// While one lives, the first executable that this thread runs notes how long its steps take. Those
/// that run inside of it are part of a step.
class StepTimes {
 public:
  StepTimes() : before_(waiting) { waiting = this; }
  ~StepTimes() { waiting = before_; }
  StepTimes(const StepTimes&) = delete;
  StepTimes& operator=(const StepTimes&) = delete;

  /// For an executable that begins to run: where its times go; null where nobody asks, or where
  /// `executable` is null: a run that is of none.
  static StepTimes* take(const Executable* executable) {
    if (waiting == nullptr || executable == nullptr) [[likely]]
      return nullptr;
    StepTimes* const times = waiting;
    times->begin(*executable);
    return times;
  }
  /// What happened since the last call is of this step.
  void add(size_t step);

  /// Per step of the plan, in nanoseconds; then, if there are any, that of copies behind the steps.
  /// Empty unless it is `executable` that ran.
  std::vector<double> of(const Executable& executable) const;

 private:
  using Clock = std::chrono::steady_clock;
  void begin(const Executable& executable);

  Hash128 executable_{};
  Clock::time_point last_;
  std::vector<double> nanoseconds_;
  StepTimes* before_;
  static thread_local constinit StepTimes* waiting;
};

}  // namespace flambeau
