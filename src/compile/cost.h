#pragma once
// A rough time of a program's run, to compare ways of cutting a recording into programs.

#include "compile/merge.h"

namespace flambeau::compiler {

struct Cost {
  /// Nanoseconds: memory traffic or arithmetic of each step, whichever takes longer, and what a
  /// step costs by itself.
  double time = 0;
  double bytes = 0;  ///< read and written
  int launches = 0;  ///< kernels, contractions and scans
};
Cost cost_of(const Recording& recording, const Region& region);
/// The same if `form` runs in place of the region's program.
Cost cost_of(const Recording& recording, const Region& region, const Executable& form);

/// Bytes that a run reads and writes if each extent that is not known is `extent`: to compare
/// programs whatever the sizes at hand are.
double bytes_at(const Executable& executable, int64_t extent);

}  // namespace flambeau::compiler
