#pragma once
// The emitter of the interpreter: every operand is an array of `count` elements, and a core
// operation is applied to each of them.

#include <span>
#include <vector>

#include "ir/core_function.h"
#include "ir/emitter.h"
#include "ir/interpreter.h"

namespace flambeau::ir {

class ArrayEmitter : public Emitter {
 public:
  explicit ArrayEmitter(int64_t count) : count_(static_cast<size_t>(count)) {}

  /// The elements of `array` (of `count` elements).
  Operand input(const ArrayValue& array);
  /// Containers, `count` of them.
  Operand input(DType dtype, std::vector<Container> values);

  Operand constant(DType dtype, double value) override;
  Operand constant_bits(DType dtype, uint64_t bits) override;
  Operand core(CoreOp op, DType dtype, std::span<const Operand> arguments) override;

  const std::vector<Container>& values(Operand operand) const { return values_[operand.id]; }
  /// The array of `shape` (of `count` elements) that `operand` holds.
  ArrayValue output(Operand operand, const Ints& shape) const;

 private:
  Operand add(DType dtype, std::vector<Container> values);

  size_t count_;
  std::vector<std::vector<Container>> values_;
};

}  // namespace flambeau::ir
