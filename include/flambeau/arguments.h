#pragma once
// What the functions of functions.h take beside tensors.

#include <cmath>
#include <initializer_list>
#include <optional>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

#include "tensor/tensor.h"

namespace flambeau {

class Generator;

/// A tensor, or a number where PyTorch lets one stand for it, or nothing where that is allowed.
class Operand {
 public:
  Operand() = default;
  Operand(const Tensor& tensor) : value_(tensor) {}  // NOLINT(google-explicit-constructor)
  template <class T>
    requires std::is_convertible_v<T, Scalar>
  Operand(const T& number) : value_(Scalar(number)) {}  // NOLINT(google-explicit-constructor)

  const std::variant<std::monostate, Tensor, Scalar>& value() const { return value_; }

 private:
  std::variant<std::monostate, Tensor, Scalar> value_;
};

/// Sizes or axes: {2, 3}, or one number, or nothing where that is allowed.
class IntList {
 public:
  IntList(std::nullopt_t) {}                                  // NOLINT(google-explicit-constructor)
  IntList(int64_t value) : given_(true), values_({value}) {}  // NOLINT(google-explicit-constructor)
  IntList(int value) : IntList(int64_t{value}) {}             // NOLINT(google-explicit-constructor)
  IntList(std::initializer_list<int64_t> values) : given_(true), values_(values) {}
  IntList(const Ints& values) : given_(true), values_(values) {}  // NOLINT

  bool given() const { return given_; }
  const Ints& values() const { return values_; }

 private:
  bool given_ = false;
  Ints values_;
};

}  // namespace flambeau
