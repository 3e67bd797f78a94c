#pragma once
// What tells executables apart in every process.

#include "base/hash.h"

namespace flambeau {

class Executable;

/// The hash of its program.
const Hash128& hash_of(const Executable& executable);

}  // namespace flambeau
