#pragma once
// Which results of a plan may be written over what it reads.

#include <vector>

#include "lower/plan.h"

namespace flambeau::lower {

/// Per axis of `shape`: the loop of a kernel over all of it; extents of 1 have none.
SmallVector<AxisIndex, 5> loops_of(const ir::Shape& shape);
/// The extents of those loops.
SmallVector<Dim, 5> extents_of(const ir::Shape& shape);
/// True if each iteration of the kernel has an element of `shape` of its own.
bool is_whole_space(const KernelTemplate& kernel, const ir::Shape& shape);

/// Per parameter: true if a result of the last step may take its place. That is a kernel which
/// reads the parameter nowhere, or only where it is done with it: at the position that it writes,
/// and in passes over the row before that keep nothing of it; or it scatters into a copy of the
/// parameter and reads it nowhere else. All of `plan` but its `overwritable` is there.
std::vector<bool> find_overwritable(const Plan& plan, size_t parameter_count);

/// True if result number `result` may be written where parameter number `parameter` is, both being
/// the same window.
bool may_take_place(const Plan& plan, size_t parameter, size_t result);

}  // namespace flambeau::lower
