#include "codegen/instruction_order.h"

#include <llvm/IR/Function.h>
#include <llvm/IR/Instructions.h>
#include <llvm/IR/Module.h>

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "codegen/target.h"

namespace flambeau::codegen {
namespace {

/// Shorter blocks are in the processor's sight as a whole.
constexpr size_t kLongBlock = 60;
/// Values that wait at once, for each register, with which it pays to keep the order.
constexpr unsigned kValuesPerRegister = 3;

using Instructions = std::vector<llvm::Instruction*>;

/// All but the first ones and the last, which stay.
Instructions movable(llvm::BasicBlock& block) {
  Instructions all;
  for (llvm::Instruction& i : block)
    if (!llvm::isa<llvm::PHINode>(i) && !i.isTerminator()) all.push_back(&i);
  return all;
}

/// In cycles, about.
int latency(const llvm::Instruction& i) {
  switch (i.getOpcode()) {
    case llvm::Instruction::FMul:
    case llvm::Instruction::FAdd:
    case llvm::Instruction::FSub:
    case llvm::Instruction::Mul:
      return 3;
    case llvm::Instruction::Call:  // a multiply-add, as a rule
      return 4;
    case llvm::Instruction::Load:
      return 5;
    default:
      return 1;
  }
}

/// Registers that a value takes; scalars and masks have others.
unsigned registers_of(const llvm::Value& value, unsigned register_bits) {
  const llvm::Type* type = value.getType();
  if (!type->isVectorTy() || type->getScalarSizeInBits() == 1) return 0;
  const auto bits = static_cast<unsigned>(type->getPrimitiveSizeInBits().getFixedValue());
  return (bits + register_bits - 1) / register_bits;
}

/// The most registers that values of the block take at once.
unsigned most_registers(const Instructions& all, unsigned register_bits) {
  std::unordered_map<const llvm::Value*, unsigned> live;
  for (const llvm::Instruction* i : all) live[i] = 0;
  unsigned now = 0;
  unsigned most = 0;
  for (size_t n = all.size(); n-- > 0;) {
    now -= live[all[n]];
    for (const llvm::Value* operand : all[n]->operands()) {
      const auto found = live.find(operand);
      if (found == live.end() || found->second != 0) continue;
      found->second = registers_of(*operand, register_bits);
      now += found->second;
    }
    most = std::max(most, now);
  }
  return most;
}

void order_block(llvm::BasicBlock& block, const Instructions& all) {
  std::unordered_map<const llvm::Value*, int> below;  // the height of the highest that waits for it
  int memory = 0;                                     // what touches memory stays in its order
  std::vector<std::pair<int, size_t>> order(all.size());  // minus the height, the place so far
  for (size_t n = all.size(); n-- > 0;) {
    llvm::Instruction& i = *all[n];
    int height = below[&i];
    const bool fixed = i.mayReadOrWriteMemory() || i.mayHaveSideEffects();
    if (fixed) height = std::max(height, memory);
    height += latency(i);
    if (fixed) memory = height;
    for (const llvm::Value* operand : i.operands())
      below[operand] = std::max(below[operand], height);
    order[n] = {-height, n};
  }
  std::sort(order.begin(), order.end());
  for (const auto& [height, n] : order) all[n]->moveBefore(block.getTerminator());
}

}  // namespace

bool order_by_height(llvm::Module& module, Isa isa) {
  const unsigned register_bits = 8 * register_bytes(isa);
  const unsigned registers = isa >= Isa::Avx512 ? 32 : 16;
  bool fits = true;
  for (llvm::Function& function : module)
    for (llvm::BasicBlock& block : function) {
      const Instructions all = movable(block);
      fits &= most_registers(all, register_bits) <= kValuesPerRegister * registers;
      if (all.size() >= kLongBlock) order_block(block, all);
    }
  return fits;
}

}  // namespace flambeau::codegen
