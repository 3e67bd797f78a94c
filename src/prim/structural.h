#pragma once
// What the structural rows share: checks of axes, and operands in batching rules.

#include "ir/array.h"
#include "prim/row.h"

namespace flambeau::prim {

using ir::ArrayValue;
using ir::BatchContext;
using ir::DimBindings;
using ir::Node;

/// Axes with the operand of a reduction or view: each in [0, rank), ascending without repeats.
void check_ascending_axes(std::string_view name, std::span<const int64_t> axes, size_t rank);

/// True if `axis` is among `axes`.
bool contains(std::span<const int64_t> axes, size_t axis);

/// Operand number `i` with its batch axis, which it gets by broadcasting if it has none.
Expr batched_argument(const BatchContext& context, size_t i);

/// `dims` with the batch in front.
Shape with_batch(const BatchContext& context, std::span<const Dim> dims);

/// Each axis plus one: its place when a batch axis stands in front.
SmallVector<int64_t, 5> shifted(std::span<const int64_t> axes);

/// The axes [first, last).
SmallVector<int64_t, 5> axes_between(size_t first, size_t last);

}  // namespace flambeau::prim
