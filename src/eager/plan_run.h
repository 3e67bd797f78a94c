#pragma once
// One run of a plan's steps in the general way, which notes what it does for runs of the same
// geometry (bound_run.h).

#include "eager/bound_run.h"
#include "eager/executable.h"
#include "eager/run_shape.h"
#include "lower/plan.h"

namespace flambeau {

/// Runs it; notes in `record`, if given, what it does. Where a kernel is missing, asks for those of
/// the steps behind it, too, before it throws KernelMissing.
void run_steps(const PlanRun& given, BoundRun* record = nullptr);
/// The same with the memory of values: one of `blocks` for each that `shape` says.
void run_steps_in_blocks(const PlanRun& given, const RunShape& shape,
                         std::span<const Tensor> blocks);
/// Asks for the kernels that run_steps() needs; false if one is missing. Results have no memory.
bool ask_for_steps(const PlanRun& given);

/// True if kernels may write result `i` to its output while they read the parameters.
bool is_safe_output(const lower::Plan& plan, std::span<const Tensor> parameters, size_t i,
                    const Tensor& output);

}  // namespace flambeau
