#pragma once
// Constants that a kernel reads from memory as whole registers.

namespace llvm {
class Module;
}  // namespace llvm

namespace flambeau::codegen {

/// Has blocks whose arithmetic on Float32 takes more constants than stay in registers load them as
/// whole registers of `register_bytes`. LLVM fills a register from one element (vbroadcastss),
/// which Zen 4 takes for a shuffle beside the load: in gelu, every ninth operation of its vector
/// units, and a tenth of its time. Elsewhere it is the same; Float64, measured with pow, loses.
void load_constants(llvm::Module& module, unsigned register_bytes);

}  // namespace flambeau::codegen
