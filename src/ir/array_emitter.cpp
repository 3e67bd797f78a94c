#include "ir/array_emitter.h"

#include "base/error.h"

namespace flambeau::ir {

Operand ArrayEmitter::add(DType dtype, std::vector<Container> values) {
  values_.push_back(std::move(values));
  return {static_cast<uint32_t>(values_.size() - 1), dtype};
}

Operand ArrayEmitter::input(const ArrayValue& array) {
  std::vector<Container> values(count_);
  const size_t size = size_of(array.dtype);
  for (size_t i = 0; i < count_; ++i)
    values[i] = load_element(array.dtype, array.data.data() + i * size);
  return add(array.dtype, std::move(values));
}

Operand ArrayEmitter::input(DType dtype, std::vector<Container> values) {
  require(values.size() == count_, "array emitter: the number of elements differs");
  return add(dtype, std::move(values));
}

Operand ArrayEmitter::constant(DType dtype, double value) {
  return add(dtype, std::vector<Container>(count_, container_of(dtype, value)));
}

Operand ArrayEmitter::constant_bits(DType dtype, uint64_t bits) {
  return add(dtype, std::vector<Container>(count_, container_of_bits(dtype, bits)));
}

Operand ArrayEmitter::core(CoreOp op, DType dtype, std::span<const Operand> arguments) {
  const CoreFunction function = checked_core_function(op, dtype, arguments);
  const std::vector<Container>& a = values_[arguments[0].id];
  const std::vector<Container>& b = values_[arguments[arguments.size() > 1 ? 1 : 0].id];
  const std::vector<Container>& c = values_[arguments[arguments.size() > 2 ? 2 : 0].id];
  std::vector<Container> out(count_);
  for (size_t i = 0; i < count_; ++i) out[i] = function(a[i], b[i], c[i]);
  return add(dtype, std::move(out));
}

ArrayValue ArrayEmitter::output(Operand operand, const Ints& shape) const {
  ArrayValue out(operand.dtype, shape);
  const std::vector<Container>& from = values(operand);
  const size_t size = size_of(operand.dtype);
  for (size_t i = 0; i < count_; ++i)
    store_element(operand.dtype, out.data.data() + i * size, from[i]);
  return out;
}

}  // namespace flambeau::ir
