#pragma once
// Asking for the kernels of a run ahead of it.

#include "eager/executable.h"

namespace flambeau {

/// Asks for every kernel that a run of these arguments needs (see CompileLater in
/// runtime/compiler.h), and computes nothing. Memory of tensors is not touched; the results that
/// are not given have none. `found` becomes false if a kernel is missing.
Results ask_for_kernels(const Executable& executable, std::span<const Tensor> parameters,
                        std::span<const int64_t> integers, std::span<const Tensor> outputs,
                        bool& found);

}  // namespace flambeau
