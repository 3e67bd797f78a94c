#include <llvm/IR/Constants.h>

#include "base/error.h"
#include "codegen/loop_control.h"
#include "codegen/target.h"

namespace flambeau::codegen {

using llvm::Value;

namespace {

/// Bytes from which a vector is worth a way past the caches: half of a line.
constexpr uint64_t kLeastNontemporal = kCacheLine / 2;

}  // namespace

Value* LoopCodegen::operand(const ir::IntOperand& operand) {
  return operand.is_slot ? slots_.at(static_cast<size_t>(operand.value)) : number(operand.value);
}

Value* LoopCodegen::scaled(Value* value, const ir::IntOperand& coefficient) {
  if (!coefficient.is_slot && coefficient.value == 1) return value;
  Value* factor = operand(coefficient);
  if (const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(value->getType()))
    factor = emitter_.splat(factor, vector->getNumElements());
  return builder_.CreateMul(value, factor);
}

LoopCodegen::Address LoopCodegen::address(const ir::LoopIndex& index) {
  Address result;
  result.scalar = operand(index.offset);
  const auto add = [&](Value* value) { result.scalar = builder_.CreateAdd(result.scalar, value); };
  // The innermost variable comes last, so that the sum of the others leaves its loop.
  const ir::LoopIndex::Term* across_lanes = nullptr;
  const auto add_any = [&](Value* value) {
    if (!value->getType()->isVectorTy()) {
      add(value);
    } else {
      result.dynamic =
          result.dynamic != nullptr ? builder_.CreateAdd(result.dynamic, value) : value;
    }
  };
  for (const auto& term : index.terms) {
    if (term.variable == lanes_.variable || term.variable == lanes_.digit) {
      require(across_lanes == nullptr, "codegen: two terms move with the lanes");
      across_lanes = &term;
      continue;
    }
    add_any(scaled(bound_.variables.at(static_cast<size_t>(term.variable)), term.coefficient));
  }
  for (const auto& term : index.dynamic) add_any(scaled(value_of(term.value), term.coefficient));
  if (across_lanes != nullptr) {
    const ir::IntOperand& coefficient = across_lanes->coefficient;
    if (coefficient.is_slot || coefficient.value != 0) {
      const bool is_digit = across_lanes->variable == lanes_.digit;
      add(scaled(is_digit ? lanes_.digit_first : lanes_.first, coefficient));
      result.stride = operand(coefficient);
      result.unit = !coefficient.is_slot && coefficient.value == 1;
      result.two = !coefficient.is_slot && coefficient.value == 2;
      result.back = !coefficient.is_slot && coefficient.value == -1;
    }
  }
  return result;
}

Value* LoopCodegen::lane_offsets(const Address& a) {
  Value* offsets = emitter_.splat(a.scalar, lanes_.count);
  if (a.stride != nullptr)
    offsets = builder_.CreateAdd(
        offsets,
        builder_.CreateMul(lane_numbers(lanes_.count), emitter_.splat(a.stride, lanes_.count)));
  if (a.dynamic != nullptr) offsets = builder_.CreateAdd(offsets, a.dynamic);
  return offsets;
}

Value* LoopCodegen::index_value(const Statement& s) {
  const Address a = address(s.index);
  if (a.contiguous()) first_of(s.result) = a.scalar;
  return a.varies() ? lane_offsets(a) : a.scalar;
}

Value* LoopCodegen::element_pointer(int buffer, Value* offset) {
  const auto at = static_cast<size_t>(buffer);
  return builder_.CreateGEP(emitter_.memory_type(program_.buffers.at(at).dtype),
                            bound_.buffers.at(at), offset);
}

Value* LoopCodegen::access_mask(Value* mask) {
  if (mask != nullptr) mask = emitter_.splat(mask, lanes_.count);
  if (lanes_.active == nullptr) return mask;
  return mask != nullptr ? builder_.CreateAnd(mask, active_mask()) : active_mask();
}

Value* LoopCodegen::masked_pointer(const Statement& s, Value* pointer) {
  Value* any = s.mask >= 0 ? any_lane(s.mask) : nullptr;
  if (any == nullptr) return pointer;
  return builder_.CreateSelect(any, pointer,
                               stack_slot(emitter_.memory_type(s.dtype, lanes_.count)));
}

bool LoopCodegen::has_native_mask(DType dtype) const {
  return isa_ >= Isa::Avx512 || size_of(dtype) >= 4;
}

namespace {

llvm::Align alignment_of(DType dtype) { return llvm::Align(size_of(dtype)); }

/// LLVM knows masked accesses of integers of every width that the machine does.
llvm::Type* maskable(llvm::IRBuilder<>& builder, llvm::Type* type) {
  if (!type->getScalarType()->isHalfTy()) return type;
  return type->getWithNewType(builder.getInt16Ty());
}

}  // namespace

// ---- loads
// ---------------------------------------------------------------------------------------

Value* LoopCodegen::load(const Statement& s) {
  if (analysis_.is_transposed(s)) return load_from_tile(s);
  const Address a = address(s.index);
  Value* mask = s.mask >= 0 ? value_of(s.mask) : nullptr;
  if (!a.varies()) return load_uniform(s, a, mask);
  Value* raw = nullptr;
  if (a.contiguous())
    raw = load_contiguous(s, masked_pointer(s, element_pointer(s.buffer, a.scalar)), mask);
  else if (a.alternates() && access_mask(mask) == nullptr)
    raw = load_alternate(s, element_pointer(s.buffer, a.scalar));
  else if (a.descends() && (access_mask(mask) == nullptr || has_native_mask(s.dtype)))
    raw = load_descending(s, a.scalar, mask);
  else
    raw = gather(s, a, mask);
  return emitter_.from_memory(raw, s.dtype);
}

Value* LoopCodegen::load_uniform(const Statement& s, const Address& a, Value* mask) {
  llvm::Type* type = emitter_.memory_type(s.dtype);
  Value* pointer = element_pointer(s.buffer, a.scalar);
  if (mask == nullptr)
    return emitter_.from_memory(builder_.CreateAlignedLoad(type, pointer, alignment_of(s.dtype)),
                                s.dtype);
  llvm::AllocaInst* slot = stack_slot(type);
  builder_.CreateStore(llvm::Constant::getNullValue(type), slot);
  const bool by_lane = mask->getType()->isVectorTy();
  Value* lanes = by_lane ? access_mask(mask) : mask;
  if_then(by_lane ? builder_.CreateOrReduce(lanes) : lanes, [&] {
    builder_.CreateStore(builder_.CreateAlignedLoad(type, pointer, alignment_of(s.dtype)), slot);
  });
  Value* value = emitter_.from_memory(builder_.CreateLoad(type, slot), s.dtype);
  if (!by_lane) return value;
  value = emitter_.splat(value, lanes_.count);
  return builder_.CreateSelect(mask, value, llvm::Constant::getNullValue(value->getType()));
}

Value* LoopCodegen::load_contiguous(const Statement& s, Value* pointer, Value* mask) {
  llvm::Type* type = emitter_.memory_type(s.dtype, lanes_.count);
  Value* lanes = access_mask(mask);
  if (lanes == nullptr) return builder_.CreateAlignedLoad(type, pointer, alignment_of(s.dtype));
  llvm::Constant* zero = llvm::Constant::getNullValue(maskable(builder_, type));
  if (has_native_mask(s.dtype)) {
    Value* raw =
        builder_.CreateMaskedLoad(zero->getType(), pointer, alignment_of(s.dtype), lanes, zero);
    return builder_.CreateBitCast(raw, type);
  }
  // No masked load of bytes and words: the elements go through the stack one by one.
  llvm::Type* element = emitter_.memory_type(s.dtype);
  llvm::AllocaInst* copy = stack_slot(zero->getType());
  builder_.CreateStore(zero, copy);
  llvm::AllocaInst* wanted = nullptr;
  llvm::Type* byte = builder_.getInt8Ty();
  if (mask != nullptr) {
    wanted = stack_slot(emitter_.memory_type(DType::Bool, lanes_.count));
    builder_.CreateStore(emitter_.to_memory(emitter_.splat(mask, lanes_.count), DType::Bool),
                         wanted);
  }
  Value* end = lanes_.active != nullptr ? lanes_.active : number(lanes_.count);
  counted_loop(number(0), end, 1, [&](Value* i) {
    const auto move = [&] {
      Value* value = builder_.CreateAlignedLoad(element, builder_.CreateGEP(element, pointer, i),
                                                alignment_of(s.dtype));
      builder_.CreateAlignedStore(value, builder_.CreateGEP(element, copy, i),
                                  alignment_of(s.dtype));
    };
    if (wanted == nullptr) {
      move();
      return;
    }
    Value* flag = builder_.CreateLoad(byte, builder_.CreateGEP(byte, wanted, i));
    if_then(builder_.CreateICmpNE(flag, builder_.getInt8(0)), move);
  });
  return builder_.CreateLoad(type, copy);
}

Value* LoopCodegen::load_alternate(const Statement& s, Value* pointer) {
  // Two vectors, of which the second one ends with the last element that is wanted: the one behind
  // it may not exist.
  const auto lanes = static_cast<int>(lanes_.count);
  llvm::Type* element = emitter_.memory_type(s.dtype);
  llvm::Type* type = emitter_.memory_type(s.dtype, lanes_.count);
  Value* low = builder_.CreateAlignedLoad(type, pointer, alignment_of(s.dtype));
  Value* second = builder_.CreateGEP(element, pointer, number(lanes - 1));
  Value* high = builder_.CreateAlignedLoad(type, second, alignment_of(s.dtype));
  SmallVector<int, 64> indices;
  for (int place = 0; place < 2 * lanes; place += 2)
    indices.push_back(place < lanes ? place : lanes + place - (lanes - 1));
  return builder_.CreateShuffleVector(low, high, llvm::ArrayRef(indices.data(), indices.size()));
}

Value* LoopCodegen::load_descending(const Statement& s, Value* scalar, Value* mask) {
  Value* last = number(static_cast<int64_t>(lanes_.count) - 1);
  Value* pointer = element_pointer(s.buffer, builder_.CreateSub(scalar, last));
  llvm::Type* type = emitter_.memory_type(s.dtype, lanes_.count);
  if (Value* lanes = access_mask(mask)) {
    llvm::Constant* zero = llvm::Constant::getNullValue(maskable(builder_, type));
    pointer = masked_pointer(s, pointer);
    Value* raw = builder_.CreateMaskedLoad(zero->getType(), pointer, alignment_of(s.dtype),
                                           builder_.CreateVectorReverse(lanes), zero);
    return builder_.CreateVectorReverse(builder_.CreateBitCast(raw, type));
  }
  return builder_.CreateVectorReverse(
      builder_.CreateAlignedLoad(type, pointer, alignment_of(s.dtype)));
}

Value* LoopCodegen::gather(const Statement& s, const Address& a, Value* mask) {
  llvm::Type* type = emitter_.memory_type(s.dtype, lanes_.count);
  llvm::Type* element = emitter_.memory_type(s.dtype);
  if (size_of(s.dtype) >= 4) {
    Value* pointers = element_pointer(s.buffer, lane_offsets(a));
    return builder_.CreateMaskedGather(type, pointers, alignment_of(s.dtype), access_mask(mask),
                                       llvm::Constant::getNullValue(type));
  }
  Value* result = llvm::PoisonValue::get(type);
  const auto take = [&](unsigned lane, Value* pointer) {
    Value* value = builder_.CreateAlignedLoad(element, pointer, alignment_of(s.dtype));
    result = builder_.CreateInsertElement(result, value, uint64_t{lane});
  };
  if (a.dynamic == nullptr && mask == nullptr) {
    // Idle lanes read the last active one's element.
    Value* last = lanes_.active != nullptr ? builder_.CreateSub(lanes_.active, number(1)) : nullptr;
    for (unsigned lane = 0; lane < lanes_.count; ++lane) {
      Value* at = number(lane);
      if (last != nullptr) at = builder_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, at, last);
      Value* offset = builder_.CreateAdd(a.scalar, builder_.CreateMul(at, a.stride));
      take(lane, element_pointer(s.buffer, offset));
    }
    return result;
  }
  // Lanes that must not read are sent to a zero on the stack.
  Value* pointers = element_pointer(s.buffer, lane_offsets(a));
  if (Value* lanes = access_mask(mask)) {
    llvm::AllocaInst* zero = stack_slot(element);
    builder_.CreateStore(llvm::Constant::getNullValue(element), zero);
    pointers =
        builder_.CreateSelect(lanes, pointers, builder_.CreateVectorSplat(lanes_.count, zero));
  }
  for (unsigned lane = 0; lane < lanes_.count; ++lane)
    take(lane, builder_.CreateExtractElement(pointers, uint64_t{lane}));
  return result;
}

void LoopCodegen::fetch_next_row(const Statement& pass) {
  if (lanes_.active != nullptr) return;
  for (const RowStream& stream : streams_) {
    if (stream.pass != &pass) continue;
    ir::LoopIndex index = stream.access->index;
    for (auto& term : index.terms)
      if (term.variable == stream.of->variable) term.variable = pass.variable;
    const Address a = address(index);
    if (!a.contiguous()) continue;
    Value* at = a.scalar;
    for (int row = 0; row < stream.ahead; ++row) at = builder_.CreateAdd(at, operand(stream.step));
    Value* next = element_pointer(stream.access->buffer, at);
    const uint64_t bytes = size_of(stream.access->dtype) * lanes_.count;
    const bool writes = stream.access->kind == ir::StatementKind::Store;
    const auto fetch = [&] {
      for (uint64_t line = 0; line < bytes; line += kCacheLine)
        prefetch(builder_, builder_.CreateConstGEP1_64(builder_.getInt8Ty(), next, line), writes);
    };
    writes&& stream.access->slot >= 0 ? if_then(builder_.CreateNot(past_caches_), fetch) : fetch();
  }
}

// ---- stores
// --------------------------------------------------------------------------------------

void LoopCodegen::store(const Statement& s) {
  const Address a = address(s.index);
  Value* mask = s.mask >= 0 ? value_of(s.mask) : nullptr;
  Value* value = emitter_.convert(value_of(s.arguments[0]), dtype_of(s.arguments[0]), s.dtype);
  const bool uniform = !a.varies() && !value->getType()->isVectorTy() &&
                       (mask == nullptr || !mask->getType()->isVectorTy());
  if (uniform) {
    const auto write = [&] {
      builder_.CreateAlignedStore(emitter_.to_memory(value, s.dtype),
                                  element_pointer(s.buffer, a.scalar), alignment_of(s.dtype));
    };
    mask != nullptr ? if_then(mask, write) : write();
    return;
  }
  value = emitter_.to_memory(emitter_.splat(value, lanes_.count), s.dtype);
  if (a.contiguous())
    store_contiguous(s.dtype, value, masked_pointer(s, element_pointer(s.buffer, a.scalar)), mask);
  else if (a.alternates() && isa_ >= Isa::Avx512 && access_mask(mask) == nullptr)
    store_alternate(s.dtype, value, element_pointer(s.buffer, a.scalar));
  else
    scatter(s, a, value, mask);
}

LoopCodegen::Statements LoopCodegen::take_whole_stores(const Statement& loop, unsigned lanes,
                                                       Statements& body) {
  Statements stores;
  if (!loop.digits.empty()) return stores;
  const auto counts_up = [&](const ir::LoopIndex& index) {
    int64_t step = 0;
    for (const auto& term : index.terms)
      if (term.variable == loop.variable)
        step += term.coefficient.is_slot ? 2 : term.coefficient.value;
    return step == 1 && index.dynamic.empty();
  };
  std::erase_if(body, [&](const Statement* s) {
    const bool is_whole = s->kind == ir::StatementKind::Store && s->slot >= 0 && s->mask < 0 &&
                          counts_up(s->index) && lanes * size_of(s->dtype) >= kLeastNontemporal;
    if (is_whole) stores.push_back(s);
    return is_whole;
  });
  return stores;
}

Value* LoopCodegen::go_past_caches(const Statements& stores, const Statement& loop, unsigned lanes,
                                   Value* begin) {
  Value* past = past_caches_;
  lanes_ = {lanes, loop.variable, begin};
  for (const Statement* s : stores) {
    Value* place = builder_.CreatePtrToInt(element_pointer(s->buffer, address(s->index).scalar),
                                           builder_.getInt64Ty());
    Value* over = builder_.CreateAnd(place, builder_.getInt64(kCacheLine - 1));
    past = builder_.CreateAnd(past, builder_.CreateICmpEQ(over, number(0)));
  }
  lanes_ = {};
  return past;
}

void LoopCodegen::store_whole(const Statements& stores, Value* past) {
  struct Written {
    Value *value, *pointer;
    const Statement* statement;
  };
  SmallVector<Written, 4> all;
  for (const Statement* s : stores) {
    Value* value = emitter_.convert(value_of(s->arguments[0]), dtype_of(s->arguments[0]), s->dtype);
    all.push_back({emitter_.to_memory(emitter_.splat(value, lanes_.count), s->dtype),
                   element_pointer(s->buffer, address(s->index).scalar), s});
  }
  llvm::MDNode* const nontemporal =
      llvm::MDNode::get(builder_.getContext(), llvm::ConstantAsMetadata::get(builder_.getInt32(1)));
  if_else(
      past,
      [&] {
        for (const auto& [value, pointer, s] : all) {
          const uint64_t bytes = std::min(lanes_.count * size_of(s->dtype), kCacheLine);
          builder_.CreateAlignedStore(value, pointer, llvm::Align(bytes))
              ->setMetadata(llvm::LLVMContext::MD_nontemporal, nontemporal);
        }
      },
      [&] {
        for (const auto& [value, pointer, s] : all)
          store_contiguous(s->dtype, value, pointer, nullptr);
      });
}

void LoopCodegen::store_contiguous(DType dtype, Value* value, Value* pointer, Value* mask) {
  Value* lanes = access_mask(mask);
  if (lanes == nullptr) {
    builder_.CreateAlignedStore(value, pointer, alignment_of(dtype));
    return;
  }
  if (has_native_mask(dtype)) {
    value = builder_.CreateBitCast(value, maskable(builder_, value->getType()));
    builder_.CreateMaskedStore(value, pointer, alignment_of(dtype), lanes);
    return;
  }
  llvm::Type* element = emitter_.memory_type(dtype);
  llvm::Type* byte = builder_.getInt8Ty();
  llvm::AllocaInst* copy = stack_slot(value->getType());
  builder_.CreateStore(value, copy);
  llvm::AllocaInst* wanted = nullptr;
  if (mask != nullptr) {
    wanted = stack_slot(emitter_.memory_type(DType::Bool, lanes_.count));
    builder_.CreateStore(emitter_.to_memory(emitter_.splat(mask, lanes_.count), DType::Bool),
                         wanted);
  }
  Value* end = lanes_.active != nullptr ? lanes_.active : number(lanes_.count);
  counted_loop(number(0), end, 1, [&](Value* i) {
    const auto move = [&] {
      Value* one = builder_.CreateAlignedLoad(element, builder_.CreateGEP(element, copy, i),
                                              alignment_of(dtype));
      builder_.CreateAlignedStore(one, builder_.CreateGEP(element, pointer, i),
                                  alignment_of(dtype));
    };
    if (wanted == nullptr) {
      move();
      return;
    }
    Value* flag = builder_.CreateLoad(byte, builder_.CreateGEP(byte, wanted, i));
    if_then(builder_.CreateICmpNE(flag, builder_.getInt8(0)), move);
  });
}

void LoopCodegen::store_alternate(DType dtype, Value* value, Value* pointer) {
  SmallVector<int, 128> indices;
  SmallVector<llvm::Constant*, 128> wanted;
  for (unsigned lane = 0; lane < lanes_.count; ++lane) {
    indices.push_back(static_cast<int>(lane));
    indices.push_back(llvm::PoisonMaskElem);
    wanted.push_back(builder_.getTrue());
    wanted.push_back(builder_.getFalse());
  }
  value = builder_.CreateBitCast(value, maskable(builder_, value->getType()));
  Value* spread =
      builder_.CreateShuffleVector(value, llvm::ArrayRef(indices.data(), indices.size()));
  builder_.CreateMaskedStore(
      spread, pointer, alignment_of(dtype),
      llvm::ConstantVector::get(llvm::ArrayRef(wanted.data(), wanted.size())));
}

void LoopCodegen::scatter(const Statement& s, const Address& a, Value* value, Value* mask) {
  llvm::Type* element = emitter_.memory_type(s.dtype);
  Value* lanes = access_mask(mask);
  if (isa_ >= Isa::Avx512 && size_of(s.dtype) >= 4) {
    builder_.CreateMaskedScatter(value, element_pointer(s.buffer, lane_offsets(a)),
                                 alignment_of(s.dtype), lanes);
    return;
  }
  if (lanes == nullptr) {
    Value* offsets = a.dynamic != nullptr ? lane_offsets(a) : nullptr;
    for (unsigned lane = 0; lane < lanes_.count; ++lane) {
      Value* offset = a.scalar;
      if (offsets != nullptr)
        offset = builder_.CreateExtractElement(offsets, uint64_t{lane});
      else if (a.stride != nullptr)
        offset = builder_.CreateAdd(offset, builder_.CreateMul(number(lane), a.stride));
      builder_.CreateAlignedStore(builder_.CreateExtractElement(value, uint64_t{lane}),
                                  element_pointer(s.buffer, offset), alignment_of(s.dtype));
    }
    return;
  }
  llvm::Type* i64 = builder_.getInt64Ty();
  llvm::Type* byte = builder_.getInt8Ty();
  const auto spill = [&](Value* v) {
    llvm::AllocaInst* slot = stack_slot(v->getType());
    builder_.CreateStore(v, slot);
    return slot;
  };
  llvm::AllocaInst* values = spill(value);
  llvm::AllocaInst* offsets = spill(lane_offsets(a));
  llvm::AllocaInst* wanted = spill(emitter_.to_memory(lanes, DType::Bool));
  counted_loop(number(0), number(lanes_.count), 1, [&](Value* i) {
    Value* flag = builder_.CreateLoad(byte, builder_.CreateGEP(byte, wanted, i));
    if_then(builder_.CreateICmpNE(flag, builder_.getInt8(0)), [&] {
      Value* one = builder_.CreateAlignedLoad(element, builder_.CreateGEP(element, values, i),
                                              alignment_of(s.dtype));
      Value* offset = builder_.CreateLoad(i64, builder_.CreateGEP(i64, offsets, i));
      builder_.CreateAlignedStore(one, element_pointer(s.buffer, offset), alignment_of(s.dtype));
    });
  });
}

}  // namespace flambeau::codegen
