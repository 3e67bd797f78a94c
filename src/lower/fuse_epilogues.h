#pragma once
// Pointwise kernels that become epilogues of the contraction before them.

#include <span>

#include "lower/plan.h"

namespace flambeau::lower {

/// Lets a pointwise kernel that is all that reads a product be the contraction's epilogue, and
/// removes its step. `producer`: per value, the step that makes it. All of `plan` but last uses and
/// `overwritable` is there.
void fuse_epilogues(Plan& plan, std::span<const size_t> producer);

}  // namespace flambeau::lower
