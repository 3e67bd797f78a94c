#include "codegen/row_accumulator.h"

#include <llvm/IR/Constants.h>

#include "codegen/target.h"
#include "ir/interpreter.h"

namespace flambeau::codegen {

using ir::CoreOp;
using llvm::Value;

namespace {

constexpr unsigned kLanes = static_cast<unsigned>(ir::kReduceLanes);

unsigned lanes_of(const Value* vector) {
  return llvm::cast<llvm::FixedVectorType>(vector->getType())->getNumElements();
}

}  // namespace

Value* part_of(llvm::IRBuilderBase& builder, Value* vector, unsigned first, unsigned count) {
  if (count == lanes_of(vector)) return vector;
  if (count == 1) return builder.CreateExtractElement(vector, uint64_t{first});
  SmallVector<int, 64> lanes;
  for (unsigned lane = first; lane < first + count; ++lane) lanes.push_back(static_cast<int>(lane));
  return builder.CreateShuffleVector(vector, llvm::ArrayRef(lanes.data(), lanes.size()));
}

Value* halve_lanes(llvm::IRBuilderBase& builder, Value* lanes,
                   const std::function<Value*(Value*, Value*)>& combine) {
  for (unsigned half = lanes_of(lanes) / 2; half >= 1; half /= 2)
    lanes = combine(part_of(builder, lanes, 0, half), part_of(builder, lanes, half, half));
  return lanes;
}

RowAccumulator::RowAccumulator(llvm::IRBuilder<>& builder, VectorEmitter& emitter, Isa isa,
                               CoreOp op, DType dtype, Value* identity, const StackSlot& slot)
    : builder_(builder),
      emitter_(emitter),
      op_(op),
      dtype_(dtype),
      identity_(identity),
      lanes_(slot(emitter.register_type(dtype, kLanes))) {
  if (op != CoreOp::Max || !is_float(dtype)) return;
  const auto size = static_cast<unsigned>(size_of(dtype));
  const unsigned width = register_bytes(isa) / size;
  llvm::Type* bits = builder.getIntNTy(8 * size);
  signs_ = slot(llvm::FixedVectorType::get(bits, width));
  // A comparison gives bits in the registers for masks, or words of ones where there are none.
  llvm::Type* flag = isa >= Isa::Avx512 ? builder.getInt1Ty() : bits;
  nans_ = slot(llvm::FixedVectorType::get(flag, width));
}

void RowAccumulator::begin() {
  builder_.CreateStore(emitter_.splat(identity_, kLanes), lanes_);
  if (!is_float_maximum()) return;
  builder_.CreateStore(llvm::Constant::getAllOnesValue(signs_->getAllocatedType()), signs_);
  builder_.CreateStore(llvm::Constant::getNullValue(nans_->getAllocatedType()), nans_);
}

void RowAccumulator::add(Value* values, Value* active) {
  if (is_float_maximum()) {
    if (active != nullptr)
      values = builder_.CreateSelect(active, values, emitter_.splat(identity_, kLanes));
    return add_to_maximum(values);
  }
  Value* old = builder_.CreateLoad(lanes_->getAllocatedType(), lanes_);
  Value* sum = emitter_.combine(op_, dtype_, old, values);
  if (active != nullptr) sum = builder_.CreateSelect(active, sum, old);
  builder_.CreateStore(sum, lanes_);
}

void RowAccumulator::add_to_maximum(Value* values) {
  // maxps(x, old): of NaN and of zeros that is the old one.
  Value* old = builder_.CreateLoad(lanes_->getAllocatedType(), lanes_);
  builder_.CreateStore(builder_.CreateSelect(builder_.CreateFCmpOGT(values, old), values, old),
                       lanes_);
  Value* signs = builder_.CreateLoad(signs_->getAllocatedType(), signs_);
  Value* nans = builder_.CreateLoad(nans_->getAllocatedType(), nans_);
  const unsigned width = lanes_of(signs);
  for (unsigned first = 0; first < kLanes; first += 2 * width) {
    Value* low = part_of(builder_, values, first, width);
    Value* high = part_of(builder_, values, first + width, width);
    for (Value* part : {low, high})
      signs = builder_.CreateAnd(signs, builder_.CreateBitCast(part, signs->getType()));
    Value* nan = builder_.CreateFCmpUNO(low, high);
    nans = builder_.CreateOr(nans, builder_.CreateSExt(nan, nans->getType()));
  }
  builder_.CreateStore(signs, signs_);
  builder_.CreateStore(nans, nans_);
}

Value* RowAccumulator::finish() {
  if (is_float_maximum()) return finish_maximum();
  return halve_lanes(
      builder_, builder_.CreateLoad(lanes_->getAllocatedType(), lanes_),
      [&](Value* low, Value* high) { return emitter_.combine(op_, dtype_, low, high); });
}

Value* RowAccumulator::finish_maximum() {
  Value* lanes =
      halve_lanes(builder_, builder_.CreateLoad(lanes_->getAllocatedType(), lanes_),
                  [&](Value* low, Value* high) {
                    return builder_.CreateSelect(builder_.CreateFCmpOGT(low, high), low, high);
                  });
  // No element is above a maximum of 0, so it is -0 only if all have a sign.
  Value* signs = builder_.CreateAndReduce(builder_.CreateLoad(signs_->getAllocatedType(), signs_));
  llvm::Type* bits = signs->getType();
  Value* sign = builder_.CreateAnd(
      signs, llvm::ConstantInt::get(bits, llvm::APInt::getSignMask(bits->getIntegerBitWidth())));
  Value* greatest = builder_.CreateSelect(
      builder_.CreateFCmpOEQ(lanes, llvm::Constant::getNullValue(lanes->getType())), sign,
      builder_.CreateBitCast(lanes, bits));
  // The NaN that the operation gives has all bits set.
  Value* nans = builder_.CreateOrReduce(builder_.CreateLoad(nans_->getAllocatedType(), nans_));
  Value* nan = builder_.CreateSExt(builder_.CreateIsNotNull(nans), bits);
  return builder_.CreateBitCast(builder_.CreateOr(greatest, nan), lanes->getType());
}

}  // namespace flambeau::codegen
