#pragma once
// Where in the user's program a run was asked for, as the front end knows it: cheap to note, made
// text only for an error.

#include <string>

#include "base/intrusive.h"

namespace flambeau::compiler {

/// A line of the user's program.
class SourceLine : public Intrusive {
 public:
  /// "train.py:12". Not with locks held that a thread of the front end may wait for.
  virtual std::string text() const = 0;

  /// The line whose calls this thread executes; null where it is not known. The front end says it
  /// while calls may be recorded, and keeps it alive.
  static SourceLine* current() { return of_thread; }
  static void set_current(SourceLine* line) { of_thread = line; }

 private:
  static thread_local constinit SourceLine* of_thread;
};

}  // namespace flambeau::compiler
