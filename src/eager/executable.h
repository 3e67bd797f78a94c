#pragma once
// A tensor program made ready to run: a list of steps (kernels, contractions, views) whose code is
// found or compiled at first use.

#include <memory>
#include <span>

#include "ir/program.h"
#include "tensor/tensor.h"

namespace flambeau {

using Results = SmallVector<Tensor, 2>;

/// Immutable; shared by every call of the same program.
class Executable;
/// A run of small tensors that can be repeated (eager/small_run.h).
class SmallRun;

/// The executable of `program`, cached by the program's hash.
std::shared_ptr<const Executable> make_executable(ir::Program program);
const ir::Program& program_of(const Executable& executable);

/// True if result number `result` is a parameter itself or shares its memory (or that of another
/// value, by index maps alone).
bool is_alias(const Executable& executable, size_t result);

/// Runs it. `parameters` fit its types (any strides), `numbers` its numbers, `integers` its integer
/// arguments. Where `outputs[i]` is defined, result i is written there (same shape and dtype; it
/// may share memory with parameters); else it is a fresh row-major tensor, or an alias of a
/// parameter where the program only maps indices. No tape, no version counting.
Results run(const Executable& executable, std::span<const Tensor> parameters,
            std::span<const Scalar> numbers, std::span<const int64_t> integers,
            std::span<const Tensor> outputs = {});

/// As run(), which this keeps in `small` for calls of the same geometry if it can be repeated. Then
/// `small` is what runs.
Results run_again(std::shared_ptr<const SmallRun>& small, const Executable& executable,
                  std::span<const Tensor> parameters, std::span<const Scalar> numbers,
                  std::span<const int64_t> integers, std::span<const Tensor> outputs);

}  // namespace flambeau
