#pragma once
// Kernels that a process has loaded, to be given to another one (compile/saved.h).

#include <cstddef>
#include <vector>

#include "runtime/compiler.h"

namespace flambeau {

struct SavedKernel {
  Hash128 key;  ///< of the kernel cache
  std::vector<std::byte> bytes;
};
/// Those of active_isa().
std::vector<SavedKernel> saved_kernels();
/// From now on get_code() finds these. Only in memory: the user's cache holds what was compiled
/// here.
void add_saved_kernels(std::vector<SavedKernel> kernels);

}  // namespace flambeau
