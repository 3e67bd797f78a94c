#pragma once
// What LLVM is told about the machine: target, features, floating-point rules.

#include <memory>
#include <string>

#include "base/cpu_features.h"

namespace llvm {
class Function;
class FunctionType;
class IRBuilderBase;
class Module;
class TargetMachine;
class Value;
}  // namespace llvm

namespace flambeau::codegen {

/// A target machine for `isa`: position-independent, no contraction of multiply-adds. Cheap (well
/// under a millisecond); not to be shared between threads.
std::unique_ptr<llvm::TargetMachine> make_target_machine(Isa isa);

/// Bytes of a vector register: 32 or 64.
unsigned register_bytes(Isa isa);

/// Gives `module` the triple and data layout of `machine`.
void prepare_module(llvm::Module& module, const llvm::TargetMachine& machine);

/// A new function with the attributes that keep an image free of outside symbols (no calls of
/// library functions, no jump tables, no unwind tables). `exported` makes it an entry; otherwise it
/// is private to the module.
llvm::Function* add_function(llvm::Module& module, llvm::FunctionType* type,
                             const std::string& name, bool exported = true);

inline constexpr uint64_t kCacheLine = 64;  ///< bytes

/// Asks for the line at `address` in the first-level cache.
void prefetch(llvm::IRBuilderBase& builder, llvm::Value* address, bool for_write);

}  // namespace flambeau::codegen
