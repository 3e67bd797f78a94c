#pragma once
// What a reduction along a row carries from vector to vector of a block, in ir::kReduceLanes lanes.

#include <llvm/IR/IRBuilder.h>

#include <functional>

#include "base/cpu_features.h"
#include "codegen/vector_emitter.h"
#include "ir/core_function.h"

namespace flambeau::codegen {

/// `count` lanes of `vector` from `first` on; a scalar if that is one.
llvm::Value* part_of(llvm::IRBuilderBase& builder, llvm::Value* vector, unsigned first,
                     unsigned count);

/// The halves of `lanes` combined until one is left, a scalar.
llvm::Value* halve_lanes(llvm::IRBuilderBase& builder, llvm::Value* lanes,
                         const std::function<llvm::Value*(llvm::Value*, llvm::Value*)>& combine);

/// Combines elements by `op`. The maximum of floats takes two instructions a vector less than the
/// operation does: it neither depends on the order of its elements nor needs to know in which lane
/// a NaN was, and of zeros the sign is found once a block.
class RowAccumulator {
 public:
  using StackSlot = std::function<llvm::AllocaInst*(llvm::Type*)>;

  /// `identity` is a scalar of the register form of `dtype`.
  RowAccumulator(llvm::IRBuilder<>& builder, VectorEmitter& emitter, Isa isa, ir::CoreOp op,
                 DType dtype, llvm::Value* identity, const StackSlot& slot);

  /// A new block.
  void begin();
  /// The next kReduceLanes elements; of which only those in `active` (i1 by lane; null: all) count.
  void add(llvm::Value* values, llvm::Value* active);
  /// The scalar of the block.
  llvm::Value* finish();

 private:
  using Value = llvm::Value;

  bool is_float_maximum() const { return nans_ != nullptr; }
  void add_to_maximum(Value* values);
  Value* finish_maximum();

  llvm::IRBuilder<>& builder_;
  VectorEmitter& emitter_;
  const ir::CoreOp op_;
  const DType dtype_;
  Value* const identity_;
  llvm::AllocaInst* lanes_;
  // Of the maximum of floats, in one register each. lanes_ ignores NaN and the signs of zeros.
  llvm::AllocaInst* signs_ = nullptr;  ///< sign bit: every element has it
  llvm::AllocaInst* nans_ = nullptr;   ///< not 0: some element is NaN
};

}  // namespace flambeau::codegen
