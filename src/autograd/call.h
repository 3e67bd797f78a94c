#pragma once
// The one door through which every operation is called, from Python and from C++: eager dispatch,
// and the tape where something requires a gradient.

#include "eager/dispatch.h"

namespace flambeau {

/// Calls `op` on `arguments` (see prepare()), recording a tape node if grad mode is on and an input
/// requires grad. PyTorch's rules for in-place operations on leaves, views and saved tensors.
Results call(const ops::Definition& op, std::span<const ops::Argument> arguments,
             CallForm form = CallForm::Function, std::span<const Tensor> out = {});

}  // namespace flambeau
