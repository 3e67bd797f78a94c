// The core operations that x86 has no instruction for.

#include <llvm/IR/Constants.h>
#include <llvm/IR/IntrinsicsX86.h>
#include <llvm/IR/MDBuilder.h>

#include <algorithm>

#include "base/error.h"
#include "base/small_vector.h"
#include "codegen/vector_emitter.h"

namespace flambeau::codegen {

using llvm::Value;

namespace {

/// Float32 numbers that an instruction makes BFloat16.
constexpr unsigned kConvertedLanes = 16;

llvm::Constant* integer(const Value* like, uint64_t value) {
  return llvm::ConstantInt::get(like->getType(), value);
}

}  // namespace

Value* VectorEmitter::float_min_max(bool is_max, Value* a, Value* b) {
  // minps(a, b) and minps(b, a) are the two operands in opposite order if these are equal (then
  // they differ at most by the sign of zero) or if one is NaN; otherwise they are the same.
  Value* first = builder_.CreateSelect(
      is_max ? builder_.CreateFCmpOGT(a, b) : builder_.CreateFCmpOLT(a, b), a, b);
  Value* second = builder_.CreateSelect(
      is_max ? builder_.CreateFCmpOGT(b, a) : builder_.CreateFCmpOLT(b, a), b, a);
  // Or-ing keeps -0 of two zeros, and a NaN or-ed with anything is a NaN: that is the minimum.
  if (!is_max) return float_of(builder_.CreateOr(bits_of(first), bits_of(second)));
  // And-ing keeps +0 of two zeros; NaN has to be put back.
  Value* both = builder_.CreateAnd(bits_of(first), bits_of(second));
  Value* nan = builder_.CreateSExt(builder_.CreateFCmpUNO(a, b), both->getType());
  return float_of(builder_.CreateOr(both, nan));
}

Value* VectorEmitter::scale(Value* a, Value* n) {
  // AVX-512 has an instruction.
  const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(a->getType());
  const unsigned bits = a->getType()->getScalarSizeInBits();
  if (isa_ < Isa::Avx512 || vector == nullptr || vector->getNumElements() * bits < 128)
    return scale_by_factors(a, n);
  const unsigned lanes = vector->getNumElements();
  const unsigned piece = std::min(lanes, 512 / bits);
  llvm::Intrinsic::ID intrinsic = 0;
  switch (piece * bits) {
    case 128:
      intrinsic = bits == 32 ? llvm::Intrinsic::x86_avx512_mask_scalef_ps_128
                             : llvm::Intrinsic::x86_avx512_mask_scalef_pd_128;
      break;
    case 256:
      intrinsic = bits == 32 ? llvm::Intrinsic::x86_avx512_mask_scalef_ps_256
                             : llvm::Intrinsic::x86_avx512_mask_scalef_pd_256;
      break;
    default:
      intrinsic = bits == 32 ? llvm::Intrinsic::x86_avx512_mask_scalef_ps_512
                             : llvm::Intrinsic::x86_avx512_mask_scalef_pd_512;
  }
  constexpr uint64_t kRoundAsEver = 4;
  Value* result = llvm::PoisonValue::get(a->getType());
  for (unsigned first = 0; first < lanes; first += piece) {
    const auto part = [&](Value* whole) -> Value* {
      if (piece == lanes) return whole;
      return builder_.CreateExtractVector(
          llvm::FixedVectorType::get(vector->getElementType(), piece), whole,
          builder_.getInt64(first));
    };
    Value* x = part(a);
    llvm::Type* mask = builder_.getIntNTy(std::max(piece, 8U));
    SmallVector<Value*, 5> arguments{x, part(n), x, llvm::Constant::getAllOnesValue(mask)};
    if (piece * bits == 512) arguments.push_back(builder_.getInt32(kRoundAsEver));
    Value* scaled =
        builder_.CreateIntrinsic(intrinsic, {}, llvm::ArrayRef(arguments.data(), arguments.size()));
    result = piece == lanes ? scaled
                            : builder_.CreateInsertVector(a->getType(), result, scaled,
                                                          builder_.getInt64(first));
  }
  return result;
}

Value* VectorEmitter::scale_by_factors(Value* a, Value* n) {
  // Two factors, since 2^n alone can be out of range.
  const bool single = a->getType()->getScalarSizeInBits() == 32;
  const uint64_t mantissa = single ? 23 : 52;
  llvm::Type* type = a->getType();
  Value* shifted =
      builder_.CreateFAdd(n, llvm::ConstantFP::get(type, single ? 0x1.8p23 : 0x1.8p52));
  // The bits of what was added leave at the top.
  Value* bits = bits_of(shifted);
  Value* half = builder_.CreateLShr(bits, uint64_t{1});
  const auto power = [&](Value* exponent) {
    return float_of(builder_.CreateAdd(builder_.CreateShl(exponent, mantissa),
                                       integer(bits, single ? 0x3f800000 : 0x3ff0000000000000)));
  };
  return builder_.CreateFMul(builder_.CreateFMul(a, power(half)),
                             power(builder_.CreateSub(bits, half)));
}

Value* VectorEmitter::integer_divide(DType type, Value* a, Value* b, bool remainder) {
  const bool is_signed = info(type).is_signed;
  llvm::Constant* zero = integer(b, 0);
  Value* by_zero = builder_.CreateICmpEQ(b, zero);
  Value* by_minus_one = is_signed ? builder_.CreateICmpEQ(b, integer(b, ~uint64_t{0})) : nullptr;
  Value* special = is_signed ? builder_.CreateOr(by_zero, by_minus_one) : by_zero;
  Value* divisor = builder_.CreateSelect(special, integer(b, 1), b);

  Value* quotient = nullptr;
  if (!a->getType()->isVectorTy()) {
    quotient = is_signed ? builder_.CreateSDiv(a, divisor) : builder_.CreateUDiv(a, divisor);
  } else if (size_of(type) <= 4) {
    quotient = divide_as_real(a, divisor, is_signed);
  } else {
    quotient = divide_wide(a, divisor);
  }
  if (remainder) {
    Value* rest = builder_.CreateSub(a, builder_.CreateMul(quotient, divisor));
    return builder_.CreateSelect(by_zero, zero, rest);
  }
  if (is_signed) quotient = builder_.CreateSelect(by_minus_one, builder_.CreateNeg(a), quotient);
  return builder_.CreateSelect(by_zero, zero, quotient);
}

Value* VectorEmitter::divide_as_real(Value* a, Value* b, bool is_signed) {
  // A quotient of 32-bit integers differs from the next integer by more than a double's rounding
  // error, so that truncating it is exact.
  const auto* vector = llvm::cast<llvm::FixedVectorType>(a->getType());
  llvm::Type* real = register_type(DType::Float64, vector->getNumElements());
  const auto to_real = [&](Value* v) {
    return is_signed ? builder_.CreateSIToFP(v, real) : builder_.CreateUIToFP(v, real);
  };
  Value* exact = builder_.CreateFDiv(to_real(a), to_real(b));
  return is_signed ? builder_.CreateFPToSI(exact, a->getType())
                   : builder_.CreateFPToUI(exact, a->getType());
}

Value* VectorEmitter::divide_wide(Value* a, Value* b) {
  // x86 divides 64-bit integers one at a time. Indices, which is what is mostly divided, fit in 32.
  llvm::Type* type = a->getType();
  llvm::Type* narrow = type->getWithNewBitWidth(32);
  const auto outside = [&](Value* v) {
    return builder_.CreateLShr(builder_.CreateAdd(v, integer(v, 0x80000000)), uint64_t{32});
  };
  Value* any = builder_.CreateOrReduce(builder_.CreateOr(outside(a), outside(b)));
  llvm::Function* function = builder_.GetInsertBlock()->getParent();
  auto* fast = llvm::BasicBlock::Create(builder_.getContext(), "divide32", function);
  auto* slow = llvm::BasicBlock::Create(builder_.getContext(), "divide64", function);
  auto* after = llvm::BasicBlock::Create(builder_.getContext(), "divided", function);
  builder_.CreateCondBr(builder_.CreateICmpEQ(any, builder_.getInt64(0)), fast, slow);
  builder_.SetInsertPoint(fast);
  Value* short_quotient = builder_.CreateSExt(
      divide_as_real(builder_.CreateTrunc(a, narrow), builder_.CreateTrunc(b, narrow), true), type);
  builder_.CreateBr(after);
  // One lane after the other, in a loop: this is rare, and 32 divisions in a row are much code.
  builder_.SetInsertPoint(slow);
  const unsigned lanes = llvm::cast<llvm::FixedVectorType>(type)->getNumElements();
  llvm::Type* i64 = builder_.getInt64Ty();
  llvm::IRBuilder<> entry(&function->getEntryBlock(), function->getEntryBlock().begin());
  llvm::AllocaInst* dividends = entry.CreateAlloca(type);
  llvm::AllocaInst* divisors = entry.CreateAlloca(type);
  builder_.CreateStore(a, dividends);
  builder_.CreateStore(b, divisors);
  auto* loop = llvm::BasicBlock::Create(builder_.getContext(), "lane", function, after);
  auto* finished = llvm::BasicBlock::Create(builder_.getContext(), "lanes", function, after);
  builder_.CreateBr(loop);
  builder_.SetInsertPoint(loop);
  llvm::PHINode* lane = builder_.CreatePHI(i64, 2);
  lane->addIncoming(builder_.getInt64(0), slow);
  Value* place = builder_.CreateGEP(i64, dividends, lane);
  builder_.CreateStore(
      builder_.CreateSDiv(builder_.CreateLoad(i64, place),
                          builder_.CreateLoad(i64, builder_.CreateGEP(i64, divisors, lane))),
      place);
  Value* next = builder_.CreateAdd(lane, builder_.getInt64(1));
  lane->addIncoming(next, loop);
  builder_.CreateCondBr(builder_.CreateICmpEQ(next, builder_.getInt64(lanes)), finished, loop);
  builder_.SetInsertPoint(finished);
  Value* long_quotient = builder_.CreateLoad(type, dividends);
  builder_.CreateBr(after);
  builder_.SetInsertPoint(after);
  llvm::PHINode* quotient = builder_.CreatePHI(type, 2);
  quotient->addIncoming(short_quotient, fast);
  quotient->addIncoming(long_quotient, finished);
  return quotient;
}

Value* VectorEmitter::multiply_high(Value* a, Value* b) {
  llvm::Type* type = a->getType();
  if (type->getScalarSizeInBits() == 32 || !type->isVectorTy()) {
    const unsigned width = type->getScalarSizeInBits();
    llvm::Type* wide = type->getWithNewBitWidth(2 * width);
    Value* product = builder_.CreateMul(builder_.CreateZExt(a, wide), builder_.CreateZExt(b, wide));
    return builder_.CreateTrunc(builder_.CreateLShr(product, width), type);
  }
  // Schoolbook on 32-bit digits: no sum below exceeds 64 bits.
  llvm::Constant* digit = integer(a, 0xffffffff);
  const auto low = [&](Value* v) { return builder_.CreateAnd(v, digit); };
  const auto high = [&](Value* v) { return builder_.CreateLShr(v, uint64_t{32}); };
  Value* middle = builder_.CreateAdd(builder_.CreateMul(high(a), low(b)),
                                     high(builder_.CreateMul(low(a), low(b))));
  Value* other = builder_.CreateAdd(builder_.CreateMul(low(a), high(b)), low(middle));
  return builder_.CreateAdd(builder_.CreateMul(high(a), high(b)),
                            builder_.CreateAdd(high(middle), high(other)));
}

Value* VectorEmitter::float_to_integer(Value* value, DType to) {
  const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(value->getType());
  const unsigned lanes = vector != nullptr ? vector->getNumElements() : 1;
  // Narrow integers are the low bits of what a wider one holds: int64 for uint8 (of a float32 that
  // int32 does not hold, these bits are 0 in any case), else int32.
  const bool is_double = value->getType()->getScalarSizeInBits() == 64;
  const DType narrow = is_double && to == DType::UInt8 ? DType::Int64 : DType::Int32;
  const DType wide = size_of(to) >= 4 ? to : narrow;
  const double limit = std::ldexp(1.0, static_cast<int>(8 * size_of(wide)) - 1);
  Value* inside =
      builder_.CreateFCmpOLT(builder_.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, value),
                             llvm::ConstantFP::get(value->getType(), limit));
  Value* safe =
      builder_.CreateSelect(inside, value, llvm::ConstantFP::get(value->getType(), -limit));
  Value* whole = builder_.CreateFPToSI(safe, register_type(wide, lanes));
  return builder_.CreateTrunc(whole, register_type(to, lanes));
}

Value* VectorEmitter::integer_to_half(Value* value, DType from, DType half) {
  const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(value->getType());
  const unsigned lanes = vector != nullptr ? vector->getNumElements() : 1;
  const bool is_signed = info(from).is_signed;
  if (half == DType::Float16 || size_of(from) <= 2) {
    // What float32 cannot hold exactly is beyond float16's range anyway.
    llvm::Type* single = register_type(DType::Float32, lanes);
    return round_to_half(
        is_signed ? builder_.CreateSIToFP(value, single) : builder_.CreateUIToFP(value, single),
        half);
  }
  if (from == DType::Int64) {
    // More digits than a double holds: those that are cut off leave a sticky one.
    Value* magnitude = binary(llvm::Intrinsic::abs, value, builder_.getFalse());
    Value* fits = builder_.CreateICmpULT(magnitude, integer(value, uint64_t{1} << 52));
    Value* cut = builder_.CreateAnd(value, integer(value, 0xfff));
    Value* sticky = builder_.CreateSelect(builder_.CreateICmpNE(cut, integer(value, 0)),
                                          integer(value, 0x800), integer(value, 0));
    Value* rounded =
        builder_.CreateOr(builder_.CreateAnd(value, integer(value, ~uint64_t{0xfff})), sticky);
    value = builder_.CreateSelect(fits, value, rounded);
  }
  Value* exact = builder_.CreateSIToFP(value, register_type(DType::Float64, lanes));
  return round_to_half(round_to_odd(exact), half);
}

llvm::Value* VectorEmitter::negated(Value* value) {
  Value* const negative = builder_.CreateFNeg(value);
  if (llvm::isa<llvm::Constant>(negative)) return negative;
  return builder_.CreateSelect(builder_.CreateFCmpUNO(value, value), value, negative);
}

Value* VectorEmitter::round_to_odd(Value* value) {
  // Truncated to float32 with a sticky last bit, so that rounding again to a shorter format gives
  // what rounding once would.
  const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(value->getType());
  const unsigned lanes = vector != nullptr ? vector->getNumElements() : 1;
  Value* nearest = builder_.CreateFPTrunc(value, register_type(DType::Float32, lanes));
  Value* back = builder_.CreateFPExt(nearest, value->getType());
  Value* bits = bits_of(nearest);
  Value* too_large = builder_.CreateFCmpOGT(unary(llvm::Intrinsic::fabs, back),
                                            unary(llvm::Intrinsic::fabs, value));
  Value* truncated = builder_.CreateSub(bits, builder_.CreateZExt(too_large, bits->getType()));
  Value* inexact = builder_.CreateFCmpONE(back, value);
  return float_of(builder_.CreateOr(truncated, builder_.CreateZExt(inexact, bits->getType())));
}

Value* VectorEmitter::round_to_half(Value* value, DType half) {
  const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(value->getType());
  const unsigned lanes = vector != nullptr ? vector->getNumElements() : 1;
  if (half == DType::Float16)
    return widened(builder_.CreateFPTrunc(value, memory_type(half, lanes)), value->getType());
  if (isa_ >= Isa::Avx512Bf16 && lanes >= kConvertedLanes)
    return from_memory(to_bfloat16(value), half);
  Value* bits = rounded_bits(value);
  return float_of(builder_.CreateAnd(bits, integer(bits, 0xffff0000)));
}

Value* VectorEmitter::rounded_bits(Value* value) {
  Value* bits = bits_of(value);
  Value* last = builder_.CreateAnd(builder_.CreateLShr(bits, uint64_t{16}), integer(bits, 1));
  Value* rounded = builder_.CreateAdd(bits, builder_.CreateAdd(last, integer(bits, 0x7fff)));
  // Rounding could carry a NaN's mantissa to infinity.
  Value* quiet = builder_.CreateOr(bits, integer(bits, 0x400000));
  return builder_.CreateSelect(builder_.CreateFCmpUNO(value, value), quiet, rounded);
}

Value* VectorEmitter::to_bfloat16(Value* value) {
  // The instruction rounds as rounded_bits() does, but makes denormal numbers zeros. So where
  // there is a zero, all are rounded again.
  Value* converted = to_bfloat16_or_zero(value);
  // Without signs; the least of two, for LLVM would make a comparison of each one of floats.
  const auto [low, high] = split_lanes(builder_.CreateShl(converted, uint64_t{1}));
  Value* is_zero = builder_.CreateIsNull(binary(llvm::Intrinsic::umin, low, high));
  llvm::BasicBlock* const before = builder_.GetInsertBlock();
  llvm::LLVMContext& context = builder_.getContext();
  auto* again = llvm::BasicBlock::Create(context, "zero", before->getParent());
  auto* after = llvm::BasicBlock::Create(context, "rounded", before->getParent());
  builder_.CreateCondBr(builder_.CreateOrReduce(is_zero), again, after,
                        llvm::MDBuilder(context).createUnlikelyBranchWeights());
  builder_.SetInsertPoint(again);
  Value* exact = high_halves(rounded_bits(value));
  builder_.CreateBr(after);
  builder_.SetInsertPoint(after);
  llvm::PHINode* const result = builder_.CreatePHI(converted->getType(), 2);
  result->addIncoming(converted, before);
  result->addIncoming(exact, again);
  return result;
}

Value* VectorEmitter::to_bfloat16_or_zero(Value* value) {
  const unsigned lanes = llvm::cast<llvm::FixedVectorType>(value->getType())->getNumElements();
  llvm::Type* type = memory_type(DType::BFloat16, lanes);
  const auto convert = [&](llvm::Intrinsic::ID instruction, llvm::ArrayRef<Value*> numbers) {
    return builder_.CreateBitCast(builder_.CreateIntrinsic(instruction, {}, numbers), type);
  };
  if (lanes == kConvertedLanes)
    return convert(llvm::Intrinsic::x86_avx512bf16_cvtneps2bf16_512, {value});
  const auto [low, high] = split_lanes(value);
  if (lanes == 2 * kConvertedLanes)
    return convert(llvm::Intrinsic::x86_avx512bf16_cvtne2ps2bf16_512, {high, low});
  SmallVector<int, 64> all;
  for (unsigned lane = 0; lane < lanes; ++lane) all.push_back(static_cast<int>(lane));
  return builder_.CreateShuffleVector(to_bfloat16_or_zero(low), to_bfloat16_or_zero(high),
                                      llvm::ArrayRef(all.data(), all.size()));
}

std::pair<Value*, Value*> VectorEmitter::split_lanes(Value* value) {
  const unsigned lanes = llvm::cast<llvm::FixedVectorType>(value->getType())->getNumElements();
  SmallVector<int, 64> all;
  for (unsigned lane = 0; lane < lanes; ++lane) all.push_back(static_cast<int>(lane));
  const llvm::ArrayRef<int> numbers(all.data(), all.size());
  return {builder_.CreateShuffleVector(value, numbers.take_front(lanes / 2)),
          builder_.CreateShuffleVector(value, numbers.drop_front(lanes / 2))};
}

Value* VectorEmitter::float_remainder(Value* x, Value* y) {
  // Long division of the mantissas, one bit a step, exact as fmod is.
  const bool single = x->getType()->getScalarSizeInBits() == 32;
  const unsigned mantissa_bits = single ? 23 : 52;
  const uint64_t bias = single ? 127 : 1023;
  Value* x_bits = bits_of(x);
  Value* y_bits = bits_of(y);
  llvm::Type* type = x_bits->getType();
  const auto number = [&](uint64_t v) { return llvm::ConstantInt::get(type, v); };
  const uint64_t hidden = uint64_t{1} << mantissa_bits;
  const uint64_t sign_bit = single ? 0x80000000 : 0x8000000000000000;
  Value* sign = builder_.CreateAnd(x_bits, number(sign_bit));
  Value* x_magnitude = builder_.CreateXor(x_bits, sign);
  Value* y_magnitude = builder_.CreateAnd(y_bits, number(sign_bit - 1));

  // value = mantissa * 2^(exponent - 1 - bias - mantissa_bits + 1), subnormals not normalised.
  struct Parts {
    Value* mantissa;
    Value* exponent;
  };
  const auto split = [&](Value* magnitude) -> Parts {
    Value* exponent = builder_.CreateLShr(magnitude, mantissa_bits);
    Value* fraction = builder_.CreateAnd(magnitude, number(hidden - 1));
    Value* subnormal = builder_.CreateICmpEQ(exponent, number(0));
    return {builder_.CreateSelect(subnormal, fraction, builder_.CreateOr(fraction, number(hidden))),
            builder_.CreateSelect(subnormal, number(1), exponent)};
  };
  const Parts px = split(x_magnitude);
  Parts py = split(y_magnitude);
  // The divisor is normalised, so that each step subtracts it at most once.
  Value* leading = binary(llvm::Intrinsic::ctlz, py.mantissa, builder_.getFalse());
  const unsigned width = single ? 32 : 64;
  Value* shift = builder_.CreateAnd(builder_.CreateSub(leading, number(width - 1 - mantissa_bits)),
                                    number(width - 1));
  py.mantissa = builder_.CreateShl(py.mantissa, shift);
  py.exponent = builder_.CreateSub(py.exponent, shift);

  Value* regular = builder_.CreateICmpUGE(x_magnitude, y_magnitude);
  Value* steps = builder_.CreateSelect(
      regular,
      binary(llvm::Intrinsic::smax, builder_.CreateSub(px.exponent, py.exponent), number(0)),
      number(0));
  Value* most = type->isVectorTy() ? builder_.CreateIntMaxReduce(steps, true) : steps;

  const auto subtract = [&](Value* rest) {
    return binary(llvm::Intrinsic::umin, rest, builder_.CreateSub(rest, py.mantissa));
  };
  llvm::Function* function = builder_.GetInsertBlock()->getParent();
  llvm::BasicBlock* before = builder_.GetInsertBlock();
  auto* loop = llvm::BasicBlock::Create(builder_.getContext(), "divide", function);
  auto* body = llvm::BasicBlock::Create(builder_.getContext(), "step", function);
  auto* after = llvm::BasicBlock::Create(builder_.getContext(), "divided", function);
  builder_.CreateBr(loop);
  builder_.SetInsertPoint(loop);
  llvm::PHINode* left = builder_.CreatePHI(most->getType(), 2);
  llvm::PHINode* rest = builder_.CreatePHI(type, 2);
  left->addIncoming(most, before);
  rest->addIncoming(px.mantissa, before);
  builder_.CreateCondBr(builder_.CreateICmpSGT(left, llvm::ConstantInt::get(most->getType(), 0)),
                        body, after);
  builder_.SetInsertPoint(body);
  Value* lane_left = type->isVectorTy()
                         ? splat(left, llvm::cast<llvm::FixedVectorType>(type)->getNumElements())
                         : left;
  Value* active = builder_.CreateICmpSLE(lane_left, steps);
  Value* next =
      builder_.CreateSelect(active, builder_.CreateShl(subtract(rest), uint64_t{1}), rest);
  left->addIncoming(builder_.CreateSub(left, llvm::ConstantInt::get(most->getType(), 1)), body);
  rest->addIncoming(next, body);
  builder_.CreateBr(loop);
  builder_.SetInsertPoint(after);

  // The result is rest * 2^scale, exact because it is a multiple of the smallest unit of y; the
  // power of two may not be a number itself, so it is applied in two halves.
  Value* scale = builder_.CreateSub(py.exponent, number(bias + mantissa_bits));
  Value* half = builder_.CreateAShr(scale, uint64_t{1});
  const auto power = [&](Value* exponent) {
    return float_of(builder_.CreateShl(builder_.CreateAdd(exponent, number(bias)), mantissa_bits));
  };
  Value* real = builder_.CreateSIToFP(subtract(rest), x->getType());
  real = builder_.CreateFMul(real, power(half));
  real = builder_.CreateFMul(real, power(builder_.CreateSub(scale, half)));
  real = float_of(builder_.CreateOr(bits_of(real), sign));
  real = builder_.CreateSelect(regular, real, x);

  // Of an infinity, by zero, and of or by NaN: NaN.
  const uint64_t infinity = sign_bit - hidden;
  Value* invalid =
      builder_.CreateOr(builder_.CreateICmpUGE(x_magnitude, number(infinity)),
                        builder_.CreateOr(builder_.CreateICmpEQ(y_magnitude, number(0)),
                                          builder_.CreateICmpUGT(y_magnitude, number(infinity))));
  return builder_.CreateSelect(invalid, llvm::ConstantFP::getNaN(x->getType()), real);
}

}  // namespace flambeau::codegen
