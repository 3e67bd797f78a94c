#pragma once
// The shapes of a run, from its plan.

#include "eager/executable.h"

namespace flambeau {

/// What a run of `plan` gives, by following its windows from what holds them.
RunShape find_shape(const lower::Plan& plan, std::span<const Tensor> parameters,
                    std::span<const int64_t> integers);

}  // namespace flambeau
