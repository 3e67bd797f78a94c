#pragma once
// Values that are made again where they are read, rather than kept over a program's peak of memory.

#include <vector>

#include "compile/merge.h"

namespace flambeau::compiler {

/// What the storages that a program makes hold while each of its regions runs, in bytes.
std::vector<double> memory_over_time(const Recording& recording,
                                     const std::vector<Region>& regions);

/// Looks where the regions, in the order in which they run, hold most memory. A value that is kept
/// over that place, and follows by cheap kernels from what is kept anyway, is computed again by the
/// regions that read it afterwards: their programs begin with its runs, which then belong to
/// several regions. Only where this lowers the peak, and the program takes no more than a part of a
/// per cent longer; with a memory budget (recording.h) of which the peak is too much, however much
/// longer it takes. The same runs give the same bits, random numbers included: their keys are
/// numbers of the runs.
void recompute(const Recording& recording, const Flow& flow, std::vector<Region>& regions);

}  // namespace flambeau::compiler
