#pragma once
// The language in which the elementwise rows are written: values of the scalar machine with
// operators.
//
//   Value sigmoid(Value x) { return 1.0 / (1.0 + exp(-x)); }
//
// Numbers become constants of the dtype of the Value beside them.

#include <concepts>
#include <initializer_list>
#include <span>

#include "ir/emitter.h"

namespace flambeau::prim {

using ir::CoreOp;

class Value {
 public:
  Value(ir::Emitter& emitter, ir::Operand operand) : emitter_(&emitter), operand_(operand) {}
  ir::Emitter& emitter() const { return *emitter_; }
  ir::Operand operand() const { return operand_; }
  DType dtype() const { return operand_.dtype; }
  bool is_double() const { return dtype() == DType::Float64; }

  /// A constant of this value's dtype.
  Value number(double value) const { return {*emitter_, emitter_->constant(dtype(), value)}; }
  /// A constant of `dtype` with these bits (integers: this value).
  Value bits(DType dtype, uint64_t value) const {
    return {*emitter_, emitter_->constant_bits(dtype, value)};
  }
  Value convert(DType dtype) const { return {*emitter_, emitter_->convert(dtype, operand_)}; }
  Value bitcast(DType dtype) const { return {*emitter_, emitter_->bitcast(dtype, operand_)}; }
  Value apply(CoreOp op) const { return {*emitter_, emitter_->op(op, operand_)}; }
  Value apply(CoreOp op, const Value& b) const {
    return {*emitter_, emitter_->op(op, operand_, b.operand_)};
  }

 private:
  ir::Emitter* emitter_;
  ir::Operand operand_;
};

/// What may stand beside a Value.
template <class T>
concept ValueOrNumber = std::same_as<T, Value> || std::convertible_to<T, double>;

inline Value lift(const Value&, const Value& value) { return value; }
inline Value lift(const Value& like, double value) { return like.number(value); }

inline Value apply(CoreOp op, const Value& a, const Value& b) { return a.apply(op, b); }
inline Value apply(CoreOp op, const Value& a, double b) { return a.apply(op, a.number(b)); }
inline Value apply(CoreOp op, double a, const Value& b) { return b.number(a).apply(op, b); }

// An operator on two Values, or on a Value and a number.
#define FLAMBEAU_VALUE_OPERATOR(symbol, core)                                                \
  inline Value operator symbol(const Value& a, const Value& b) { return apply(core, a, b); } \
  inline Value operator symbol(const Value& a, double b) { return apply(core, a, b); }       \
  inline Value operator symbol(double a, const Value& b) { return apply(core, a, b); }
FLAMBEAU_VALUE_OPERATOR(+, CoreOp::Add)
FLAMBEAU_VALUE_OPERATOR(-, CoreOp::Sub)
FLAMBEAU_VALUE_OPERATOR(*, CoreOp::Mul)
FLAMBEAU_VALUE_OPERATOR(/, CoreOp::Div)
FLAMBEAU_VALUE_OPERATOR(==, CoreOp::Eq)
FLAMBEAU_VALUE_OPERATOR(!=, CoreOp::Ne)
FLAMBEAU_VALUE_OPERATOR(<, CoreOp::Lt)
FLAMBEAU_VALUE_OPERATOR(<=, CoreOp::Le)
FLAMBEAU_VALUE_OPERATOR(>, CoreOp::Gt)
FLAMBEAU_VALUE_OPERATOR(>=, CoreOp::Ge)
FLAMBEAU_VALUE_OPERATOR(&, CoreOp::And)
FLAMBEAU_VALUE_OPERATOR(|, CoreOp::Or)
FLAMBEAU_VALUE_OPERATOR(^, CoreOp::Xor)
FLAMBEAU_VALUE_OPERATOR(<<, CoreOp::Shl)
/// Of two integers; the shifted-in bits are zeros.
FLAMBEAU_VALUE_OPERATOR(>>, CoreOp::ShiftRightLogical)
#undef FLAMBEAU_VALUE_OPERATOR

/// True where `a` is NaN.
inline Value is_nan(const Value& a) { return a.apply(CoreOp::Ne, a); }

inline Value operator-(const Value& a) { return a.apply(CoreOp::Neg); }
inline Value operator!(const Value& a) { return a.apply(CoreOp::Not); }
inline Value abs(const Value& a) { return a.apply(CoreOp::Abs); }
inline Value sqrt(const Value& a) { return a.apply(CoreOp::Sqrt); }
inline Value floor(const Value& a) { return a.apply(CoreOp::Floor); }
inline Value round_even(const Value& a) { return a.apply(CoreOp::RoundEven); }

/// a * b + c, rounded once.
template <ValueOrNumber B, ValueOrNumber C>
Value fma(const Value& a, const B& b, const C& c) {
  return {a.emitter(), a.emitter().fma(a.operand(), lift(a, b).operand(), lift(a, c).operand())};
}

inline Value select(const Value& condition, const Value& a, const Value& b) {
  return {a.emitter(), a.emitter().select(condition.operand(), a.operand(), b.operand())};
}
inline Value select(const Value& condition, const Value& a, double b) {
  return select(condition, a, a.number(b));
}
inline Value select(const Value& condition, double a, const Value& b) {
  return select(condition, b.number(a), b);
}

/// The larger or smaller of `a` and a bound, one machine instruction each; NaN stays NaN.
inline Value at_least(const Value& a, double bound) { return select(bound > a, bound, a); }
inline Value at_most(const Value& a, double bound) { return select(bound < a, bound, a); }

/// coefficients[0] + x * coefficients[1] + ... by Horner's rule with fused multiply-adds.
inline Value horner(const Value& x, std::span<const double> coefficients) {
  Value sum = x.number(coefficients.back());
  for (size_t i = coefficients.size() - 1; i-- > 0;) sum = fma(sum, x, coefficients[i]);
  return sum;
}
inline Value horner(const Value& x, std::initializer_list<double> coefficients) {
  return horner(x, std::span<const double>(coefficients.begin(), coefficients.size()));
}

}  // namespace flambeau::prim
