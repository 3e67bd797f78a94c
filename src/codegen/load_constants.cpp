#include "codegen/load_constants.h"

#include <llvm/IR/Constants.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/IR/Module.h>

#include <algorithm>
#include <map>
#include <vector>

namespace flambeau::codegen {
namespace {

/// With fewer, a loop's registers hold most of them from one turn to the next.
constexpr size_t kConstantsInRegisters = 16;

bool is_arithmetic(const llvm::Instruction& i) {
  switch (i.getOpcode()) {
    case llvm::Instruction::FAdd:
    case llvm::Instruction::FSub:
    case llvm::Instruction::FMul:
      return true;
    default:
      break;
  }
  const auto* call = llvm::dyn_cast<llvm::IntrinsicInst>(&i);
  return call != nullptr && call->getIntrinsicID() == llvm::Intrinsic::fma;
}

/// The Float32 of which `value` is a vector; null if it is no such constant, or zero.
llvm::ConstantFP* repeated(const llvm::Value* value) {
  const auto* constant = llvm::dyn_cast<llvm::Constant>(value);
  if (constant == nullptr || !constant->getType()->isVectorTy() ||
      !constant->getType()->getScalarType()->isFloatTy() || constant->isNullValue())
    return nullptr;
  return llvm::dyn_cast_or_null<llvm::ConstantFP>(constant->getSplatValue());
}

class Loader {
 public:
  Loader(llvm::Module& module, unsigned register_bytes)
      : module_(module), lanes_of_register_(register_bytes / 4) {}

  void run(llvm::BasicBlock& block) {
    std::vector<llvm::Use*> uses;
    std::map<llvm::Constant*, llvm::Value*> loaded;
    for (llvm::Instruction& i : block) {
      if (!is_arithmetic(i)) continue;
      for (llvm::Use& use : i.operands()) {
        if (repeated(use.get()) == nullptr) continue;
        uses.push_back(&use);
        loaded[llvm::cast<llvm::Constant>(use.get())] = nullptr;
      }
    }
    if (loaded.size() <= kConstantsInRegisters) return;
    for (llvm::Use* use : uses) {
      auto* constant = llvm::cast<llvm::Constant>(use->get());
      llvm::Value*& value = loaded[constant];
      if (value == nullptr) value = load(constant, *llvm::cast<llvm::Instruction>(use->getUser()));
      use->set(value);
    }
  }

 private:
  llvm::Value* load(llvm::Constant* constant, llvm::Instruction& before) {
    llvm::IRBuilder<> builder(&before);
    const unsigned lanes = llvm::cast<llvm::FixedVectorType>(constant->getType())->getNumElements();
    const unsigned held = std::min(lanes, lanes_of_register_);
    llvm::GlobalVariable* global = place(
        llvm::ConstantVector::getSplat(llvm::ElementCount::getFixed(held), repeated(constant)));
    llvm::Value* part =
        builder.CreateAlignedLoad(global->getValueType(), global, global->getAlign());
    if (held == lanes) return part;
    llvm::SmallVector<int> times(lanes);
    for (unsigned i = 0; i < lanes; ++i) times[i] = static_cast<int>(i % held);
    return builder.CreateShuffleVector(part, times);
  }

  llvm::GlobalVariable* place(llvm::Constant* part) {
    llvm::GlobalVariable*& global = places_[part];
    if (global == nullptr) {
      global = new llvm::GlobalVariable(module_, part->getType(), /*isConstant=*/true,
                                        llvm::GlobalValue::PrivateLinkage, part);
      global->setAlignment(llvm::Align(4 * uint64_t{lanes_of_register_}));
    }
    return global;
  }

  llvm::Module& module_;
  unsigned lanes_of_register_;
  std::map<llvm::Constant*, llvm::GlobalVariable*> places_;
};

}  // namespace

void load_constants(llvm::Module& module, unsigned register_bytes) {
  Loader loader(module, register_bytes);
  for (llvm::Function& function : module)
    for (llvm::BasicBlock& block : function) loader.run(block);
}

}  // namespace flambeau::codegen
