#pragma once
// What tells executables apart in every process, and keeps them.

#include <memory>

#include "base/hash.h"

namespace flambeau {

class Executable;

/// The hash of its program.
const Hash128& hash_of(const Executable& executable);
/// What keeps it alive.
std::shared_ptr<const Executable> share(const Executable& executable);

}  // namespace flambeau
