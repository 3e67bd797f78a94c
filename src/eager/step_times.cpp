#include "eager/step_times.h"

#include "eager/executable_hash.h"

namespace flambeau {

thread_local constinit StepTimes* StepTimes::waiting = nullptr;

void StepTimes::begin(const Executable& executable) {
  waiting = nullptr;
  executable_ = hash_of(executable);
  last_ = Clock::now();
}

void StepTimes::add(size_t step) {
  const Clock::time_point now = Clock::now();
  if (nanoseconds_.size() <= step) nanoseconds_.resize(step + 1);
  nanoseconds_[step] += static_cast<double>(std::chrono::nanoseconds(now - last_).count());
  last_ = now;
}

std::vector<double> StepTimes::of(const Executable& executable) const {
  return hash_of(executable) == executable_ ? nanoseconds_ : std::vector<double>();
}

}  // namespace flambeau
