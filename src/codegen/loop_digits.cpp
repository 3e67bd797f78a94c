// Loops whose variable is counted in digits: indices along axes that memory does not lay end to
// end. The last digit moves with the variable until it reaches its extent; only then the digits are
// found by division. Vectors that end before that read and write memory as those of a plain loop
// do.

#include <llvm/IR/Constants.h>

#include "codegen/loop_control.h"

namespace flambeau::codegen {

using llvm::Value;

LoopCodegen::Digits LoopCodegen::open_digits(const Statement& loop) {
  Digits digits;
  for (size_t i = 0; i < loop.digits.size(); ++i)
    digits.push_back(stack_slot(builder_.getInt64Ty()));
  return digits;
}

void LoopCodegen::count_digits(const Statement& loop, const Digits& digits, Value* i, Value* begin,
                               uint64_t step) {
  llvm::Type* i64 = builder_.getInt64Ty();
  const size_t last = digits.size() - 1;
  Value* next = builder_.CreateAdd(builder_.CreateLoad(i64, digits[last]), builder_.getInt64(step));
  builder_.CreateStore(next, digits[last]);
  Value* is_first = builder_.CreateICmpEQ(i, begin);
  Value* is_over = builder_.CreateICmpSGE(next, operand(loop.digits[last].extent));
  if_then(builder_.CreateOr(is_first, is_over), [&] {
    Value* rest = loop.digits_from >= 0 ? builder_.CreateAdd(value_of(loop.digits_from), i) : i;
    for (size_t d = last; d > 0; --d) {
      Value* extent = operand(loop.digits[d].extent);
      builder_.CreateStore(builder_.CreateURem(rest, extent), digits[d]);
      rest = builder_.CreateUDiv(rest, extent);
    }
    builder_.CreateStore(rest, digits[0]);
  });
}

void LoopCodegen::set_digits(const Statement& loop, const Digits& digits, Value* i, Value* begin) {
  if (digits.empty()) return;
  count_digits(loop, digits, i, begin, 1);
  for (size_t d = 0; d < digits.size(); ++d)
    bound_.variables[static_cast<size_t>(loop.digits[d].variable)] =
        builder_.CreateLoad(builder_.getInt64Ty(), digits[d]);
}

void LoopCodegen::emit_lanes(const Statement& loop, const Digits& digits, Value* begin,
                             const std::function<void()>& body) {
  if (digits.empty()) {
    body();
    return;
  }
  count_digits(loop, digits, lanes_.first, begin, lanes_.count);
  llvm::Type* i64 = builder_.getInt64Ty();
  const Statement::Digit& last = loop.digits.back();
  Value* first = builder_.CreateLoad(i64, digits.back());
  Value* used = lanes_.active != nullptr ? lanes_.active : number(lanes_.count);
  Value* fits = builder_.CreateICmpSLE(builder_.CreateAdd(first, used), operand(last.extent));
  if_then(fits, [&] {
    for (size_t d = 0; d + 1 < digits.size(); ++d)
      bound_.variables[static_cast<size_t>(loop.digits[d].variable)] =
          builder_.CreateLoad(i64, digits[d]);
    lanes_.digit = last.variable;
    lanes_.digit_first = first;
    body();
    lanes_.digit = -1;
  });
  if_then(builder_.CreateNot(fits), [&] {
    spread_digits(loop, digits);
    body();
  });
}

void LoopCodegen::spread_digits(const Statement& loop, const Digits& digits) {
  // In doubles, which have divisions by vectors: they hold these numbers, the least distance of a
  // quotient from the next integer is half the reciprocal of an extent, and of quotients of so few
  // lanes no rounding reaches it.
  const unsigned count = lanes_.count;
  llvm::Type* f64 = builder_.getDoubleTy();
  llvm::Type* integers = llvm::FixedVectorType::get(builder_.getInt64Ty(), count);
  const auto splat = [&](Value* value) { return emitter_.splat(value, count); };
  const auto constant = [&](double value) { return splat(llvm::ConstantFP::get(f64, value)); };
  const auto start = [&](size_t d) {
    Value* digit = builder_.CreateLoad(builder_.getInt64Ty(), digits[d]);
    return splat(builder_.CreateSIToFP(digit, f64));
  };
  // The low bits of the sum with 2^52 are the number.
  const auto as_integer = [&](Value* value) {
    Value* power = constant(0x1p52);
    return builder_.CreateXor(builder_.CreateBitCast(builder_.CreateFAdd(value, power), integers),
                              builder_.CreateBitCast(power, integers));
  };
  const auto set = [&](size_t d, Value* value) {
    bound_.variables[static_cast<size_t>(loop.digits[d].variable)] = as_integer(value);
  };
  SmallVector<llvm::Constant*, 64> lanes;
  for (unsigned lane = 0; lane < count; ++lane) lanes.push_back(llvm::ConstantFP::get(f64, lane));
  Value* carry = llvm::ConstantVector::get(llvm::ArrayRef(lanes.data(), lanes.size()));
  for (size_t d = digits.size() - 1; d > 0; --d) {
    Value* sum = builder_.CreateFAdd(start(d), carry);
    Value* extent = builder_.CreateSIToFP(operand(loop.digits[d].extent), f64);
    Value* scale = splat(builder_.CreateFDiv(llvm::ConstantFP::get(f64, 1), extent));
    Value* quotient = builder_.CreateFMul(builder_.CreateFAdd(sum, constant(0.5)), scale);
    carry = builder_.CreateUnaryIntrinsic(llvm::Intrinsic::floor, quotient);
    set(d, builder_.CreateFSub(sum, builder_.CreateFMul(carry, splat(extent))));
  }
  set(0, builder_.CreateFAdd(start(0), carry));
}

}  // namespace flambeau::codegen
