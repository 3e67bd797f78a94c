#pragma once
// The structural rows that lowering must tell apart, and how their nodes are laid out.

#include "ir/program.h"

namespace flambeau::lower {

struct StructuralRows {
  const ir::Primitive *parameter, *number, *constant, *extent, *iota;
  const ir::Primitive *broadcast, *permute, *slice, *flip, *squeeze;
  const ir::Primitive *add, *mul, *convert;
};

/// The rows, found once.
const StructuralRows& rows();

/// True for a product over a single k that is one multiply-add for each element: no contraction is
/// run for it. Pairs of bfloat16 numbers have a rounding of their own.
bool is_outer_product(const ir::Program& program, const ir::Node& node);

}  // namespace flambeau::lower
