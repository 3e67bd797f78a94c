#pragma once
// What flows from run to run in a recording: mutation turned into values. Every write of a window
// makes a value; a run that reads the window that was written last on its storage, or a view of it
// (view_form.h), reads that value, any other read after a write reads memory.

#include "compile/recording.h"

namespace flambeau::compiler {

struct Value {
  int32_t window;
  /// True if memory must hold it: somebody sees it after the recording, or reads its storage
  /// through a window that is no view of it.
  bool stored = false;
};

struct Flow {
  static constexpr int32_t kMemory = -1;

  /// Per slot: somebody sees it afterwards. Everything that is decided of a program goes by this:
  /// who asks again may find that another thread has let go.
  std::vector<bool> seen;
  std::vector<Value> values{};
  /// Per operand of the recording: the value that a parameter reads, whole or as a view of the
  /// value's window, or kMemory; the value that a result is, or kMemory.
  std::vector<int32_t> value_of{};
  std::vector<bool> needed{};  ///< per entry: it writes what is seen or what a needed run reads
  std::vector<bool> alone{};   ///< per entry: it is in no program with others; empty: none is so
};

Flow flow_of(const Recording& recording, std::vector<bool> seen);

}  // namespace flambeau::compiler
