#include "codegen/contraction.h"

#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>
#include <llvm/Target/TargetMachine.h>

#include <functional>

#include "base/error.h"
#include "codegen/contraction_emit.h"
#include "codegen/image.h"
#include "codegen/target.h"

namespace flambeau::codegen {
namespace {

KernelImage compile_part(
    DType operand, Isa isa,
    const std::function<void(ContractionEmitter&, std::vector<std::string>&)>& emit) {
  llvm::LLVMContext context;
  llvm::Module module("contraction", context);
  const auto machine = make_target_machine(isa);
  prepare_module(module, *machine);
  ContractionEmitter emitter(module, operand, isa);
  std::vector<std::string> names;
  emit(emitter, names);
  return build_image(module, *machine, names);
}

}  // namespace

KernelImage compile(const MicroKernelPart& given, Isa isa) {
  const MicroKernelPart part = given.at(isa);
  const ContractionTile tile = contraction_tile(part.operand, isa);
  return compile_part(part.operand, isa, [&](ContractionEmitter& emitter, auto& names) {
    const auto heights = part.heights(tile);
    auto add = [&](int entry, int height, int vectors) {
      require(entry == static_cast<int>(names.size()), "order of micro-kernels");
      names.push_back(concat("micro_", height, "x", vectors));
      emitter.emit_micro_kernel(names.back(), part, height, vectors);
    };
    for (size_t h = 0; h < heights.size(); ++h)
      for (int vectors = 1; vectors <= part.most_vectors(tile); ++vectors)
        add(part.entry(tile, h, vectors), heights[h], vectors);
    if (!part.whole) return;
    for (int height = 1; height <= ContractionTile::kWideHeights; ++height) {
      require(part.wide_entry(tile, height) == static_cast<int>(names.size()),
              "order of micro-kernels");
      names.push_back(concat("wide_", height));
      emitter.emit_wide_kernel(names.back(), part, height);
    }
  });
}

KernelImage compile(const PackPart& given, Isa isa) {
  const PackPart part = given.at(isa);
  return compile_part(part.operand, isa, [&](ContractionEmitter& emitter, auto& names) {
    for (const PackStride unit : {PackStride::Lane, PackStride::K, PackStride::None})
      for (const bool columns : {false, true}) {
        const int entry = PackPart::entry(unit, columns);
        require(entry == static_cast<int>(names.size()), "order of packing functions");
        names.push_back(concat("pack_", entry));
        emitter.emit_pack(names.back(), part.source, unit, columns);
      }
    for (const bool unit : {false, true})
      for (const bool columns : {false, true}) {
        const int entry = PackPart::window_entry(unit, columns);
        require(entry == static_cast<int>(names.size()), "order of packing functions");
        names.push_back(concat("pack_window_", entry));
        emitter.emit_pack_window(names.back(), part.source, unit, columns);
      }
  });
}

}  // namespace flambeau::codegen
