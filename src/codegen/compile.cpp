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

}  // namespace

KernelImage compile(const ir::LoopProgram& program, Isa isa) {
  const std::string entry = "kernel";
  llvm::LLVMContext context;
  llvm::Module module("flambeau", context);
  const auto machine = make_target_machine(isa);
  prepare_module(module, *machine);
  LoopCodegen(program, isa, module).generate(entry);

  const std::string folder = setting("FLAMBEAU_DUMP");
  if (folder.empty()) return build_image(module, *machine, {&entry, 1});
  ModuleTexts texts;
  KernelImage image = build_image(module, *machine, {&entry, 1}, &texts);
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
