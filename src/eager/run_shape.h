#pragma once
// The shapes of a run, from its plan.

#include "eager/executable.h"
#include "lower/plan.h"

namespace flambeau {

/// The strides of a window, whose value has `strides`, and to `offset` what it begins behind it. A
/// new axis of extent 1 has the stride that PyTorch gives it: that of all that is inside.
Ints strides_of_window(const lower::AliasStep& step, const Ints& sizes, const Ints& strides,
                       const ir::DimBindings& bindings, int64_t& offset);

/// What a run of `plan` gives, by following its windows from what holds them.
RunShape find_shape(const lower::Plan& plan, std::span<const Tensor> parameters,
                    std::span<const int64_t> integers);

/// True if a result is all of a block, its axes in any order.
bool is_whole(const RunShape& shape, const RunShape::Place& place);

}  // namespace flambeau
