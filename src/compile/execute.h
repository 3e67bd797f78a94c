#pragma once
// Runs a recording.

#include "compile/recording.h"

namespace flambeau::compiler {

/// Runs what somebody can see the results of. Afterwards no storage is pending. If a run fails, the
/// writes before it have happened and none after; storages that were to be written fail when used.
void execute(Recording& recording);

}  // namespace flambeau::compiler
