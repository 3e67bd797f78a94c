#include "codegen/image.h"

#include <llvm/ADT/SmallString.h>
#include <llvm/Analysis/CGSCCPassManager.h>
#include <llvm/Analysis/LoopAnalysisManager.h>
#include <llvm/CodeGen/MachineModuleInfo.h>
#include <llvm/CodeGen/Passes.h>
#include <llvm/CodeGen/TargetPassConfig.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Module.h>
#include <llvm/IR/PassManager.h>
#include <llvm/IR/Verifier.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/Transforms/InstCombine/InstCombine.h>
#include <llvm/Transforms/Scalar/EarlyCSE.h>
#include <llvm/Transforms/Scalar/LICM.h>
#include <llvm/Transforms/Scalar/LoopPassManager.h>
#include <llvm/Transforms/Scalar/SROA.h>
#include <llvm/Transforms/Scalar/SimplifyCFG.h>
#include <llvm/Transforms/Utils/Cloning.h>

#include "base/error.h"
#include "codegen/instruction_order.h"
#include "codegen/load_constants.h"
#include "codegen/target.h"

namespace flambeau::codegen {
namespace {

void run_passes(llvm::Module& module, llvm::TargetMachine& machine) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager sccs;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder(&machine);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(sccs);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, sccs, modules);

  // As fast at run time as the O2 pipeline, at a fraction of its cost: vectors, loop shapes and
  // unrolling are explicit in what we emit.
  llvm::FunctionPassManager passes;
  passes.addPass(llvm::SROAPass(llvm::SROAOptions::ModifyCFG));
  passes.addPass(llvm::EarlyCSEPass(/*UseMemorySSA=*/true));
  passes.addPass(llvm::InstCombinePass());
  passes.addPass(llvm::createFunctionToLoopPassAdaptor(llvm::LICMPass(llvm::LICMOptions()),
                                                       /*UseMemorySSA=*/true));
  passes.addPass(llvm::EarlyCSEPass());
  passes.addPass(llvm::SimplifyCFGPass());
  for (llvm::Function& function : module)
    if (!function.isDeclaration()) passes.run(function, functions);
}

/// The machine's passes, and in `keep_order` without the one that orders instructions anew.
void generate(llvm::Module& module, llvm::TargetMachine& machine, bool keep_order,
              llvm::CodeGenFileType type, llvm::SmallVectorImpl<char>& out) {
  llvm::raw_svector_ostream stream(out);
  llvm::legacy::PassManager passes;
  auto& target = static_cast<llvm::LLVMTargetMachine&>(machine);
  llvm::TargetPassConfig* config = target.createPassConfig(passes);
  config->setDisableVerify(true);
  if (keep_order) config->disablePass(&llvm::MachineSchedulerID);
  passes.add(config);
  auto* info = new llvm::MachineModuleInfoWrapperPass(&target);  // the list of passes owns it
  passes.add(info);
  bool refused = config->addISelPasses();
  config->addMachinePasses();
  config->setInitialized();
  refused |= target.addAsmPrinter(passes, stream, nullptr, type, info->getMMI().getContext());
  require(!refused, "LLVM cannot emit this kind of file");
  passes.run(module);
}

}  // namespace

KernelImage build_image(llvm::Module& module, llvm::TargetMachine& machine,
                        std::span<const std::string> entry_names, std::optional<Isa> order,
                        ModuleTexts* texts) {
#ifndef NDEBUG
  std::string problem;
  llvm::raw_string_ostream problem_stream(problem);
  check<InternalError>(!llvm::verifyModule(module, &problem_stream),
                       [&] { return concat("codegen: invalid LLVM IR: ", problem); });
#endif
  run_passes(module, machine);
  const bool keep_order = order && order_by_height(module, *order);
  if (keep_order) load_constants(module, register_bytes(*order));
  if (texts != nullptr) {
    llvm::raw_string_ostream(texts->llvm_ir) << module;
    llvm::SmallVector<char, 0> assembly;
    generate(*llvm::CloneModule(module), machine, keep_order, llvm::CodeGenFileType::AssemblyFile,
             assembly);
    texts->assembly.assign(assembly.data(), assembly.size());
  }
  llvm::SmallVector<char, 0> object;
  generate(module, machine, keep_order, llvm::CodeGenFileType::ObjectFile, object);
  return link_object(std::as_bytes(std::span(object.data(), object.size())), entry_names);
}

}  // namespace flambeau::codegen
