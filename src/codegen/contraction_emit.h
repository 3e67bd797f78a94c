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

  void emit_micro_kernel(const std::string& name, const MicroKernelPart& part, int rows,
                         int vectors);
  void emit_pack(const std::string& name, DType source, PackStride unit, bool columns);

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

  struct Pack {
    DType from;
    llvm::Type* type;  // of an element of the source
    int64_t step;      // lanes from one panel to the next
    int64_t width;     // lanes of a panel
    llvm::Value *source, *lane_stride, *k_stride, *k;
    llvm::Value *panel, *panel_stride;
    llvm::Value* readable;  // lanes from `source` on
  };
  /// Whole panels, a row of the source at a time.
  void emit_pack_lanes(const Pack& pack, llvm::Value* panels);
  // One panel.
  void emit_pack_transposed(const Pack& pack);
  /// Elements of k that load_transposed() takes: 16 bytes of accumulators.
  int piece_length() const { return 16 / static_cast<int>(size_of(accumulator_)); }
  /// One address per lane: `base` advanced by `stride` for each, lanes from `readable` on repeating
  /// the last.
  Values lane_rows(llvm::Type* type, llvm::Value* base, llvm::Value* stride, int64_t first,
                   llvm::Value* readable);
  /// piece_length() vectors: element r of each lane's row, from `offset` on.
  Values load_transposed(const Values& rows, llvm::Value* offset, DType from);
  /// Transposes the elements of `mixed` in every 128-bit lane.
  void transpose_pieces(Values& mixed);
  /// One element at a time, for k from `first`.
  void emit_pack_elements(const Pack& pack, llvm::Value* first);

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
