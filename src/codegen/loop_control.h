#pragma once
// Control flow of LoopCodegen: the templates that its .cpp files share.

#include <utility>

#include "codegen/loop_codegen.h"

namespace flambeau::codegen {

template <class Body>
void LoopCodegen::counted_loop(Value* begin, Value* end, uint64_t step, const Body& body) {
  llvm::BasicBlock* before = builder_.GetInsertBlock();
  llvm::BasicBlock* loop = new_block("loop");
  llvm::BasicBlock* after = new_block("after");
  builder_.CreateCondBr(builder_.CreateICmpSLT(begin, end), loop, after);
  builder_.SetInsertPoint(loop);
  llvm::PHINode* i = builder_.CreatePHI(builder_.getInt64Ty(), 2);
  i->addIncoming(begin, before);
  body(i);
  Value* next = builder_.CreateAdd(i, builder_.getInt64(step), "", /*NUW=*/false, /*NSW=*/true);
  i->addIncoming(next, builder_.GetInsertBlock());
  builder_.CreateCondBr(builder_.CreateICmpSLT(next, end), loop, after);
  builder_.SetInsertPoint(after);
}

template <class Then>
void LoopCodegen::if_then(Value* condition, const Then& then) {
  llvm::BasicBlock* inside = new_block("then");
  llvm::BasicBlock* after = new_block("endif");
  builder_.CreateCondBr(condition, inside, after);
  builder_.SetInsertPoint(inside);
  then();
  builder_.CreateBr(after);
  builder_.SetInsertPoint(after);
}

template <class Then, class Otherwise>
void LoopCodegen::if_else(Value* condition, const Then& then, const Otherwise& otherwise) {
  llvm::BasicBlock* inside = new_block("then");
  llvm::BasicBlock* outside = new_block("else");
  llvm::BasicBlock* after = new_block("endif");
  builder_.CreateCondBr(condition, inside, outside);
  builder_.SetInsertPoint(inside);
  then();
  builder_.CreateBr(after);
  builder_.SetInsertPoint(outside);
  otherwise();
  builder_.CreateBr(after);
  builder_.SetInsertPoint(after);
}

template <class Body>
void LoopCodegen::in_row(Bindings* row, const Body& body) {
  if (row != nullptr) std::swap(bound_, *row);
  body();
  if (row != nullptr) std::swap(bound_, *row);
}

template <class Condition, class Body>
void LoopCodegen::while_loop(const Condition& condition, const Body& body) {
  llvm::BasicBlock* test = new_block("while");
  llvm::BasicBlock* inside = new_block("do");
  llvm::BasicBlock* after = new_block("done");
  builder_.CreateBr(test);
  builder_.SetInsertPoint(test);
  builder_.CreateCondBr(condition(), inside, after);
  builder_.SetInsertPoint(inside);
  body();
  builder_.CreateBr(test);
  builder_.SetInsertPoint(after);
}

}  // namespace flambeau::codegen
