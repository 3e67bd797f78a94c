#pragma once
// A Python number: bool, int, float or complex. Its category takes part in type promotion, its
// width not.

#include <bit>
#include <complex>
#include <concepts>
#include <cstdint>
#include <limits>

#include "base/dtype.h"

namespace flambeau {

class Scalar {
 public:
  Scalar() : Scalar(int64_t{0}) {}
  /// Only from bool itself: a pointer is no number.
  template <std::same_as<bool> Bool>
  Scalar(Bool v) : kind_(DTypeCategory::Bool), bits_(v ? 1 : 0) {}
  Scalar(int v) : Scalar(static_cast<int64_t>(v)) {}
  Scalar(int64_t v) : kind_(DTypeCategory::Integer), bits_(static_cast<uint64_t>(v)) {}
  Scalar(double v) : kind_(DTypeCategory::Float), bits_(std::bit_cast<uint64_t>(v)) {}
  Scalar(std::complex<double> v)
      : kind_(DTypeCategory::ComplexNumber),
        bits_(std::bit_cast<uint64_t>(v.real())),
        imaginary_(v.imag()) {}

  DTypeCategory category() const { return kind_; }
  bool is_float() const { return kind_ == DTypeCategory::Float; }
  bool is_complex() const { return kind_ == DTypeCategory::ComplexNumber; }
  /// The real part of a complex number.
  double to_double() const {
    return holds_double() ? std::bit_cast<double>(bits_) : static_cast<double>(integer());
  }
  double imag() const { return imaginary_; }
  std::complex<double> to_complex() const { return {to_double(), imaginary_}; }
  /// Truncates towards zero, as Python's int(); what int64 cannot hold saturates, NaN gives 0.
  int64_t to_int() const { return holds_double() ? truncate(to_double()) : integer(); }
  bool to_bool() const { return holds_double() ? to_double() != 0 || imaginary_ != 0 : bits_ != 0; }
  /// The 8 bytes that a kernel receives: the bits of a double (a complex number's real part), or of
  /// an int64.
  uint64_t bits() const { return bits_; }
  /// The widest dtype of the category: Complex128, Float64, Int64 or Bool.
  DType dtype() const {
    if (is_complex()) return DType::Complex128;
    return is_float() ? DType::Float64
                      : (kind_ == DTypeCategory::Bool ? DType::Bool : DType::Int64);
  }
  /// The same category and the same bits: NaN equals itself, 0.0 and -0.0 differ.
  friend bool operator==(const Scalar&, const Scalar&) = default;

 private:
  bool holds_double() const { return kind_ >= DTypeCategory::Float; }
  int64_t integer() const { return static_cast<int64_t>(bits_); }
  static int64_t truncate(double v) {
    constexpr double kLimit = 0x1p63;
    if (v >= kLimit) return std::numeric_limits<int64_t>::max();
    if (v < -kLimit) return std::numeric_limits<int64_t>::min();
    return v == v ? static_cast<int64_t>(v) : 0;
  }

  DTypeCategory kind_;
  uint64_t bits_;
  double imaginary_ = 0;
};

}  // namespace flambeau
