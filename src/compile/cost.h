#pragma once
// A rough time of a program's run, to compare ways of cutting a recording into programs.

#include "compile/merge.h"

namespace flambeau::compile {

/// Nanoseconds: memory traffic or arithmetic of each step, whichever takes longer, and what a step
/// costs by itself.
double estimate(const Recording& recording, const Region& region);

}  // namespace flambeau::compile
