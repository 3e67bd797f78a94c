#pragma once
// Calls of operations on lists of tensors, one item after the other or all in one launch.

#include <span>

#include "eager/dispatch.h"

namespace flambeau {

/// A call of an op with `per_item`: for each result of an item, those of all items; nothing where
/// the op writes its arguments. What can be refused is refused before anything is written. Where
/// kernels of different items touch different memory, they run in one parallel region.
Results call_items(const ops::Definition& op, std::span<const ops::Argument> arguments);

}  // namespace flambeau
