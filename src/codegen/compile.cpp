#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>
#include <llvm/Target/TargetMachine.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/settings.h"
#include "codegen/codegen.h"
#include "codegen/contraction.h"
#include "codegen/image.h"
#include "codegen/loop_codegen.h"
#include "codegen/target.h"

namespace flambeau::codegen {
namespace {

void write_text(const std::filesystem::path& path, const std::string& text) {
  std::ofstream out(path);
  out << text;
  out.close();
  check<EnvironmentError>(!out.fail(),
                          [&] { return concat("FLAMBEAU_DUMP: cannot write ", path.string()); });
}

/// The place, on the stack alone, into which not every row may fit; null if there is none.
const SharedRows::Place* narrow_place(const SharedRows& shared) {
  for (const SharedRows::Place& place : shared.places)
    if (place.home < 0 && (place.extent.is_slot || place.extent.value > kPlaceElements))
      return &place;
  return nullptr;
}

/// Adds `program` as function `name`. Where its rows share values in a place that is too small for
/// some, there is a function for these, which computes the values again.
void generate(const ir::LoopProgram& program, Isa isa, llvm::Module& module,
              const std::string& name) {
  SharedRows shared = share_row_values(program);
  const SharedRows::Place* place = narrow_place(shared);
  if (place == nullptr) return LoopCodegen(std::move(shared), isa, module).generate(name);
  if (!place->extent.is_slot) return LoopCodegen({program, {}}, isa, module).generate(name);
  const auto slot = static_cast<uint64_t>(place->extent.value);
  LoopCodegen(std::move(shared), isa, module).generate("short_rows", false);
  LoopCodegen({program, {}}, isa, module).generate("long_rows", false);
  llvm::Function* short_rows = module.getFunction("short_rows");
  llvm::Function* function = add_function(module, short_rows->getFunctionType(), name);
  llvm::IRBuilder<> builder(llvm::BasicBlock::Create(module.getContext(), "entry", function));
  llvm::Value* extent = builder.CreateLoad(
      builder.getInt64Ty(),
      builder.CreateConstGEP1_64(builder.getInt64Ty(), function->getArg(1), slot));
  std::vector<llvm::Value*> arguments;
  for (llvm::Argument& argument : function->args()) arguments.push_back(&argument);
  auto* fits = llvm::BasicBlock::Create(module.getContext(), "fits", function);
  auto* rest = llvm::BasicBlock::Create(module.getContext(), "rest", function);
  builder.CreateCondBr(builder.CreateICmpSLE(extent, builder.getInt64(kPlaceElements)), fits, rest);
  for (const auto& [block, target] :
       {std::pair{fits, short_rows}, std::pair{rest, module.getFunction("long_rows")}}) {
    builder.SetInsertPoint(block);
    builder.CreateCall(target, arguments);
    builder.CreateRetVoid();
  }
}

}  // namespace

KernelImage compile(const ir::LoopProgram& program, Isa isa) {
  const std::string entry = "kernel";
  llvm::LLVMContext context;
  llvm::Module module("flambeau", context);
  const auto machine = make_target_machine(isa);
  prepare_module(module, *machine);
  generate(program, isa, module, entry);

  const std::string folder = setting("FLAMBEAU_DUMP");
  if (folder.empty()) return build_image(module, *machine, {&entry, 1}, isa);
  ModuleTexts texts;
  KernelImage image = build_image(module, *machine, {&entry, 1}, isa, &texts);
  std::filesystem::create_directories(folder);
  const std::filesystem::path stem =
      std::filesystem::path(folder) / concat(program.hash().text(), "-", isa_name(isa));
  write_text(stem.string() + ".loop", program.text());
  write_text(stem.string() + ".ll", texts.llvm_ir);
  write_text(stem.string() + ".s", texts.assembly);
  return image;
}

}  // namespace flambeau::codegen

const flambeau::codegen::Api* flambeau_codegen_api() {
  using namespace flambeau::codegen;
  static constexpr Api kApi{compile, compile, compile};
  return &kApi;
}
