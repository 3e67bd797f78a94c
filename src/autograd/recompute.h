#pragma once
// Saved values that are cheap to compute again give their memory back.
//
// y = gelu(x); z = linear(y, w): the tape keeps x for the first call and y for the second, though y
// is one quick kernel away from x. Once only the tape holds y, its memory is freed, and computed
// again, to the same bits, when the backward reads it. Nobody can tell: whatever writes x or y
// first computes y (Storage::set_recomputation).

#include "autograd/program_node.h"

namespace flambeau {

/// `node` is that of a call that gave `results`: tells the storage of a large one how to compute
/// it again, if that is one kernel over inputs that the node saves.
void note_recomputation(const PreparedCall& prepared, const ProgramNode& node,
                        const Results& results);

/// `node` has saved inputs: those that can be computed again give up their memory once nothing else
/// holds them, which a later call on this thread finds out.
void note_saved(const std::shared_ptr<ProgramNode>& node);

}  // namespace flambeau
