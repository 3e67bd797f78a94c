#pragma once
// The scalar machine on LLVM values. An operand is a scalar (one value for all lanes) or a vector;
// an operation with a vector operand works on vectors, splatting its scalar ones.
//
// In registers Bool is i1, and the 16-bit floats are float32 values that the 16-bit format can
// represent: converting up is free, converting down rounds in place.

#include <llvm/IR/IRBuilder.h>

#include <utility>
#include <vector>

#include "base/cpu_features.h"
#include "base/scalar.h"
#include "ir/core_function.h"
#include "ir/emitter.h"

namespace flambeau::codegen {

class VectorEmitter final : public ir::Emitter {
 public:
  /// Emits for `isa` at the insertion point of `builder`, which some operations move to a new
  /// block.
  VectorEmitter(llvm::IRBuilder<>& builder, Isa isa) : builder_(builder), isa_(isa) {}

  ir::Operand constant(DType dtype, double value) override;
  ir::Operand constant_bits(DType dtype, uint64_t bits) override;
  ir::Operand core(ir::CoreOp op, DType dtype, std::span<const ir::Operand> arguments) override;

  /// `value`, a scalar or vector of register_type(dtype), as an operand.
  ir::Operand operand(llvm::Value* value, DType dtype);
  llvm::Value* value(ir::Operand operand) const { return values_[operand.id]; }
  /// Forgets all operands.
  void clear() { values_.clear(); }

  /// One core operation; `type` is the dtype of the operands (of Select: of its branches).
  llvm::Value* emit(ir::CoreOp op, DType type, DType result,
                    std::span<llvm::Value* const> operands);
  /// emit() of an operation with two operands and a result of one dtype.
  llvm::Value* combine(ir::CoreOp op, DType type, llvm::Value* a, llvm::Value* b);
  llvm::Value* convert(llvm::Value* value, DType from, DType to);

  /// The element that `container` holds, in register form.
  llvm::Constant* element(DType dtype, ir::Container container);

  /// LLVM's type of a scalar (lanes = 1) or vector in registers, and in memory (i8 for Bool, half
  /// for Float16, i16 for BFloat16).
  llvm::Type* register_type(DType dtype, unsigned lanes = 1);
  llvm::Type* memory_type(DType dtype, unsigned lanes = 1);
  /// Between the two forms, for a scalar or vector.
  llvm::Value* from_memory(llvm::Value* raw, DType dtype);
  llvm::Value* to_memory(llvm::Value* value, DType dtype);
  /// `value` itself if it is a vector or `lanes` is 1, else a vector of it.
  llvm::Value* splat(llvm::Value* value, unsigned lanes);

 private:
  using Values = std::span<llvm::Value* const>;
  using Value = llvm::Value;

  Value* emit_float(ir::CoreOp op, Values a);
  Value* emit_integer(ir::CoreOp op, DType type, Values a);
  Value* emit_bool(ir::CoreOp op, Values a);
  Value* compare(ir::CoreOp op, DType type, Value* a, Value* b);
  Value* bitcast(Value* value, DType from, DType to);

  // vector_emitter_math.cpp
  Value* float_min_max(bool is_max, Value* a, Value* b);
  Value* float_remainder(Value* x, Value* y);
  /// a * 2^n rounded once, also where the result is denormal.
  Value* scale(Value* a, Value* n);
  Value* scale_by_factors(Value* a, Value* n);
  Value* integer_divide(DType type, Value* a, Value* b, bool remainder);
  Value* divide_as_real(Value* a, Value* b, bool is_signed);
  Value* divide_wide(Value* a, Value* b);
  Value* multiply_high(Value* a, Value* b);
  Value* float_to_integer(Value* value, DType to);
  Value* integer_to_half(Value* value, DType from, DType half);
  Value* round_to_half(Value* value, DType half);
  /// Bits of Float32 whose upper halves are those of BFloat16.
  Value* rounded_bits(Value* value);
  /// The same as BFloat16 in memory, by the CPU's instruction.
  Value* to_bfloat16(Value* value);
  /// Denormal numbers become zeros.
  Value* to_bfloat16_or_zero(Value* value);
  /// The lower and the upper lanes of a vector.
  std::pair<Value*, Value*> split_lanes(Value* value);
  /// The float `value` as a wider `type`. LLVM may not look through it: it would compare the
  /// narrow values instead, and then takes zeros of either sign for the same.
  Value* widened(Value* value, llvm::Type* type);
  Value* round_to_odd(Value* value);
  /// The upper 16 bits of 32-bit integers.
  Value* high_halves(Value* bits);
  /// -value; a NaN keeps its sign. So all NaNs that arise are the processor's default one, and no
  /// bit depends on which of two NaN operands an instruction takes or where LLVM moves a sign.
  Value* negated(Value* value);

  Value* unary(llvm::Intrinsic::ID intrinsic, Value* value);
  Value* binary(llvm::Intrinsic::ID intrinsic, Value* a, Value* b);
  /// The integers that hold the bits of float `value`, and back.
  Value* bits_of(Value* value);
  Value* float_of(Value* bits);

  llvm::IRBuilder<>& builder_;
  Isa isa_;
  std::vector<llvm::Value*> values_;
};

}  // namespace flambeau::codegen
