#pragma once
// Cuts a recording into programs: runs that gain by being one program become one.

#include "compile/merge.h"

namespace flambeau::compiler {

/// The regions of all needed runs, in an order in which they may run one after the other.
std::vector<Region> fuse(const Recording& recording, const Flow& flow);

}  // namespace flambeau::compiler
