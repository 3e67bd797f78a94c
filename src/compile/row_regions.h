#pragma once
// Regions that stand around rows which may run in blocks (block_rows.h).

#include <vector>

#include "compile/merge.h"

namespace flambeau::compiler {

/// Joins regions, in the order in which they run, where their program may then take more in blocks
/// of rows and that saves memory: a backward of attention is products before and behind what joins
/// by itself. Then what only later regions read of such a region is computed again there, if it
/// takes one product at most and saves memory: the weights of attention, written out, are so never
/// whole in memory. A run may then belong to several regions. No bit depends on any of it.
void gather_rows(const Recording& recording, const Flow& flow, std::vector<Region>& regions);

}  // namespace flambeau::compiler
