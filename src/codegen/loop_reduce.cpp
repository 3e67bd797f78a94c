// Reductions in the fixed order of ir/interpreter.h.

#include <llvm/IR/Constants.h>

#include <algorithm>
#include <bit>

#include "base/error.h"
#include "codegen/loop_control.h"
#include "codegen/row_accumulator.h"
#include "codegen/target.h"
#include "ir/interpreter.h"

namespace flambeau::codegen {

using ir::LoopMark;
using ir::StatementKind;
using llvm::Value;

namespace {

constexpr int64_t kBlock = ir::kReduceBlock;
constexpr unsigned kLanes = static_cast<unsigned>(ir::kReduceLanes);
constexpr unsigned kMostLanes = 2 * kLanes;
/// Operations for each element from which on a pass waits for its own chains of them.
constexpr int kLongPass = 32;
/// From here on it waits even so: twice as many steps go side by side where there are 32 registers.
constexpr int kLongestPass = 80;
constexpr int kBlockShift = std::countr_zero(static_cast<uint64_t>(kBlock));
/// Levels of the tree: enough for 2^64 elements.
constexpr uint64_t kLevels = 64;

}  // namespace

Value* LoopCodegen::combine(const Statement& s, Value* a, Value* b) {
  return emitter_.combine(*s.primitive->combine, s.dtype, a, b);
}

Value* LoopCodegen::identity_of(const Statement& s) {
  return emitter_.element(s.dtype, ir::container_of(s.dtype, s.primitive->identity(s.dtype)));
}

Value* LoopCodegen::reduce(const Statement& s) {
  require(s.primitive != nullptr && s.primitive->combine.has_value() && !is_half(s.dtype),
          "codegen: this statement cannot be reduced");
  Value* extent = s.extent_value >= 0 ? value_of(s.extent_value) : operand(s.extent);
  const bool in_lanes = lanes_.variable >= 0 && varies(s.result);
  llvm::AllocaInst* result =
      stack_slot(emitter_.register_type(s.dtype, in_lanes ? lanes_.count : 1));
  builder_.CreateStore(emitter_.splat(identity_of(s), in_lanes ? lanes_.count : 1), result);
  // Under this test loads that the body does not repeat can be done first.
  if_then(builder_.CreateICmpSGT(extent, number(0)), [&] {
    if (s.order == ir::ReduceOrder::Tree)
      reduce_tree(s, extent, result);
    else if (s.mark == LoopMark::Vector && !s.extent.is_slot && s.extent_value < 0 &&
             s.digits.empty() && s.extent.value <= kLanes)
      builder_.CreateStore(reduce_short_row(s, s.extent.value), result);
    else if (s.mark == LoopMark::Vector)
      emit_passes({{RowPass{&s, nullptr, result}}}, extent);
    else
      reduce_in_lanes(s, extent, result);
  });
  return builder_.CreateLoad(result->getAllocatedType(), result);
}

unsigned LoopCodegen::lanes_of_pass(const Statement& s) const {
  const unsigned lanes = choose_lanes(s, analysis_, register_bytes(isa_));
  if (s.kind != StatementKind::Reduce) return lanes;
  // Steps side by side, which are added one after the other.
  const int operations = count_core_ops(s.body, analysis_);
  if (operations >= kLongestPass && isa_ >= Isa::Avx512 && lanes >= kMostLanes)
    return 2 * kMostLanes;
  return operations >= kLongPass ? std::clamp(lanes, kLanes, kMostLanes) : kLanes;
}

void LoopCodegen::emit_passes(std::span<const RowPass> passes, Value* extent) {
  struct Open {
    const RowPass& of;
    std::optional<RowAccumulator> accumulator;
    llvm::AllocaInst* tree = nullptr;
    Statements body;
    Digits digits;
    // Of a vector loop: the stores that may go past the caches, and the body without them.
    Statements stores = {};
    Statements before = {};
    Value* past = nullptr;
  };
  Value* several = builder_.CreateICmpSGT(extent, number(kBlock));
  Value* blocks = builder_.CreateAShr(builder_.CreateAdd(extent, number(kBlock - 1)),
                                      static_cast<uint64_t>(kBlockShift));
  unsigned wide = kLanes;
  for (const RowPass& pass : passes) wide = std::max(wide, lanes_of_pass(*pass.s));
  std::vector<Open> all;
  for (const RowPass& of : passes) {
    const Statement& s = *of.s;
    Open& open = all.emplace_back(Open{of, {}, nullptr, {}, {}});
    if (of.result != nullptr) {
      open.accumulator.emplace(builder_, emitter_, isa_, *s.primitive->combine, s.dtype,
                               identity_of(s), [&](llvm::Type* type) { return stack_slot(type); });
      open.tree = stack_slot(emitter_.register_type(s.dtype), kLevels);
    }
    Statements invariant;
    split_invariant(s, invariant, open.body);
    in_row(of.row, [&] {
      emit_all(invariant);
      if (of.result != nullptr) return;
      open.before = open.body;
      open.stores = take_whole_stores(s, wide, open.before);
      if (!open.stores.empty()) open.past = go_past_caches(open.stores, s, wide, number(0));
    });
    open.digits = open_digits(s);
  }

  const auto step = [&](unsigned count, Value* first, Value* active, Value* begin) {
    for (Open& open : all) {
      const Statement& s = *open.of.s;
      const auto emit_step = [&] {
        lanes_ = {count, s.variable, first, active};
        emit_lanes(s, open.digits, begin, [&] {
          fetch_next_row(s);
          if (open.past != nullptr && count == wide && active == nullptr) {
            emit_all(open.before);
            store_whole(open.stores, open.past);
          } else {
            emit_all(open.body);
          }
          if (!open.accumulator) return;
          Value* values = emitter_.splat(value_of(s.yield), count);
          for (unsigned lane = 0; lane < count; lane += kLanes)
            open.accumulator->add(part_of(builder_, values, lane, kLanes),
                                  active != nullptr ? active_mask() : nullptr);
        });
        lanes_ = {};
      };
      in_row(open.of.row,
             [&] { open.of.runs != nullptr ? if_then(open.of.runs, emit_step) : emit_step(); });
    }
  };
  counted_loop(number(0), blocks, 1, [&](Value* block) {
    Value* first = builder_.CreateShl(block, static_cast<uint64_t>(kBlockShift));
    Value* length = builder_.CreateBinaryIntrinsic(
        llvm::Intrinsic::smin, builder_.CreateSub(extent, first), number(kBlock));
    Value* idle = builder_.CreateAnd(length, number(kLanes - 1));
    Value* main_end = builder_.CreateAdd(first, builder_.CreateSub(length, idle));
    for (Open& open : all)
      if (open.accumulator) open.accumulator->begin();
    Value* narrow = first;
    if (wide > kLanes) {
      Value* left = builder_.CreateAnd(length, number(wide - 1));
      narrow = builder_.CreateAdd(first, builder_.CreateSub(length, left));
      counted_loop(first, narrow, wide, [&](Value* i) { step(wide, i, nullptr, first); });
    }
    counted_loop(narrow, main_end, kLanes, [&](Value* i) { step(kLanes, i, nullptr, first); });
    if_then(builder_.CreateICmpNE(idle, number(0)),
            [&] { step(kLanes, main_end, idle, main_end); });
    for (Open& open : all) {
      if (!open.accumulator) continue;
      Value* block_result = open.accumulator->finish();
      builder_.CreateStore(block_result, open.of.result);
      if_then(several, [&] { push(*open.of.s, open.tree, block, block_result); });
    }
  });
  if_then(several, [&] {
    for (Open& open : all)
      if (open.accumulator)
        builder_.CreateStore(fold(*open.of.s, open.tree, blocks), open.of.result);
  });
}

Value* LoopCodegen::reduce_short_row(const Statement& s, int64_t extent) {
  Statements invariant, rest;
  split_invariant(s, invariant, rest);
  emit_all(invariant);
  // Lanes without an element hold the identity and change nothing: only the first power of two
  // that covers the others takes part.
  const unsigned used = std::bit_ceil(static_cast<unsigned>(extent));
  Value* identity = emitter_.splat(identity_of(s), used);
  if (used == 1) {
    bound_.variables[static_cast<size_t>(s.variable)] = number(0);
    emit_all(rest);
    return combine(s, identity, value_of(s.yield));
  }
  lanes_ = {used, s.variable, number(0), used > extent ? number(extent) : nullptr};
  fetch_next_row(s);
  emit_all(rest);
  Value* sum = combine(s, identity, emitter_.splat(value_of(s.yield), used));
  if (lanes_.active != nullptr) sum = builder_.CreateSelect(active_mask(), sum, identity);
  lanes_ = {};
  return halve_lanes(builder_, sum, [&](Value* a, Value* b) { return combine(s, a, b); });
}

void LoopCodegen::reduce_in_lanes(const Statement& s, Value* extent, Value* result) {
  const bool vectors = lanes_.variable >= 0 && varies(s.result);
  const unsigned width = vectors ? lanes_.count : 1;
  // Bool as bytes: a vector of bits in memory would be packed and unpacked at each step.
  const DType kept = is_bool(s.dtype) ? DType::UInt8 : s.dtype;
  llvm::Type* type = emitter_.register_type(kept, width);
  llvm::AllocaInst* accumulators = stack_slot(type, kLanes);
  llvm::AllocaInst* tree = stack_slot(emitter_.register_type(s.dtype, width), kLevels);
  Value* identity = emitter_.convert(identity_of(s), s.dtype, kept);
  Value* several = builder_.CreateICmpSGT(extent, number(kBlock));
  Value* blocks = builder_.CreateAShr(builder_.CreateAdd(extent, number(kBlock - 1)),
                                      static_cast<uint64_t>(kBlockShift));
  Statements invariant, rest;
  split_invariant(s, invariant, rest);
  emit_all(invariant);
  const Digits digits = open_digits(s);

  counted_loop(number(0), blocks, 1, [&](Value* block) {
    Value* first = builder_.CreateShl(block, static_cast<uint64_t>(kBlockShift));
    Value* length = builder_.CreateBinaryIntrinsic(
        llvm::Intrinsic::smin, builder_.CreateSub(extent, first), number(kBlock));
    // Lanes without an element hold the identity and change nothing: only the first power of two
    // that covers the others takes part.
    Value* filled = builder_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, length, number(kLanes));
    Value* leading = builder_.CreateBinaryIntrinsic(
        llvm::Intrinsic::ctlz, builder_.CreateSub(filled, number(1)), builder_.getFalse());
    Value* used = builder_.CreateShl(
        number(1), builder_.CreateAnd(builder_.CreateSub(number(64), leading), number(63)));
    counted_loop(number(0), used, 1, [&](Value* j) {
      builder_.CreateStore(emitter_.splat(identity, width),
                           builder_.CreateGEP(type, accumulators, j));
    });
    counted_loop(number(0), length, 1, [&](Value* row) {
      Value* i = builder_.CreateAdd(first, row);
      bound_.variables[static_cast<size_t>(s.variable)] = i;
      set_digits(s, digits, i, first);
      emit_all(rest);
      Value* at =
          builder_.CreateGEP(type, accumulators, builder_.CreateAnd(row, number(kLanes - 1)));
      Value* old = emitter_.convert(builder_.CreateLoad(type, at), kept, s.dtype);
      Value* sum = combine(s, old, emitter_.splat(value_of(s.yield), width));
      builder_.CreateStore(emitter_.convert(sum, s.dtype, kept), at);
    });
    Value* block_result = emitter_.convert(halve_stack(s, accumulators, used), kept, s.dtype);
    builder_.CreateStore(block_result, result);
    if_then(several, [&] { push(s, tree, block, block_result); });
  });
  if_then(several, [&] { builder_.CreateStore(fold(s, tree, blocks), result); });
}

Value* LoopCodegen::halve_stack(const Statement& s, Value* accumulators, Value* used) {
  llvm::Type* type = llvm::cast<llvm::AllocaInst>(accumulators)->getAllocatedType();
  const DType kept = is_bool(s.dtype) ? DType::UInt8 : s.dtype;
  llvm::Type* i64 = builder_.getInt64Ty();
  llvm::AllocaInst* half = stack_slot(i64);
  builder_.CreateStore(builder_.CreateLShr(used, uint64_t{1}), half);
  while_loop([&] { return builder_.CreateICmpSGT(builder_.CreateLoad(i64, half), number(0)); },
             [&] {
               Value* distance = builder_.CreateLoad(i64, half);
               counted_loop(number(0), distance, 1, [&](Value* j) {
                 Value* low = builder_.CreateGEP(type, accumulators, j);
                 Value* high =
                     builder_.CreateGEP(type, accumulators, builder_.CreateAdd(j, distance));
                 Value* a = emitter_.convert(builder_.CreateLoad(type, low), kept, s.dtype);
                 Value* b = emitter_.convert(builder_.CreateLoad(type, high), kept, s.dtype);
                 builder_.CreateStore(emitter_.convert(combine(s, a, b), s.dtype, kept), low);
               });
               builder_.CreateStore(builder_.CreateLShr(distance, uint64_t{1}), half);
             });
  return builder_.CreateLoad(type, accumulators);
}

void LoopCodegen::reduce_tree(const Statement& s, Value* extent, Value* result) {
  llvm::Type* type = llvm::cast<llvm::AllocaInst>(result)->getAllocatedType();
  llvm::AllocaInst* tree = stack_slot(type, kLevels);
  const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(type);
  const Digits digits = open_digits(s);
  counted_loop(number(0), extent, 1, [&](Value* i) {
    bound_.variables[static_cast<size_t>(s.variable)] = i;
    set_digits(s, digits, i, number(0));
    emit_body(s.body);
    push(s, tree, i,
         emitter_.splat(value_of(s.yield), vector != nullptr ? vector->getNumElements() : 1));
  });
  builder_.CreateStore(fold(s, tree, extent), result);
}

void LoopCodegen::push(const Statement& s, Value* tree, Value* number_of_block, Value* value) {
  llvm::Type* type = value->getType();
  llvm::Type* i64 = builder_.getInt64Ty();
  llvm::AllocaInst* carried = stack_slot(type);
  llvm::AllocaInst* level = stack_slot(i64);
  builder_.CreateStore(value, carried);
  builder_.CreateStore(number_of_block, level);
  // The stack holds one entry for each bit set in the number of blocks pushed so far. A bit that
  // carries combines the two blocks' trees that it stood between.
  const auto depth = [&] {
    return builder_.CreateUnaryIntrinsic(llvm::Intrinsic::ctpop, builder_.CreateLoad(i64, level));
  };
  while_loop(
      [&] { return builder_.CreateTrunc(builder_.CreateLoad(i64, level), builder_.getInt1Ty()); },
      [&] {
        Value* top = builder_.CreateGEP(type, tree, builder_.CreateSub(depth(), number(1)));
        Value* sum = combine(s, builder_.CreateLoad(type, top), builder_.CreateLoad(type, carried));
        builder_.CreateStore(sum, carried);
        builder_.CreateStore(builder_.CreateLShr(builder_.CreateLoad(i64, level), uint64_t{1}),
                             level);
      });
  // The zeros below the bit that stopped the carry count nothing: depth() is the entry's place.
  builder_.CreateStore(builder_.CreateLoad(type, carried), builder_.CreateGEP(type, tree, depth()));
}

Value* LoopCodegen::fold(const Statement& s, Value* tree, Value* count) {
  llvm::Type* type = llvm::cast<llvm::AllocaInst>(tree)->getAllocatedType();
  llvm::Type* i64 = builder_.getInt64Ty();
  llvm::AllocaInst* total = stack_slot(type);
  llvm::AllocaInst* left = stack_slot(i64);
  const auto entry = [&](Value* at) {
    return builder_.CreateLoad(type, builder_.CreateGEP(type, tree, at));
  };
  Value* last =
      builder_.CreateSub(builder_.CreateUnaryIntrinsic(llvm::Intrinsic::ctpop, count), number(1));
  builder_.CreateStore(entry(last), total);
  builder_.CreateStore(last, left);
  while_loop([&] { return builder_.CreateICmpSGT(builder_.CreateLoad(i64, left), number(0)); },
             [&] {
               Value* next = builder_.CreateSub(builder_.CreateLoad(i64, left), number(1));
               builder_.CreateStore(combine(s, entry(next), builder_.CreateLoad(type, total)),
                                    total);
               builder_.CreateStore(next, left);
             });
  return builder_.CreateLoad(type, total);
}

}  // namespace flambeau::codegen
