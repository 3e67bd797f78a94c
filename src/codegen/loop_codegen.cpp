#include "codegen/loop_codegen.h"

#include <llvm/Analysis/VectorUtils.h>
#include <llvm/IR/IntrinsicsX86.h>

#include <algorithm>
#include <bit>
#include <limits>

#include "base/error.h"
#include "codegen/loop_control.h"
#include "codegen/target.h"

namespace flambeau::codegen {

using ir::LoopMark;
using ir::StatementKind;
using llvm::Value;

namespace {

/// Bytes of an element of which the last vectors of a loop fill one register.
constexpr unsigned kNarrowElement = 4;
/// A loop of a constant extent up to this is written out.
constexpr int64_t kWrittenOut = 32;
/// A body of more core operations than this is computed in one masked vector rather than in
/// several whole ones.
constexpr int kCheapBody = 24;
/// Lanes that share a block, as Primitive::emit_block says.
constexpr unsigned kPlacesOfBlock = 4;

/// The slot of all stores that may go past the caches; -1 if there are none.
int nontemporal_slot(const std::vector<ir::Statement>& body) {
  for (const ir::Statement& s : body) {
    if (s.kind == StatementKind::Store && s.slot >= 0) return s.slot;
    if (const int slot = nontemporal_slot(s.body); slot >= 0) return slot;
  }
  return -1;
}

/// The numbers from 0 to `period`, again and again.
SmallVector<int, 64> repeated(unsigned period, unsigned times) {
  SmallVector<int, 64> lanes;
  for (unsigned i = 0; i < period * times; ++i) lanes.push_back(static_cast<int>(i % period));
  return lanes;
}

/// The instruction that takes bytes of each 16 in an order that is not known here.
llvm::Intrinsic::ID pshufb(unsigned bytes) {
  return bytes == 64   ? llvm::Intrinsic::x86_avx512_pshuf_b_512
         : bytes == 32 ? llvm::Intrinsic::x86_avx2_pshuf_b
                       : llvm::Intrinsic::x86_ssse3_pshuf_b_128;
}

}  // namespace

LoopCodegen::LoopCodegen(SharedRows shared, Isa isa, llvm::Module& module)
    : shared_(std::move(shared)),
      program_(shared_.program),
      isa_(isa),
      module_(module),
      analysis_(analyse(program_)),
      builder_(module.getContext()),
      emitter_(builder_, isa_),
      stages_(find_stages()) {}

void LoopCodegen::generate(const std::string& name, bool exported) {
  llvm::Type* i64 = builder_.getInt64Ty();
  llvm::Type* pointer = builder_.getPtrTy();
  auto* type = llvm::FunctionType::get(builder_.getVoidTy(), {pointer, pointer, i64, i64, i64, i64},
                                       /*isVarArg=*/false);
  function_ = add_function(module_, type, name, exported);
  builder_.SetInsertPoint(new_block("entry"));
  // Slots and bases are read once: nothing that a kernel writes can change them.
  const size_t given = program_.buffers.size() - shared_.places.size();
  for (size_t i = 0; i < given; ++i)
    bound_.buffers.push_back(builder_.CreateLoad(
        pointer, builder_.CreateConstGEP1_64(pointer, function_->getArg(0), i)));
  for (int i = 0; i < program_.slot_count; ++i)
    slots_.push_back(builder_.CreateLoad(
        i64, builder_.CreateConstGEP1_64(i64, function_->getArg(1), static_cast<uint64_t>(i))));
  bound_.values.resize(static_cast<size_t>(program_.value_count));
  for (std::vector<Value*>* known : {&bound_.firsts, &bound_.flipped, &bound_.any})
    known->resize(bound_.values.size());
  bound_.variables.resize(static_cast<size_t>(program_.variable_count));
  for (size_t i = given; i < program_.buffers.size(); ++i) {
    llvm::AllocaInst* place = stack_slot(emitter_.memory_type(program_.buffers[i].dtype),
                                         std::max<uint64_t>(stages_.size(), 1) * kPlaceElements);
    place->setAlignment(llvm::Align(kCacheLine));
    places_.push_back(place);
    bound_.buffers.push_back(place);
  }
  // The entry block stays open at its end for stack slots.
  llvm::BasicBlock* start = new_block("start");
  builder_.CreateBr(start);
  builder_.SetInsertPoint(start);
  if (const int slot = nontemporal_slot(program_.body); slot >= 0)
    past_caches_ = builder_.CreateICmpNE(slots_.at(static_cast<size_t>(slot)), number(0));
  emit_body(program_.body);
  // Other threads see what went past the caches in no order but this.
  if (past_caches_ != nullptr)
    if_then(past_caches_,
            [&] { builder_.CreateIntrinsic(llvm::Intrinsic::x86_sse_sfence, {}, {}); });
  builder_.CreateRetVoid();
}

void LoopCodegen::emit_all(const Statements& statements) {
  for (const Statement* s : statements) emit(*s);
}

void LoopCodegen::emit_body(const std::vector<Statement>& body) {
  for (const Statement& s : body) emit(s);
}

void LoopCodegen::emit(const Statement& s) {
  if (s.result >= 0)
    for (std::vector<Value*>* known : {&bound_.firsts, &bound_.flipped, &bound_.any})
      (*known)[static_cast<size_t>(s.result)] = nullptr;
  switch (s.kind) {
    case StatementKind::Constant:
      value_of(s.result) = emitter_.element(s.dtype, ir::container_of(s.dtype, s.attributes.value));
      return;
    case StatementKind::Slot:
      value_of(s.result) = slot_value(s);
      return;
    case StatementKind::Index:
      value_of(s.result) = index_value(s);
      return;
    case StatementKind::Compute:
      value_of(s.result) = emit_compute(s);
      return;
    case StatementKind::Load:
      value_of(s.result) = load(s);
      return;
    case StatementKind::Store:
      store(s);
      return;
    case StatementKind::Loop:
      emit_loop(s);
      return;
    case StatementKind::Reduce:
      value_of(s.result) = reduce(s);
      return;
    case StatementKind::Scan:
      value_of(s.result) = scan(s);
      return;
  }
}

Value* LoopCodegen::slot_value(const Statement& s) {
  Value* bits = slots_.at(static_cast<size_t>(s.slot));
  if (is_bool(s.dtype)) return builder_.CreateICmpNE(bits, number(0));
  llvm::Type* type = emitter_.memory_type(s.dtype);
  Value* low = builder_.CreateTrunc(bits, builder_.getIntNTy(type->getScalarSizeInBits()));
  return emitter_.from_memory(builder_.CreateBitCast(low, type), s.dtype);
}

Value* LoopCodegen::emit_compute(const Statement& s) {
  emitter_.clear();
  SmallVector<ir::Operand, 4> arguments;
  for (const ir::ValueId id : s.arguments)
    arguments.push_back(emitter_.operand(value_of(id), dtype_of(id)));
  if (Value* first = first_of_places(s)) return emit_blocks(s, arguments, first);
  first_of(s.result) = first_of_sum(s);
  note_any_lane(s);
  return emitter_.value(
      ir::emit_elementwise(*s.primitive, emitter_, s.dtype, arguments, s.attributes));
}

Value* LoopCodegen::first_of_sum(const Statement& s) {
  if (s.arguments.size() != 2) return nullptr;
  for (size_t i = 0; i < 2; ++i) {
    Value* first = first_of(s.arguments[i]);
    Value* other = value_of(s.arguments[1 - i]);
    if (first != nullptr && !other->getType()->isVectorTy() &&
        only_core_op(s, analysis_) == ir::CoreOp::Add)
      return builder_.CreateAdd(first, other);
  }
  return nullptr;
}

/// Of comparisons as TemplateBuilder::in_range() makes them, and of what holds if they do.
void LoopCodegen::note_any_lane(const Statement& s) {
  if (s.arguments.size() != 2) return;
  const ir::ValueId a = s.arguments[0];
  const ir::ValueId b = s.arguments[1];
  const auto at = [](ir::ValueId id) { return static_cast<size_t>(id); };
  const std::string_view name = s.primitive->name;
  if (name == "logical_xor") {
    const auto* flips = llvm::dyn_cast<llvm::ConstantInt>(value_of(b));
    if (flips != nullptr && flips->isMinValue(/*IsSigned=*/true))
      bound_.flipped[at(s.result)] = first_of(a);
  } else if (name == "lt") {
    Value* first = bound_.flipped[at(a)];
    if (first == nullptr || value_of(b)->getType()->isVectorTy()) return;
    // Of `count` positions from the first on, one is in [0, end).
    Value* end = builder_.CreateXor(value_of(b), number(std::numeric_limits<int64_t>::min()));
    Value* others = number(static_cast<int64_t>(lanes_.count) - 1);
    bound_.any[at(s.result)] =
        builder_.CreateICmpULT(builder_.CreateAdd(first, others), builder_.CreateAdd(end, others));
  } else if (name == "logical_and") {
    // What is the same in all lanes costs least: it may be known before the loop.
    Value* left = any_lane(a);
    Value* right = any_lane(b);
    const auto is_uniform = [&](ir::ValueId id) { return !value_of(id)->getType()->isVectorTy(); };
    bound_.any[at(s.result)] = right == nullptr || is_uniform(a)  ? left
                               : left == nullptr || is_uniform(b) ? right
                                                                  : builder_.CreateAnd(left, right);
  }
}

Value* LoopCodegen::any_lane(ir::ValueId mask) {
  Value* value = value_of(mask);
  return value->getType()->isVectorTy() ? bound_.any[static_cast<size_t>(mask)] : value;
}

Value* LoopCodegen::first_of_places(const Statement& s) {
  if (s.primitive->emit_block == nullptr || lanes_.count < 2 * kPlacesOfBlock ||
      lanes_.active != nullptr)
    return nullptr;
  for (size_t i = 0; i + 1 < s.arguments.size(); ++i)
    if (value_of(s.arguments[i])->getType()->isVectorTy()) return nullptr;
  return first_of(s.arguments.back());
}

Value* LoopCodegen::emit_blocks(const Statement& s, std::span<const ir::Operand> arguments,
                                Value* first) {
  // From a place on that is not its block's first, the last lanes reach into one block more.
  const unsigned count = lanes_.count / kPlacesOfBlock;
  Value* block = builder_.CreateLShr(first, uint64_t{2});
  const auto emit_from = [&](Value* numbers) {
    SmallVector<ir::Operand, 4> shared(arguments.begin(), arguments.end());
    shared.back() = emitter_.operand(numbers, arguments.back().dtype);
    return emitter_.value(s.primitive->emit_block(emitter_, s.dtype, shared, s.attributes));
  };
  Value* blocks = emitter_.splat(
      emit_from(builder_.CreateAdd(emitter_.splat(block, count), lane_numbers(count))), count);
  Value* next = emit_from(builder_.CreateAdd(block, number(count)));

  // Four lanes from place j of a block on lie in it and the next one, in an order of bytes that
  // depends on j alone.
  const unsigned piece = std::min(lanes_.count, register_bytes(isa_) / 4);  // in one register
  const SmallVector<int, 64> fours = repeated(16, piece / 4);
  Value* order = builder_.CreateShuffleVector(
      order_of_bytes(builder_.CreateAnd(first, number(kPlacesOfBlock - 1))),
      llvm::ArrayRef(fours.data(), fours.size()));
  Value* behind = builder_.CreateInsertElement(blocks, next, uint64_t{0});
  SmallVector<Value*, 4> pieces;
  for (unsigned lane = 0; lane < lanes_.count; lane += piece) {
    SmallVector<int, 16> two;
    for (unsigned n = lane / kPlacesOfBlock; n < (lane + piece) / kPlacesOfBlock; ++n)
      for (const unsigned number_of_block : {n, n + 1})
        two.push_back(static_cast<int>(number_of_block));
    Value* source =
        builder_.CreateShuffleVector(blocks, behind, llvm::ArrayRef(two.data(), two.size()));
    pieces.push_back(builder_.CreateBitCast(
        builder_.CreateIntrinsic(pshufb(4 * piece), {},
                                 {builder_.CreateBitCast(source, order->getType()), order}),
        emitter_.register_type(s.dtype, piece)));
  }
  return llvm::concatenateVectors(builder_, llvm::ArrayRef(pieces.data(), pieces.size()));
}

Value* LoopCodegen::order_of_bytes(Value* place) {
  SmallVector<uint8_t, 64> orders;
  for (unsigned j = 0; j < kPlacesOfBlock; ++j)
    for (unsigned lane = j; lane < j + kPlacesOfBlock; ++lane)
      for (unsigned byte = 0; byte < 4; ++byte)
        orders.push_back(static_cast<uint8_t>(8 * (lane / kPlacesOfBlock) +
                                              (4 - 2 * (lane % kPlacesOfBlock) + byte) % 8));
  llvm::Constant* table = llvm::ConstantDataArray::get(
      builder_.getContext(), llvm::ArrayRef(orders.data(), orders.size()));
  auto* global = new llvm::GlobalVariable(module_, table->getType(), /*isConstant=*/true,
                                          llvm::GlobalValue::PrivateLinkage, table);
  global->setAlignment(llvm::Align(16));
  auto* bytes = llvm::FixedVectorType::get(builder_.getInt8Ty(), 16);
  return builder_.CreateAlignedLoad(bytes, builder_.CreateGEP(bytes, global, place),
                                    llvm::Align(16));
}

void LoopCodegen::emit_loop(const Statement& s) {
  if (s.mark == LoopMark::ParallelInner) {
    emit_vector_loop(s, function_->getArg(4), function_->getArg(5));
    return;
  }
  if (s.mark == LoopMark::Vector && s.extent_value < 0 && !s.extent.is_slot && s.digits.empty() &&
      s.extent.value <= kWrittenOut) {
    write_out(s, s.extent.value);
    return;
  }
  if (s.mark == LoopMark::Vector) {
    emit_vector_loop(s, number(0),
                     s.extent_value >= 0 ? value_of(s.extent_value) : operand(s.extent));
    return;
  }
  if (s.mark == LoopMark::Parallel && !analysis_.transposed.empty()) {
    emit_tiles(s);
    return;
  }
  if (s.mark == LoopMark::Parallel && !stages_.empty()) {
    emit_stages(s, function_->getArg(2), function_->getArg(3));
    return;
  }
  const bool parallel = s.mark == LoopMark::Parallel;
  Value* begin = number(0);
  Value* end = nullptr;
  if (parallel) {
    begin = function_->getArg(2);
    end = function_->getArg(3);
  } else {
    end = s.extent_value >= 0 ? value_of(s.extent_value) : operand(s.extent);
  }
  if (open_scans(s)) {
    emit_scan_loop(s, end);
    return;
  }
  const Digits digits = open_digits(s);
  counted_loop(begin, end, 1, [&](Value* i) {
    bound_.variables[static_cast<size_t>(s.variable)] = i;
    set_digits(s, digits, i, begin);
    if (parallel) {
      streams_ = row_streams(s, analysis_);
      place_row(i);
    }
    emit_body(s.body);
    if (parallel) streams_.clear();
  });
}

void LoopCodegen::write_out(const Statement& s, int64_t extent) {
  Statements invariant, rest;
  split_invariant(s, invariant, rest);
  emit_all(invariant);
  int64_t lanes = choose_lanes(s, analysis_, register_bytes(isa_));
  const auto whole = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(extent)));
  if (whole > extent && whole <= lanes && count_core_ops(s.body, analysis_) > kCheapBody) {
    lanes_ = {static_cast<unsigned>(whole), s.variable, number(0), number(extent)};
    emit_all(rest);
    lanes_ = {};
    return;
  }
  for (int64_t first = 0; first < extent; first += lanes) {
    while (lanes > extent - first) lanes /= 2;
    if (lanes == 1) {
      bound_.variables[static_cast<size_t>(s.variable)] = number(first);
    } else {
      lanes_ = {static_cast<unsigned>(lanes), s.variable, number(first), nullptr};
    }
    emit_all(rest);
    lanes_ = {};
  }
}

void LoopCodegen::emit_vector_loop(const Statement& s, Value* begin, Value* end) {
  Statements invariant, rest;
  split_invariant(s, invariant, rest);
  const unsigned count = choose_lanes(s, analysis_, register_bytes(isa_));
  if_then(builder_.CreateICmpSLT(begin, end), [&] {
    emit_all(invariant);
    Value* length = builder_.CreateSub(end, begin);
    Value* main_end = builder_.CreateSub(end, builder_.CreateAnd(length, number(count - 1)));
    const Digits digits = open_digits(s);
    const auto emit_at = [&](unsigned lanes, Value* first, Value* active, Value* start,
                             const auto& body) {
      lanes_ = {lanes, s.variable, first, active};
      emit_lanes(s, digits, start, body);
      lanes_ = {};
    };
    // Stores come last, so that one test says where all of them go.
    Statements before = rest;
    const Statements whole = take_whole_stores(s, count, before);
    Value* past = whole.empty() ? nullptr : go_past_caches(whole, s, count, begin);
    counted_loop(begin, main_end, count, [&](Value* i) {
      emit_at(count, i, nullptr, begin, [&] {
        fetch_next_row(s);
        emit_all(before);
        if (!whole.empty()) store_whole(whole, past);
      });
    });
    // The rest in single registers: masked accesses are slow, idle ones too, and rows may be short.
    const unsigned narrow = std::min(count, register_bytes(isa_) / kNarrowElement);
    counted_loop(main_end, end, narrow, [&](Value* i) {
      Value* left = builder_.CreateSub(end, i);
      emit_at(narrow, i,
              builder_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, left, number(narrow)), main_end,
              [&] { emit_all(rest); });
    });
  });
}

}  // namespace flambeau::codegen
