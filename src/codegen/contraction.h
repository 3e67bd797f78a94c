#pragma once
// Compiles the parts of contractions.

#include "codegen/codegen.h"
#include "codegen/contraction_parts.h"

namespace flambeau::codegen {

KernelImage compile(const MicroKernelPart& part, Isa isa);
KernelImage compile(const PackPart& part, Isa isa);

}  // namespace flambeau::codegen
