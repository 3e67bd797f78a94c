#pragma once
// The key of a call among those of its thread that need no new preparation.

#include <span>

#include "eager/dispatch.h"

namespace flambeau {

using CallKey = SmallVector<int64_t, 64>;

/// True if the numbers of a call of `op` decide nothing but its results' values: rules of its own
/// that look at them would have to be asked again.
bool numbers_are_free(const ops::Definition& op);

/// All that prepare() looks at: the op, dtypes, sizes, strides, integers and texts, and the numbers
/// unless they are free. Where an alias rule looks at the input's place in its storage, that too.
CallKey call_key(const ops::Definition& op, std::span<const ops::Argument> arguments,
                 CallForm form);

}  // namespace flambeau
