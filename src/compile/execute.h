#pragma once
// Runs a recording.

#include <exception>
#include <vector>

#include "compile/recording.h"

namespace flambeau::compiler {

/// Runs of a recording that have failed; there is no memory, as a rule.
class RunFailed final : public std::exception {
 public:
  const char* what() const noexcept override { return "a recorded run has failed"; }
  std::exception_ptr cause;
  std::vector<int32_t> entries;          ///< one of them failed; none: before any ran
  std::vector<Ref<Storage>> never_made;  ///< fail when used
};
/// Throws the cause as an error that names the operations and the user's lines, which those that
/// ask for what was never made get, too. `recording` is what was run. With no lock held.
[[noreturn]] void raise(const RunFailed& failure, const Recording& recording);

/// What becomes of runs that have not happened when one fails: they never do, or they stay.
enum class OnFailure : uint8_t { Drop, Keep };

/// Runs what somebody can see the results of. Afterwards no storage is pending. After a failure
/// (RunFailed) what was recorded before the run that failed has happened, and nothing after it, if
/// there was no memory; else each region as a whole or not at all. Runs that stay are what
/// `recording` then holds, with no storage marked.
void execute(Recording& recording, OnFailure on_failure = OnFailure::Drop);

}  // namespace flambeau::compiler
