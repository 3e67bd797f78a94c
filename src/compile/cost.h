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

/// What the steps of a plan do, one by one.
struct StepCosts {
  std::vector<Cost> steps;
  /// A value with memory of its own that steps make for later ones.
  struct Temporary {
    DType dtype;
    Ints sizes;
    double bytes;
    int first, last;  ///< steps: it is made, and read last
  };
  std::vector<Temporary> temporaries;
};
StepCosts step_costs_of(const Recording& recording, const Region& region, const Executable& form);

}  // namespace flambeau::compiler
