#include "codegen/loop_control.h"

#include <llvm/IR/Constants.h>

namespace flambeau::codegen {

using llvm::Value;

llvm::BasicBlock* LoopCodegen::new_block(const char* name) {
  return llvm::BasicBlock::Create(builder_.getContext(), name, function_);
}

llvm::AllocaInst* LoopCodegen::stack_slot(llvm::Type* type, uint64_t count) {
  llvm::IRBuilder<> entry(&function_->getEntryBlock(), function_->getEntryBlock().begin());
  return entry.CreateAlloca(type, count == 1 ? nullptr : entry.getInt64(count));
}

Value* LoopCodegen::lane_numbers(unsigned count) {
  SmallVector<llvm::Constant*, 32> numbers;
  for (unsigned lane = 0; lane < count; ++lane) numbers.push_back(builder_.getInt64(lane));
  return llvm::ConstantVector::get(llvm::ArrayRef(numbers.data(), numbers.size()));
}

Value* LoopCodegen::active_mask() {
  // In 32-bit numbers: the width of most data, and every active count fits.
  SmallVector<llvm::Constant*, 32> numbers;
  for (unsigned lane = 0; lane < lanes_.count; ++lane) numbers.push_back(builder_.getInt32(lane));
  Value* lane = llvm::ConstantVector::get(llvm::ArrayRef(numbers.data(), numbers.size()));
  Value* active = builder_.CreateTrunc(lanes_.active, builder_.getInt32Ty());
  return builder_.CreateICmpULT(lane, builder_.CreateVectorSplat(lanes_.count, active));
}

}  // namespace flambeau::codegen
