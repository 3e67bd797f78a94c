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
  ContractionEmitter(llvm::Module& module, DType operand, Isa isa);

  void emit_micro_kernel(const std::string& name, const MicroKernelPart& part, int rows,
                         int vectors);
  /// A micro-kernel of few rows and many columns. It takes some steps of k at a time for all of
  /// them, so that b is read in long pieces that hardware looks ahead in; sums wait on the stack.
  void emit_wide_kernel(const std::string& name, const MicroKernelPart& part, int rows);
  void emit_pack(const std::string& name, DType source, PackStride unit, bool columns);
  void emit_pack_window(const std::string& name, DType source, bool unit, bool columns);

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
  /// `body` where `condition` holds; it updates the values of `carried` in place.
  void emit_if(llvm::Value* condition, Values& carried, const std::function<void()>& body);
  /// Lane i is on where first + i < count.
  llvm::Value* lane_mask(llvm::Value* count, int64_t first);
  /// Vectors of steps, and of sums.
  llvm::Value* multiply_add(llvm::Value* a, llvm::Value* b, llvm::Value* sum);
  llvm::Value* add(llvm::Value* a, llvm::Value* b);

  llvm::Type* type_of(DType dtype);
  /// A scalar or a vector of elements of `source` as steps; in pairs, `next` has the elements of
  /// the following k.
  llvm::Value* to_steps(llvm::Value* value, llvm::Value* next, DType source);
  /// `value` as the accumulator's dtype.
  llvm::Value* widen(llvm::Value* value, DType source);
  bool in_pairs() const { return tile_.step == 2; }

  struct Pack {
    DType from;
    llvm::Type* type;  // of an element of the source
    int64_t apart;     // lanes from one panel to the next
    int64_t width;     // lanes of a panel
    llvm::Value *source, *lane_stride, *k_stride, *k;
    llvm::Value *panel, *panel_stride;
    llvm::Value* readable;  // lanes from `source` on
  };
  /// Whole panels, a row of the source at a time.
  void emit_pack_lanes(const Pack& pack, llvm::Value* panels);
  // One panel.
  void emit_pack_transposed(const Pack& pack);
  /// Steps that load_transposed() takes: 16 bytes.
  int piece_length() const { return 16 / static_cast<int>(size_of(tile_.accumulator)); }
  /// One address per lane: `base` advanced by `stride` for each, lanes from `readable` on repeating
  /// the last.
  Values lane_rows(llvm::Type* type, llvm::Value* base, llvm::Value* stride, int64_t first,
                   llvm::Value* readable);
  /// piece_length() vectors: step r of each lane's row, from element `offset` of `from` on.
  Values load_transposed(const Values& rows, llvm::Value* offset, DType from);
  /// One step at a time, from step `first`.
  void emit_pack_elements(const Pack& pack, llvm::Value* first);
  /// A loop over the steps from `first` to the end of pack.k; `body` is emitted once more for an
  /// odd last element, with `whole` false.
  void emit_steps(const Pack& pack, llvm::Value* first, Values& carried,
                  const std::function<void(bool whole)>& body);

  llvm::LLVMContext& context_;
  llvm::Module& module_;
  llvm::IRBuilder<> builder_;
  llvm::Function* function_ = nullptr;
  ContractionTile tile_;
  llvm::Type* element_;  // a sum
  llvm::Type* step_;
  llvm::FixedVectorType* vector_;  // of sums
  llvm::FixedVectorType* steps_;
  llvm::MaybeAlign alignment_;       // that every access to sums and panels may assume
  llvm::MaybeAlign step_alignment_;  // and to operands
};

}  // namespace flambeau::codegen
