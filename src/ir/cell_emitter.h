#pragma once
// The scalar machine on numbered cells: what a row emits, as a list of core functions to run.

#include <vector>

#include "ir/core_function.h"

namespace flambeau::ir {

/// cells[result] = function(cells[a], cells[b], cells[c])
struct Instruction {
  CoreFunction function;
  uint32_t result, a, b, c;
};

inline void run(const std::vector<Instruction>& instructions, std::vector<Container>& cells) {
  for (const Instruction& i : instructions)
    cells[i.result] = i.function(cells[i.a], cells[i.b], cells[i.c]);
}

/// Emits instructions; an operand's id is the number of its cell.
class CellEmitter : public Emitter {
 public:
  CellEmitter(std::vector<Container>& cells, std::vector<Instruction>& instructions)
      : cells_(cells), instructions_(instructions) {}

  Operand constant(DType dtype, double value) override {
    return add(dtype, container_of(dtype, value));
  }
  Operand constant_bits(DType dtype, uint64_t bits) override {
    return add(dtype, container_of_bits(dtype, bits));
  }
  Operand core(CoreOp op, DType dtype, std::span<const Operand> arguments) override {
    const CoreFunction function = checked_core_function(op, dtype, arguments);
    const Operand out = add(dtype, 0);
    const auto cell = [&](size_t i) { return arguments[i < arguments.size() ? i : 0].id; };
    instructions_.push_back({function, out.id, cell(0), cell(1), cell(2)});
    return out;
  }

 private:
  Operand add(DType dtype, Container value) {
    cells_.push_back(value);
    return {static_cast<uint32_t>(cells_.size() - 1), dtype};
  }

  std::vector<Container>& cells_;
  std::vector<Instruction>& instructions_;
};

}  // namespace flambeau::ir
