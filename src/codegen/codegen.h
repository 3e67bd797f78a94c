#pragma once
// Code generation: loop programs to machine code. The library that implements this holds LLVM and
// is loaded at the first kernel that the cache does not have (runtime/compiler.h).

#include <cstddef>
#include <string>
#include <vector>

#include "base/cpu_features.h"
#include "codegen/contraction_parts.h"
#include "ir/loop_program.h"

namespace flambeau::codegen {

/// A kernel as one position-independent image without external symbols: copying it into
/// executable memory is all that loading takes. The entry of function i is at offset entries[i].
struct KernelImage {
  std::vector<std::byte> code;
  std::vector<uint32_t> entries;
};

/// Compiles `program` to one function of type ir::KernelFunction for `isa`. Thread safe. Writes the
/// program, LLVM's IR and the assembly to the folder FLAMBEAU_DUMP if that is set.
KernelImage compile(const ir::LoopProgram& program, Isa isa);

/// What the library offers to those who open it at run time, through flambeau_codegen_api().
struct Api {
  KernelImage (*compile_loops)(const ir::LoopProgram&, Isa);
  KernelImage (*compile_micro_kernels)(const MicroKernelPart&, Isa);
  KernelImage (*compile_pack)(const PackPart&, Isa);
};

}  // namespace flambeau::codegen

extern "C" const flambeau::codegen::Api* flambeau_codegen_api();
