#pragma once
// A Python number: bool, int or float. Its category takes part in type promotion, its width not.

#include <cstdint>

#include "base/dtype.h"

namespace flambeau {

class Scalar {
 public:
  Scalar() : Scalar(int64_t{0}) {}
  Scalar(bool v) : kind_(DTypeCategory::Bool), int_(v) {}
  Scalar(int v) : Scalar(static_cast<int64_t>(v)) {}
  Scalar(int64_t v) : kind_(DTypeCategory::Integer), int_(v) {}
  Scalar(double v) : kind_(DTypeCategory::Float), double_(v) {}

  DTypeCategory category() const { return kind_; }
  bool is_float() const { return kind_ == DTypeCategory::Float; }
  double to_double() const { return is_float() ? double_ : static_cast<double>(int_); }
  /// Truncates towards zero, as Python's int().
  int64_t to_int() const { return is_float() ? static_cast<int64_t>(double_) : int_; }
  bool to_bool() const { return is_float() ? double_ != 0 : int_ != 0; }
  /// The 8 bytes that a kernel receives: the bits of a double, or of an int64.
  uint64_t bits() const { return static_cast<uint64_t>(int_); }
  /// The dtype of those bits: Float64, Int64 or Bool.
  DType dtype() const {
    return is_float() ? DType::Float64
                      : (kind_ == DTypeCategory::Bool ? DType::Bool : DType::Int64);
  }
  friend bool operator==(const Scalar& a, const Scalar& b) {
    return a.kind_ == b.kind_ && a.int_ == b.int_;
  }

 private:
  DTypeCategory kind_;
  union {
    int64_t int_;
    double double_;
  };
};

}  // namespace flambeau
