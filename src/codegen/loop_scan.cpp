// Running values in the order of ir::RunningScan.

#include "codegen/loop_control.h"
#include "ir/interpreter.h"

namespace flambeau::codegen {

using llvm::Value;

bool LoopCodegen::open_scans(const Statement& loop) {
  bool any = false;
  for (const Statement& s : loop.body) {
    if (s.kind != ir::StatementKind::Scan) continue;
    const bool in_lanes = lanes_.variable >= 0 && varies(s.result);
    llvm::Type* type = emitter_.register_type(s.dtype, in_lanes ? lanes_.count : 1);
    const ScanState state{stack_slot(type), stack_slot(type), stack_slot(type)};
    for (llvm::AllocaInst* slot : {state.value, state.block, state.before})
      builder_.CreateStore(llvm::Constant::getNullValue(type), slot);
    scans_[s.result] = state;
    any = true;
  }
  return any;
}

void LoopCodegen::emit_scan_loop(const Statement& s, Value* end) {
  const Digits digits = open_digits(s);
  const auto iteration = [&](Value* i, bool begins_block) {
    bound_.variables[static_cast<size_t>(s.variable)] = i;
    set_digits(s, digits, i, number(0));
    begins_block_ = begins_block;
    emit_body(s.body);
  };
  counted_loop(number(0), end, ir::kReduceBlock, [&](Value* first) {
    Value* last = builder_.CreateBinaryIntrinsic(
        llvm::Intrinsic::smin, builder_.CreateAdd(first, number(ir::kReduceBlock)), end);
    iteration(first, true);
    counted_loop(builder_.CreateAdd(first, number(1)), last, 1,
                 [&](Value* i) { iteration(i, false); });
  });
}

Value* LoopCodegen::scan_step(const Statement& s, Value* so_far, std::span<Value* const> elements) {
  emitter_.clear();
  SmallVector<ir::Operand, 4> operands{emitter_.operand(so_far, s.dtype)};
  for (Value* element : elements) operands.push_back(emitter_.operand(element, s.dtype));
  return emitter_.value(
      ir::emit_elementwise(*s.primitive, emitter_, s.dtype, operands, s.attributes));
}

Value* LoopCodegen::scan(const Statement& s) {
  const ScanState& state = scans_.at(s.result);
  llvm::Type* type = state.value->getAllocatedType();
  const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(type);
  const unsigned width = vector != nullptr ? vector->getNumElements() : 1;
  const auto load = [&](llvm::AllocaInst* slot) { return builder_.CreateLoad(type, slot); };
  SmallVector<Value*, 3> elements;
  for (const ir::ValueId id : s.arguments) elements.push_back(emitter_.splat(value_of(id), width));
  const std::span<Value* const> all(elements.data(), elements.size());
  Value* position = bound_.variables[static_cast<size_t>(s.variable)];
  if (all.size() > 1) {
    if (begins_block_) {
      Value* first = builder_.CreateICmpEQ(position, number(0));
      if_then(first, [&] { builder_.CreateStore(all.back(), state.value); });
      if_then(builder_.CreateNot(first),
              [&] { builder_.CreateStore(scan_step(s, load(state.value), all), state.value); });
    } else {
      builder_.CreateStore(scan_step(s, load(state.value), all), state.value);
    }
    return load(state.value);
  }
  if (begins_block_) {
    builder_.CreateStore(load(state.value), state.before);
    builder_.CreateStore(all[0], state.block);
  } else {
    builder_.CreateStore(scan_step(s, load(state.block), all), state.block);
  }
  builder_.CreateStore(load(state.block), state.value);
  if_then(builder_.CreateICmpSGE(position, number(ir::kReduceBlock)), [&] {
    Value* block[] = {load(state.block)};
    builder_.CreateStore(scan_step(s, load(state.before), block), state.value);
  });
  return load(state.value);
}

}  // namespace flambeau::codegen
