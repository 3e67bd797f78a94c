#pragma once
// Pieces of preparing a call, for calls on lists.

#include "eager/dispatch.h"

namespace flambeau {

/// True if the plan of a call serves every call of its key: nothing looks at memory or at the
/// generator.
bool may_repeat(const ops::Definition& op, CallForm form);

/// The dynamic numbers of a call whose plan serves it.
SmallVector<Scalar, 2> numbers_of(const ops::Definition& op, const CallPlan& plan,
                                  std::span<const ops::Argument> arguments);

/// RuntimeError if the memory of a tensor that the call would write is read-only.
void check_writable(const ops::Definition& op, const TensorImpl& output);

}  // namespace flambeau
