#pragma once
// What the emitters of micro-kernels and packing functions share.

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <functional>
#include <string>
#include <vector>

#include "codegen/contraction_parts.h"

namespace flambeau::codegen {

/// Emits the functions of contraction.h into a module.
class ContractionEmitter {
 public:
  ContractionEmitter(llvm::Module& module, DType accumulator, Isa isa);

  void emit_micro_kernel(const std::string& name, RowLayout layout, int rows, int vectors,
                         bool whole);
  /// For panels of `vectors` vectors.
  void emit_pack(const std::string& name, DType source, PackStride unit, int vectors);

 private:
  /// Starts a function; 'p' in `parameters` is a pointer, 'i' an Int64.
  llvm::Function* begin_function(const std::string& name, const char* parameters);
  llvm::Value* integer(int64_t value) { return builder_.getInt64(static_cast<uint64_t>(value)); }
  /// `base` advanced by `index` elements of `type`.
  llvm::Value* at(llvm::Type* type, llvm::Value* base, llvm::Value* index);
  llvm::Value* at(llvm::Type* type, llvm::Value* base, int64_t index) {
    return at(type, base, integer(index));
  }
  using Values = std::vector<llvm::Value*>;
  /// A bottom-tested loop of `count` iterations, skipped when count <= 0. `carried` holds the
  /// values that enter and, afterwards, the final ones; `body` gets the iteration's number and
  /// updates them in place.
  void emit_loop(llvm::Value* count, Values& carried,
                 const std::function<void(llvm::Value* iteration)>& body);
  /// Lane i is on where first + i < count.
  llvm::Value* lane_mask(llvm::Value* count, int64_t first);
  llvm::Value* multiply_add(llvm::Value* a, llvm::Value* b, llvm::Value* c);
  llvm::Value* add(llvm::Value* a, llvm::Value* b);

  llvm::Type* type_of(DType dtype);
  /// A scalar or a vector of `source` as the accumulator's dtype.
  llvm::Value* widen(llvm::Value* value, DType source);

  struct PackArguments {
    llvm::Value *source, *lane_stride, *k_stride, *lanes, *k, *panel;
  };
  void emit_pack_lanes(const PackArguments& arguments, DType source, int vectors);
  void emit_pack_transposed(const PackArguments& arguments, DType source, int vectors);
  /// One element at a time, for k from `first`.
  void emit_pack_elements(const PackArguments& arguments, DType source, int vectors,
                          llvm::Value* first);

  llvm::LLVMContext& context_;
  llvm::Module& module_;
  llvm::IRBuilder<> builder_;
  llvm::Function* function_ = nullptr;
  DType accumulator_;
  ContractionTile tile_;
  llvm::Type* element_;  // of the accumulator
  llvm::FixedVectorType* vector_;
  llvm::MaybeAlign alignment_;  // that every access may assume
};

}  // namespace flambeau::codegen
