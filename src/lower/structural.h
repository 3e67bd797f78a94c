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

}  // namespace flambeau::lower
