#pragma once
// Arguments of C++ functions as arguments of operations.

#include "flambeau/arguments.h"
#include "ops/registry.h"

namespace flambeau::nn::functional::detail {

using ops::Argument;

/// An undefined tensor is None.
inline Argument argument(const Tensor& tensor) {
  if (!tensor.defined()) return {};
  return static_cast<const TensorInfo*>(tensor.impl());
}
inline Argument argument(const Operand& operand) {
  if (const auto* tensor = std::get_if<Tensor>(&operand.value())) return argument(*tensor);
  if (const auto* number = std::get_if<Scalar>(&operand.value())) return *number;
  return {};
}
inline Argument argument(const TensorList& tensors) {
  ops::TensorRefs refs;
  for (const Tensor& tensor : tensors) refs.push_back(tensor.impl());
  return refs;
}
inline Argument argument(const IntList& list) {
  return list.given() ? Argument(list.values()) : Argument();
}
inline Argument argument(const Scalar& value) { return value; }
inline Argument argument(int64_t value) { return Scalar(value); }
inline Argument argument(double value) { return Scalar(value); }
inline Argument argument(bool value) { return Scalar(value); }
inline Argument argument(DType dtype) { return dtype; }
inline Argument argument(const std::string& text) { return text; }
inline Argument argument(const char* text) { return std::string(text); }
inline Argument argument(const std::vector<double>& values) { return values; }
inline Argument argument(Generator* generator) {
  return generator != nullptr ? Argument(static_cast<void*>(generator)) : Argument();
}
template <class T>
Argument argument(const std::optional<T>& value) {
  return value ? argument(*value) : Argument();
}

/// The results of list number `index`, of `length` items each.
template <class Results>
TensorList part_of(const Results& results, size_t index, size_t length) {
  return {results.begin() + index * length, results.begin() + (index + 1) * length};
}

}  // namespace flambeau::nn::functional::detail
