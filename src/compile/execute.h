#pragma once
// Runs a recording.

#include "compile/recording.h"

namespace flambeau::compiler {

/// Runs what somebody can see the results of. Afterwards no storage is pending. A run fails only if
/// there is no memory; storages that were to be made then fail when used, and of the writes to
/// others that do not depend on it some have happened.
void execute(Recording& recording);

}  // namespace flambeau::compiler
