#pragma once
// Rewrites row kernels that compute a costly value in several of their passes over a row:
//
//   %s = reduce_sum v1 in n vector { %1 = exp(x[v1] - %m); yield %1 }
//   vector v2 in n { %2 = exp(x[v2] - %m); out[v2] = %2 / %s }
//
// The first of these passes stores the value in a place of one row, which stays in the first-level
// cache, and the others load it from there. No bit changes. Such a kernel's outputs are none of its
// inputs, so that a row that is too long for the place can be kept where `out` will be. An `out` of
// half precision has no room for it: the program is then for rows that fit, and longer ones are
// computed as they were given.

#include "codegen/loop_analysis.h"

namespace flambeau::codegen {

/// Elements of a row that are kept on the stack between its passes.
inline constexpr int64_t kPlaceElements = 4096;

struct SharedRows {
  /// With a buffer more at its end for each place.
  ir::LoopProgram program;
  struct Place {
    int home;           ///< the output whose row has this dtype and extent, or -1
    ir::LoopIndex row;  ///< where that row begins
    ir::IntOperand extent;
  };
  std::vector<Place> places;
};

SharedRows share_row_values(const ir::LoopProgram& program);

}  // namespace flambeau::codegen
