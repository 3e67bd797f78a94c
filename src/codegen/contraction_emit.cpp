#include "codegen/contraction_emit.h"

#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/IntrinsicsX86.h>

#include "codegen/target.h"

namespace flambeau::codegen {

using llvm::Value;

ContractionEmitter::ContractionEmitter(llvm::Module& module, DType operand, Isa isa)
    : context_(module.getContext()),
      module_(module),
      builder_(module.getContext()),
      tile_(contraction_tile(operand, isa)),
      element_(type_of(tile_.accumulator)),
      step_(in_pairs() ? builder_.getInt32Ty() : element_),
      vector_(llvm::FixedVectorType::get(element_, static_cast<unsigned>(tile_.lanes))),
      steps_(llvm::FixedVectorType::get(step_, static_cast<unsigned>(tile_.lanes))),
      alignment_(llvm::Align(size_of(tile_.accumulator))),
      step_alignment_(llvm::Align(size_of(multiplied_dtype(operand, isa)))) {}

llvm::Type* ContractionEmitter::type_of(DType dtype) {
  switch (dtype) {
    case DType::Float32:
      return builder_.getFloatTy();
    case DType::Float64:
      return builder_.getDoubleTy();
    case DType::Float16:
      return builder_.getHalfTy();
    default:
      return builder_.getIntNTy(static_cast<unsigned>(8 * size_of(dtype)));
  }
}

llvm::Function* ContractionEmitter::begin_function(const std::string& name,
                                                   const char* parameters) {
  std::vector<llvm::Type*> types;
  for (const char* p = parameters; *p; ++p)
    types.push_back(*p == 'p' ? static_cast<llvm::Type*>(builder_.getPtrTy())
                              : builder_.getInt64Ty());
  auto* type = llvm::FunctionType::get(builder_.getVoidTy(), types, false);
  function_ = add_function(module_, type, name);
  builder_.SetInsertPoint(llvm::BasicBlock::Create(context_, "entry", function_));
  return function_;
}

Value* ContractionEmitter::at(llvm::Type* type, Value* base, Value* index) {
  return builder_.CreateGEP(type, base, index);
}

void ContractionEmitter::emit_loop(Value* count, Values& carried,
                                   const std::function<void(Value*)>& body) {
  llvm::BasicBlock* before = builder_.GetInsertBlock();
  auto* loop = llvm::BasicBlock::Create(context_, "loop", function_);
  auto* after = llvm::BasicBlock::Create(context_, "after", function_);
  builder_.CreateCondBr(builder_.CreateICmpSGT(count, integer(0)), loop, after);

  builder_.SetInsertPoint(loop);
  llvm::PHINode* iteration = builder_.CreatePHI(builder_.getInt64Ty(), 2);
  iteration->addIncoming(integer(0), before);
  const Values entering = carried;
  std::vector<llvm::PHINode*> phis;
  for (Value*& value : carried) {
    phis.push_back(builder_.CreatePHI(value->getType(), 2));
    phis.back()->addIncoming(value, before);
    value = phis.back();
  }
  body(iteration);
  Value* next = builder_.CreateAdd(iteration, integer(1));
  llvm::BasicBlock* end = builder_.GetInsertBlock();
  builder_.CreateCondBr(builder_.CreateICmpSLT(next, count), loop, after);
  iteration->addIncoming(next, end);

  builder_.SetInsertPoint(after);
  for (size_t i = 0; i < carried.size(); ++i) {
    phis[i]->addIncoming(carried[i], end);
    llvm::PHINode* final_value = builder_.CreatePHI(carried[i]->getType(), 2);
    final_value->addIncoming(entering[i], before);
    final_value->addIncoming(carried[i], end);
    carried[i] = final_value;
  }
}

void ContractionEmitter::emit_if(Value* condition, Values& carried,
                                 const std::function<void()>& body) {
  llvm::BasicBlock* before = builder_.GetInsertBlock();
  auto* then = llvm::BasicBlock::Create(context_, "then", function_);
  auto* after = llvm::BasicBlock::Create(context_, "after", function_);
  builder_.CreateCondBr(condition, then, after);

  builder_.SetInsertPoint(then);
  const Values entering = carried;
  body();
  llvm::BasicBlock* end = builder_.GetInsertBlock();
  builder_.CreateBr(after);

  builder_.SetInsertPoint(after);
  for (size_t i = 0; i < carried.size(); ++i) {
    llvm::PHINode* value = builder_.CreatePHI(carried[i]->getType(), 2);
    value->addIncoming(entering[i], before);
    value->addIncoming(carried[i], end);
    carried[i] = value;
  }
}

Value* ContractionEmitter::lane_mask(Value* count, int64_t first) {
  std::vector<llvm::Constant*> lanes;
  for (int64_t i = 0; i < tile_.lanes; ++i)
    lanes.push_back(builder_.getInt32(static_cast<uint32_t>(first + i)));
  Value* limit = builder_.CreateTrunc(count, builder_.getInt32Ty());
  return builder_.CreateICmpSLT(
      llvm::ConstantVector::get(lanes),
      builder_.CreateVectorSplat(static_cast<unsigned>(tile_.lanes), limit));
}

Value* ContractionEmitter::multiply_add(Value* a, Value* b, Value* sum) {
  if (in_pairs()) {
    auto* halves =
        llvm::FixedVectorType::get(builder_.getBFloatTy(), static_cast<unsigned>(2 * tile_.lanes));
    return builder_.CreateIntrinsic(
        llvm::Intrinsic::x86_avx512bf16_dpbf16ps_512, {},
        {sum, builder_.CreateBitCast(a, halves), builder_.CreateBitCast(b, halves)});
  }
  if (is_float(tile_.accumulator))
    return builder_.CreateIntrinsic(llvm::Intrinsic::fma, {a->getType()}, {a, b, sum});
  return builder_.CreateAdd(builder_.CreateMul(a, b), sum);
}

Value* ContractionEmitter::add(Value* a, Value* b) {
  return is_float(tile_.accumulator) ? builder_.CreateFAdd(a, b) : builder_.CreateAdd(a, b);
}

namespace {

/// `scalar`, or as many of it as `value` has elements.
llvm::Type* type_like(Value* value, llvm::Type* scalar) {
  auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(value->getType());
  return vector ? llvm::FixedVectorType::get(scalar, vector->getNumElements()) : scalar;
}

}  // namespace

Value* ContractionEmitter::to_steps(Value* value, Value* next, DType source) {
  if (!in_pairs()) return widen(value, source);
  llvm::Type* type = type_like(value, step_);
  if (source == DType::BFloat16)
    return builder_.CreateOr(builder_.CreateZExt(value, type),
                             builder_.CreateShl(builder_.CreateZExt(next, type), 16));
  // float32 numbers that are bfloat16 values.
  return builder_.CreateOr(builder_.CreateLShr(builder_.CreateBitCast(value, type), 16),
                           builder_.CreateBitCast(next, type));
}

Value* ContractionEmitter::widen(Value* value, DType source) {
  if (source == tile_.accumulator) return value;
  auto like = [&](llvm::Type* scalar) { return type_like(value, scalar); };
  if (source == DType::Float16) return builder_.CreateFPExt(value, like(builder_.getFloatTy()));
  if (source == DType::BFloat16) {
    Value* bits = builder_.CreateZExt(value, like(builder_.getInt32Ty()));
    return builder_.CreateBitCast(builder_.CreateShl(bits, 16), like(builder_.getFloatTy()));
  }
  return builder_.CreateIntCast(value, like(element_), info(source).is_signed);
}

}  // namespace flambeau::codegen
