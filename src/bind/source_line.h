#pragma once
// Tells the recorder which line of Python calls an operation (compile/source_line.h).

#include "compile/source_line.h"
#include "eager/executable.h"

namespace flambeau::bind {

/// While one lives, this thread's calls are of the line of Python that runs now, if they may be
/// recorded. Made and destroyed with Python's lock.
class LineOfCall {
 public:
  LineOfCall() {
    if (run_sink() != nullptr) [[unlikely]]
      note();
  }
  ~LineOfCall() {
    if (noted_) compiler::SourceLine::set_current(before_);
  }
  LineOfCall(const LineOfCall&) = delete;
  LineOfCall& operator=(const LineOfCall&) = delete;

 private:
  void note();

  bool noted_ = false;
  compiler::SourceLine* before_ = nullptr;
  Ref<compiler::SourceLine> line_;
};

}  // namespace flambeau::bind
