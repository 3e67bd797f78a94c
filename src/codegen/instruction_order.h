#pragma once
// The order of a kernel's instructions, which LLVM is then told to keep.

#include "base/cpu_features.h"

namespace llvm {
class Module;
}  // namespace llvm

namespace flambeau::codegen {

/// Orders the instructions of long blocks by height, which is how long what waits for each of them
/// takes: chains that have nothing to do with each other, as a polynomial and random bits, then run
/// side by side rather than one behind the other. Returns false where so many values wait at once,
/// as they were emitted, that most would go through the stack: there LLVM's scheduler, which
/// shortens their lives at the price of chains one by one, does better.
bool order_by_height(llvm::Module& module, Isa isa);

}  // namespace flambeau::codegen
