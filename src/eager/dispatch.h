#pragma once
// The one door through which every operation is called, from Python and from C++: checks, recipe,
// launch, and the tape where something requires a gradient.

#include <span>

#include "ops/registry.h"
#include "tensor/tensor.h"

namespace flambeau {

/// Results of a call. Most ops have one.
using Results = SmallVector<Tensor, 2>;

/// Which form of the op is called.
enum class CallForm : uint8_t {
  Function,  ///< fresh results (or views)
  InPlace,   ///< `add_`: the first tensor parameter is written and returned
  Out,       ///< results are written to `out` tensors, which are returned
};

/// Calls `op` on arguments in schema order (all of them; defaults filled in). The TensorInfo
/// pointers of `arguments` must be those of TensorImpls. `out` is for CallForm::Out.
Results call(const ops::Definition& op, std::span<const ops::Argument> arguments,
             CallForm form = CallForm::Function, std::span<const Tensor> out = {});

/// The same without the tape: kernels only. What autograd itself and the optimisers use.
Results call_without_tape(const ops::Definition& op, std::span<const ops::Argument> arguments,
                          CallForm form = CallForm::Function, std::span<const Tensor> out = {});

/// A tensor program made ready to run: its kernels, found or compiled at first use. Immutable;
/// cached by the program's hash.
class Executable;
/// The executable of `program`.
std::shared_ptr<const Executable> make_executable(ir::Program program);
const ir::Program& program_of(const Executable& executable);
/// Runs it. `parameters` fit its types, `numbers` its numbers, `integers` its integer arguments.
/// Results are fresh row-major tensors, or aliases of a parameter where the program only maps
/// indices. No tape.
Results run(const Executable& executable, std::span<const Tensor> parameters,
            std::span<const Scalar> numbers, std::span<const int64_t> integers);

}  // namespace flambeau
