#pragma once
// A scope without recording.

#include "eager/executable.h"

namespace flambeau {

/// While one lives, runs of this thread happen at once, and memory is taken when it is made.
class RunAtOnce {
 public:
  RunAtOnce() : sink_(run_sink()) { set_run_sink(nullptr); }
  ~RunAtOnce() { set_run_sink(sink_); }
  RunAtOnce(const RunAtOnce&) = delete;
  RunAtOnce& operator=(const RunAtOnce&) = delete;

 private:
  RunSink* sink_;
  MemoryDeferral memory_{false};
};

}  // namespace flambeau
