#pragma once
// Rewrites row kernels that compute a costly value twice, in a reduction and again in the loop that
// writes the row:
//
//   %s = reduce_sum v1 in n vector { %1 = exp(x[v1] - %m); yield %1 }
//   vector v2 in n { %2 = exp(x[v2] - %m); out[v2] = %2 / %s }
//
// The reduction stores the value where the row will be written, and the loop loads it from there:
// the row is still in the first-level cache. No bit changes. Done only where it is safe if `out` is
// an input too (buffers alias exactly or not at all): nothing after the reduction may read a row.

#include "codegen/loop_analysis.h"

namespace flambeau::codegen {

ir::LoopProgram share_row_values(const ir::LoopProgram& program);

}  // namespace flambeau::codegen
