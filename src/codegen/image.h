#pragma once
// From an LLVM module to a flat image: the pass list, code generation, and a linker of one object.

#include <optional>
#include <span>
#include <string>

#include "codegen/codegen.h"

namespace llvm {
class Module;
class TargetMachine;
}  // namespace llvm

namespace flambeau::codegen {

/// The texts of a module on its way to machine code, for dumps.
struct ModuleTexts {
  std::string llvm_ir;  ///< after the passes
  std::string assembly;
};

/// Runs the passes over `module`, generates code, and links it. With `order` its instructions are
/// ordered for that instruction set as instruction_order.h says, and its constants loaded as
/// load_constants.h does, else by LLVM's scheduler.
/// entries[i] of the result is the offset of the function named entry_names[i]. Fills `texts` if
/// given (costs a second code generation). The image must be placed at a multiple of 64 bytes.
KernelImage build_image(llvm::Module& module, llvm::TargetMachine& machine,
                        std::span<const std::string> entry_names,
                        std::optional<Isa> order = std::nullopt, ModuleTexts* texts = nullptr);

/// Lays out the allocatable sections of an ELF64 x86-64 relocatable and applies its relocations.
/// InternalError for whatever a flat image cannot hold: undefined symbols, absolute relocations,
/// writable data.
KernelImage link_object(std::span<const std::byte> object,
                        std::span<const std::string> entry_names);

}  // namespace flambeau::codegen
