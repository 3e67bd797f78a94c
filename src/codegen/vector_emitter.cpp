#include "codegen/vector_emitter.h"

#include <llvm/IR/Constants.h>
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/IR/PatternMatch.h>

#include <array>

#include "base/error.h"
#include "base/small_vector.h"

namespace flambeau::codegen {

using ir::CoreOp;
using ir::Operand;
using llvm::Value;

namespace {

/// Lanes from which on the high halves of 32-bit ones are taken by a shuffle.
constexpr unsigned kShuffledHalves = 32;

unsigned lanes_of(const Value* value) {
  const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(value->getType());
  return vector != nullptr ? vector->getNumElements() : 1;
}

llvm::Type* vector_of(llvm::Type* lane, unsigned lanes) {
  return lanes == 1 ? lane : llvm::FixedVectorType::get(lane, lanes);
}

[[noreturn]] void undefined(CoreOp op, DType type) {
  throw InternalError(concat("codegen: ", ir::name_of(op), " is not defined on ", info(type).name));
}

}  // namespace

Operand VectorEmitter::operand(Value* value, DType dtype) {
  values_.push_back(value);
  return {static_cast<uint32_t>(values_.size() - 1), dtype};
}

Operand VectorEmitter::constant(DType dtype, double value) {
  return operand(element(dtype, ir::container_of(dtype, value)), dtype);
}

Operand VectorEmitter::constant_bits(DType dtype, uint64_t bits) {
  return operand(element(dtype, ir::container_of_bits(dtype, bits)), dtype);
}

Operand VectorEmitter::core(CoreOp op, DType dtype, std::span<const Operand> arguments) {
  SmallVector<Value*, 3> values;
  for (const Operand& argument : arguments) values.push_back(value(argument));
  const DType type = op == CoreOp::Select ? arguments[1].dtype : arguments[0].dtype;
  return operand(emit(op, type, dtype, values), dtype);
}

llvm::Constant* VectorEmitter::element(DType dtype, ir::Container container) {
  llvm::Type* type = register_type(dtype);
  if (is_half(dtype)) container = ir::convert_element(DType::Float32, dtype, container);
  if (!is_float(dtype)) return llvm::ConstantInt::get(type, container, /*IsSigned=*/false);
  const llvm::APInt bits(type->getScalarSizeInBits(), container);
  return llvm::ConstantFP::get(type, llvm::APFloat(type->getFltSemantics(), bits));
}

llvm::Type* VectorEmitter::register_type(DType dtype, unsigned lanes) {
  if (is_bool(dtype)) return vector_of(builder_.getInt1Ty(), lanes);
  if (dtype == DType::Float64) return vector_of(builder_.getDoubleTy(), lanes);
  if (is_float(dtype)) return vector_of(builder_.getFloatTy(), lanes);
  return vector_of(builder_.getIntNTy(static_cast<unsigned>(8 * size_of(dtype))), lanes);
}

llvm::Type* VectorEmitter::memory_type(DType dtype, unsigned lanes) {
  switch (dtype) {
    case DType::Bool:
      return vector_of(builder_.getInt8Ty(), lanes);
    case DType::Float16:
      return vector_of(builder_.getHalfTy(), lanes);
    case DType::BFloat16:
      return vector_of(builder_.getInt16Ty(), lanes);
    default:
      return register_type(dtype, lanes);
  }
}

Value* VectorEmitter::from_memory(Value* raw, DType dtype) {
  const unsigned lanes = lanes_of(raw);
  switch (dtype) {
    case DType::Bool:
      return builder_.CreateICmpNE(raw, llvm::Constant::getNullValue(raw->getType()));
    case DType::Float16:
      return widened(raw, register_type(dtype, lanes));
    case DType::BFloat16:
      return float_of(builder_.CreateShl(
          builder_.CreateZExt(raw, register_type(DType::Int32, lanes)), uint64_t{16}));
    default:
      return raw;
  }
}

Value* VectorEmitter::to_memory(Value* value, DType dtype) {
  llvm::Type* type = memory_type(dtype, lanes_of(value));
  switch (dtype) {
    case DType::Bool:
      return builder_.CreateZExt(value, type);
    case DType::Float16:
      // What was rounded to it need not be converted there and back.
      if (const auto* fence = llvm::dyn_cast<llvm::IntrinsicInst>(value);
          fence != nullptr && fence->getIntrinsicID() == llvm::Intrinsic::arithmetic_fence)
        if (const auto* wide = llvm::dyn_cast<llvm::FPExtInst>(fence->getArgOperand(0));
            wide != nullptr && wide->getSrcTy() == type)
          return wide->getOperand(0);
      return builder_.CreateFPTrunc(value, type);
    case DType::BFloat16: {
      // What is one already, as from_memory() gives it.
      using namespace llvm::PatternMatch;  // NOLINT
      Value* half = nullptr;
      if (match(value, m_BitCast(m_Shl(m_ZExt(m_Value(half)), m_SpecificInt(16)))) &&
          half->getType() == type)
        return half;
      return high_halves(bits_of(value));
    }
    default:
      return value;
  }
}

Value* VectorEmitter::high_halves(Value* bits) {
  // What rounding set to zero is not looked at.
  if (auto* masked = llvm::dyn_cast<llvm::BinaryOperator>(bits);
      masked != nullptr && masked->getOpcode() == llvm::Instruction::And &&
      masked->getOperand(1) == llvm::ConstantInt::get(bits->getType(), 0xffff0000))
    bits = masked->getOperand(0);
  const unsigned lanes = lanes_of(bits);
  llvm::Type* half = builder_.getInt16Ty();
  if (lanes < kShuffledHalves)
    return builder_.CreateTrunc(builder_.CreateLShr(bits, uint64_t{16}), vector_of(half, lanes));
  // Of two registers at a time.
  SmallVector<int, 64> odd;
  for (unsigned lane = 0; lane < lanes; ++lane) odd.push_back(static_cast<int>(2 * lane + 1));
  return builder_.CreateShuffleVector(builder_.CreateBitCast(bits, vector_of(half, 2 * lanes)),
                                      llvm::ArrayRef(odd.data(), odd.size()));
}

Value* VectorEmitter::widened(Value* value, llvm::Type* type) {
  Value* wide = builder_.CreateFPExt(value, type);
  return builder_.CreateArithmeticFence(wide, type);
}

Value* VectorEmitter::splat(Value* value, unsigned lanes) {
  if (lanes == 1 || value->getType()->isVectorTy()) return value;
  return builder_.CreateVectorSplat(lanes, value);
}

Value* VectorEmitter::unary(llvm::Intrinsic::ID intrinsic, Value* value) {
  return builder_.CreateUnaryIntrinsic(intrinsic, value);
}

Value* VectorEmitter::binary(llvm::Intrinsic::ID intrinsic, Value* a, Value* b) {
  return builder_.CreateBinaryIntrinsic(intrinsic, a, b);
}

Value* VectorEmitter::bits_of(Value* value) {
  const unsigned width = value->getType()->getScalarSizeInBits();
  return builder_.CreateBitCast(value, vector_of(builder_.getIntNTy(width), lanes_of(value)));
}

Value* VectorEmitter::float_of(Value* bits) {
  const bool single = bits->getType()->getScalarSizeInBits() == 32;
  return builder_.CreateBitCast(
      bits, register_type(single ? DType::Float32 : DType::Float64, lanes_of(bits)));
}

Value* VectorEmitter::combine(CoreOp op, DType type, Value* a, Value* b) {
  return emit(op, type, type, std::array{a, b});
}

Value* VectorEmitter::emit(CoreOp op, DType type, DType result, Values operands) {
  unsigned lanes = 1;
  for (const Value* operand : operands) lanes = std::max(lanes, lanes_of(operand));
  SmallVector<Value*, 3> a;
  for (Value* operand : operands) a.push_back(splat(operand, lanes));

  switch (op) {
    case CoreOp::Select:
      return builder_.CreateSelect(a[0], a[1], a[2]);
    case CoreOp::Convert:
      return convert(a[0], type, result);
    case CoreOp::Bitcast:
      return bitcast(a[0], type, result);
    default:
      break;
  }
  if (is_half(type)) undefined(op, type);
  if (op >= CoreOp::Eq && op <= CoreOp::Ge) return compare(op, type, a[0], a[1]);
  if (is_float(type)) {
    Value* value = emit_float(op, a);
    return value != nullptr ? value : (undefined(op, type), nullptr);
  }
  Value* value = is_bool(type) ? emit_bool(op, a) : emit_integer(op, type, a);
  return value != nullptr ? value : (undefined(op, type), nullptr);
}

Value* VectorEmitter::emit_float(CoreOp op, Values a) {
  switch (op) {
    case CoreOp::Add:
      return builder_.CreateFAdd(a[0], a[1]);
    case CoreOp::Sub:
      return builder_.CreateFSub(a[0], a[1]);
    case CoreOp::Mul:
      return builder_.CreateFMul(a[0], a[1]);
    case CoreOp::Div:
      return builder_.CreateFDiv(a[0], a[1]);
    case CoreOp::Rem:
      return float_remainder(a[0], a[1]);
    case CoreOp::Neg:
      return negated(a[0]);
    case CoreOp::Abs:
      return unary(llvm::Intrinsic::fabs, a[0]);
    case CoreOp::Fma:
      return builder_.CreateIntrinsic(llvm::Intrinsic::fma, {a[0]->getType()}, {a[0], a[1], a[2]});
    case CoreOp::Sqrt:
      return unary(llvm::Intrinsic::sqrt, a[0]);
    case CoreOp::Floor:
      return unary(llvm::Intrinsic::floor, a[0]);
    case CoreOp::Ceil:
      return unary(llvm::Intrinsic::ceil, a[0]);
    case CoreOp::Trunc:
      return unary(llvm::Intrinsic::trunc, a[0]);
    case CoreOp::RoundEven:
      return unary(llvm::Intrinsic::roundeven, a[0]);
    case CoreOp::Min:
      return float_min_max(false, a[0], a[1]);
    case CoreOp::Max:
      return float_min_max(true, a[0], a[1]);
    case CoreOp::Scale:
      return scale(a[0], a[1]);
    default:
      return nullptr;
  }
}

Value* VectorEmitter::emit_integer(CoreOp op, DType type, Values a) {
  const bool is_signed = info(type).is_signed;
  llvm::Type* llvm_type = a[0]->getType();
  const auto amount = [&] {
    const unsigned width = llvm_type->getScalarSizeInBits();
    return builder_.CreateAnd(a[1], llvm::ConstantInt::get(llvm_type, width - 1));
  };
  switch (op) {
    case CoreOp::Add:
      return builder_.CreateAdd(a[0], a[1]);
    case CoreOp::Sub:
      return builder_.CreateSub(a[0], a[1]);
    case CoreOp::Mul:
      return builder_.CreateMul(a[0], a[1]);
    case CoreOp::Div:
      return integer_divide(type, a[0], a[1], false);
    case CoreOp::Rem:
      return integer_divide(type, a[0], a[1], true);
    case CoreOp::Neg:
      return builder_.CreateNeg(a[0]);
    case CoreOp::Abs:
      return is_signed ? binary(llvm::Intrinsic::abs, a[0], builder_.getFalse()) : a[0];
    case CoreOp::Floor:
    case CoreOp::Ceil:
    case CoreOp::Trunc:
    case CoreOp::RoundEven:
      return a[0];
    case CoreOp::Min:
      return binary(is_signed ? llvm::Intrinsic::smin : llvm::Intrinsic::umin, a[0], a[1]);
    case CoreOp::Max:
      return binary(is_signed ? llvm::Intrinsic::smax : llvm::Intrinsic::umax, a[0], a[1]);
    case CoreOp::And:
      return builder_.CreateAnd(a[0], a[1]);
    case CoreOp::Or:
      return builder_.CreateOr(a[0], a[1]);
    case CoreOp::Xor:
      return builder_.CreateXor(a[0], a[1]);
    case CoreOp::Not:
      return builder_.CreateNot(a[0]);
    case CoreOp::Shl:
      return builder_.CreateShl(a[0], amount());
    case CoreOp::ShiftRight:
      return is_signed ? builder_.CreateAShr(a[0], amount()) : builder_.CreateLShr(a[0], amount());
    case CoreOp::ShiftRightLogical:
      return builder_.CreateLShr(a[0], amount());
    case CoreOp::MulHigh:
      return size_of(type) >= 4 ? multiply_high(a[0], a[1]) : nullptr;
    default:
      return nullptr;
  }
}

Value* VectorEmitter::emit_bool(CoreOp op, Values a) {
  switch (op) {
    case CoreOp::Add:
    case CoreOp::Or:
    case CoreOp::Max:
      return builder_.CreateOr(a[0], a[1]);
    case CoreOp::Sub:
    case CoreOp::Xor:
      return builder_.CreateXor(a[0], a[1]);
    case CoreOp::Mul:
    case CoreOp::And:
    case CoreOp::Min:
      return builder_.CreateAnd(a[0], a[1]);
    case CoreOp::Not:
      return builder_.CreateNot(a[0]);
    default:
      return nullptr;
  }
}

Value* VectorEmitter::compare(CoreOp op, DType type, Value* a, Value* b) {
  using Predicate = llvm::CmpInst::Predicate;
  struct Row {
    Predicate real, with_sign, without_sign;
  };
  static constexpr Row kRows[] = {
      {Predicate::FCMP_OEQ, Predicate::ICMP_EQ, Predicate::ICMP_EQ},
      {Predicate::FCMP_UNE, Predicate::ICMP_NE, Predicate::ICMP_NE},
      {Predicate::FCMP_OLT, Predicate::ICMP_SLT, Predicate::ICMP_ULT},
      {Predicate::FCMP_OLE, Predicate::ICMP_SLE, Predicate::ICMP_ULE},
      {Predicate::FCMP_OGT, Predicate::ICMP_SGT, Predicate::ICMP_UGT},
      {Predicate::FCMP_OGE, Predicate::ICMP_SGE, Predicate::ICMP_UGE},
  };
  const Row& row = kRows[static_cast<int>(op) - static_cast<int>(CoreOp::Eq)];
  if (is_float(type)) return builder_.CreateFCmp(row.real, a, b);
  // i1 true is -1 as a signed number: Bool compares unsigned.
  const bool is_signed = info(type).is_signed && !is_bool(type);
  return builder_.CreateICmp(is_signed ? row.with_sign : row.without_sign, a, b);
}

Value* VectorEmitter::convert(Value* value, DType from, DType to) {
  if (from == to) return value;
  const unsigned lanes = lanes_of(value);
  llvm::Type* type = register_type(to, lanes);
  if (is_bool(to)) {
    llvm::Constant* zero = llvm::Constant::getNullValue(value->getType());
    return is_float(from) ? builder_.CreateFCmpUNE(value, zero)
                          : builder_.CreateICmpNE(value, zero);
  }
  if (is_bool(from)) {
    if (!is_float(to)) return builder_.CreateZExt(value, type);
    return builder_.CreateSelect(value, llvm::ConstantFP::get(type, 1.0),
                                 llvm::ConstantFP::get(type, 0.0));
  }
  const bool is_signed = info(from).is_signed;
  if (!is_float(from)) {
    if (!is_float(to)) return builder_.CreateIntCast(value, type, is_signed);
    if (is_half(to)) return integer_to_half(value, from, to);
    return is_signed ? builder_.CreateSIToFP(value, type) : builder_.CreateUIToFP(value, type);
  }
  if (!is_float(to)) return float_to_integer(value, to);
  if (is_half(to)) return round_to_half(from == DType::Float64 ? round_to_odd(value) : value, to);
  const bool widens = type->getScalarSizeInBits() > value->getType()->getScalarSizeInBits();
  return widens ? widened(value, type) : builder_.CreateFPCast(value, type);
}

Value* VectorEmitter::bitcast(Value* value, DType from, DType to) {
  if (from == to) return value;
  if (size_of(from) != size_of(to) || is_bool(from) != is_bool(to))
    undefined(CoreOp::Bitcast, from);
  if (!is_half(from) && !is_half(to))
    return builder_.CreateBitCast(value, register_type(to, lanes_of(value)));
  Value* raw = builder_.CreateBitCast(to_memory(value, from), memory_type(to, lanes_of(value)));
  return from_memory(raw, to);
}

}  // namespace flambeau::codegen
