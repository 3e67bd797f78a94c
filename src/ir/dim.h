#pragma once
// Symbolic integers: extents, slice bounds, paddings. A program never contains the sizes of the
// tensors it was made for; it contains expressions over them, evaluated when it is bound.
//
//   Dim n = Dim::size(0, 1);          // the extent of axis 1 of parameter 0
//   Dim half = (n + 1).floor_div(2);  // printed "((s0.1 + 1) // 2)"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/hash.h"
#include "base/small_vector.h"

namespace flambeau::ir {

/// What the leaves of an expression stand for when a program is bound to arguments.
struct DimBindings {
  const int64_t* const* sizes = nullptr;  ///< sizes[parameter][axis]
  const int64_t* integers = nullptr;      ///< the call's integer arguments
};

enum class DimOp : uint8_t { Constant, Size, Integer, Add, Sub, Mul, FloorDiv, Mod, Min, Max };

/// An immutable integer expression; a value type. Constants are folded, x+0, x*1, x-x and x//1
/// simplified, operands of commutative operators ordered, so that equal expressions built alike
/// compare equal.
class Dim {
 public:
  Dim() : Dim(0) {}
  Dim(int64_t value) : value_(value) {}  // NOLINT(google-explicit-constructor): numbers are Dims
  Dim(int value) : value_(value) {}      // NOLINT(google-explicit-constructor)
  /// Extent of `axis` of tensor parameter `parameter`.
  static Dim size(int parameter, int axis);
  /// Integer argument number `slot` of the call.
  static Dim integer(int slot);

  bool is_constant() const { return expr_ == nullptr; }
  bool is_one() const { return is_constant() && value_ == 1; }
  bool is_zero() const { return is_constant() && value_ == 0; }
  /// The value of a constant; InternalError otherwise.
  int64_t constant() const;

  /// The value under `bindings`. Division is Python's (floor); dividing by zero gives 0.
  int64_t evaluate(const DimBindings& bindings) const;

  Dim floor_div(const Dim& other) const;
  Dim ceil_div(const Dim& other) const;
  Dim mod(const Dim& other) const;

  friend Dim operator+(const Dim& a, const Dim& b);
  friend Dim operator-(const Dim& a, const Dim& b);
  friend Dim operator*(const Dim& a, const Dim& b);
  friend Dim min(const Dim& a, const Dim& b);
  friend Dim max(const Dim& a, const Dim& b);
  friend bool operator==(const Dim& a, const Dim& b);

  /// The expression with leaves replaced: sizes by `size(parameter, axis)`, integers by
  /// `integer(slot)`.
  template <class SizeFn, class IntegerFn>
  Dim substitute(const SizeFn& size_fn, const IntegerFn& integer_fn) const;

  /// "12", "s0.1", "n3", "(s0.1 * 4)", "(a // b)", "(a % b)", "min(a, b)".
  std::string text() const;
  /// Reads what text() wrote, advancing `text` past it; ValueError on anything else.
  static Dim parse(std::string_view& text);
  void hash_into(Hasher& hasher) const;

  // The structure, for passes.
  DimOp op() const;
  Dim left() const;
  Dim right() const;
  int leaf_parameter() const;  ///< of Size
  int leaf_axis() const;       ///< of Size
  int leaf_slot() const;       ///< of Integer

 private:
  struct Expr;
  static Dim make(DimOp op, const Dim& a, const Dim& b);
  std::shared_ptr<const Expr> expr_;
  int64_t value_ = 0;
};

struct Dim::Expr {
  DimOp op;
  int parameter = 0;  // of Size; slot of Integer
  int axis = 0;
  Dim left, right;
};

template <class SizeFn, class IntegerFn>
Dim Dim::substitute(const SizeFn& size_fn, const IntegerFn& integer_fn) const {
  switch (op()) {
    case DimOp::Constant:
      return *this;
    case DimOp::Size:
      return size_fn(leaf_parameter(), leaf_axis());
    case DimOp::Integer:
      return integer_fn(leaf_slot());
    default:
      return make(op(), left().substitute(size_fn, integer_fn),
                  right().substitute(size_fn, integer_fn));
  }
}

/// A symbolic shape.
using Shape = SmallVector<Dim, 5>;

/// The number of elements of `shape`.
Dim element_count(const Shape& shape);

}  // namespace flambeau::ir
