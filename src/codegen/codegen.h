#pragma once
// Code generation: loop programs to machine code. The library that implements this holds LLVM and
// is loaded at the first kernel that the cache does not have (runtime/compiler.h).

#include <cstddef>
#include <string>
#include <vector>

#include "ir/loop_program.h"
#include "runtime/cpu_features.h"

namespace flambeau::codegen {

/// A kernel as one position-independent image without external symbols: copying it into
/// executable memory is all that loading takes. The entry of function i is at offset entries[i].
struct KernelImage {
  std::vector<std::byte> code;
  std::vector<uint32_t> entries;
};

/// Compiles `program` to one function of type ir::KernelFunction for `isa`.
KernelImage compile(const ir::LoopProgram& program, Isa isa);

}  // namespace flambeau::codegen
