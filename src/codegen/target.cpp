#include "codegen/target.h"

#include <llvm/IR/Function.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/Module.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/Target/TargetOptions.h>

#include "base/error.h"

namespace flambeau::codegen {
namespace {

constexpr const char* kTriple = "x86_64-unknown-linux-gnu";

const llvm::Target& x86_target() {
  static const llvm::Target* const target = [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    std::string error;
    const llvm::Target* found = llvm::TargetRegistry::lookupTarget(kTriple, error);
    require(found != nullptr, "LLVM has no X86 target");
    return found;
  }();
  return *target;
}

}  // namespace

std::unique_ptr<llvm::TargetMachine> make_target_machine(Isa isa) {
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Strict;
  options.NoTrappingFPMath = true;
  // x86-64-v3 and -v4 are exactly the levels that the run-time check asks for; LLVM by itself would
  // keep to 256 bits on the latter, and take gathers of the former apart into branches.
  const char* cpu = isa >= Isa::Avx512 ? "x86-64-v4" : "x86-64-v3";
  const char* features = isa == Isa::Avx2     ? "+fast-gather"
                         : isa == Isa::Avx512 ? "-prefer-256-bit"
                                              : "-prefer-256-bit,+avx512bf16";
  std::unique_ptr<llvm::TargetMachine> machine(
      x86_target().createTargetMachine(kTriple, cpu, features, options, llvm::Reloc::PIC_,
                                       llvm::CodeModel::Small, llvm::CodeGenOptLevel::Default));
  require(machine != nullptr, "LLVM made no target machine");
  return machine;
}

unsigned register_bytes(Isa isa) { return isa >= Isa::Avx512 ? 64 : 32; }

void prepare_module(llvm::Module& module, const llvm::TargetMachine& machine) {
  module.setTargetTriple(kTriple);
  module.setDataLayout(machine.createDataLayout());
}

llvm::Function* add_function(llvm::Module& module, llvm::FunctionType* type,
                             const std::string& name, bool exported) {
  auto* function = llvm::Function::Create(
      type, exported ? llvm::GlobalValue::ExternalLinkage : llvm::GlobalValue::InternalLinkage,
      name, module);
  function->setDSOLocal(true);
  function->addFnAttr(llvm::Attribute::NoUnwind);
  function->addFnAttr("no-builtins");
  function->addFnAttr("no-jump-tables", "true");
  function->addFnAttr("no-trapping-math", "true");
  function->addFnAttr("prefer-vector-width", "512");
  return function;
}

void prefetch(llvm::IRBuilderBase& builder, llvm::Value* address, bool for_write) {
  builder.CreateIntrinsic(
      llvm::Intrinsic::prefetch, {builder.getPtrTy()},
      {address, builder.getInt32(for_write ? 1 : 0), builder.getInt32(3), builder.getInt32(1)});
}

}  // namespace flambeau::codegen
