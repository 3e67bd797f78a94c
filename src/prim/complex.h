#pragma once
// Functions of complex values as compositions of real ones: what rows mean on complex operands.
// Branch cuts and values at infinity are those of C's Annex G unless a comment says otherwise.

#include "prim/row.h"

namespace flambeau::prim {

ComplexValue operator+(const ComplexValue& a, const ComplexValue& b);
ComplexValue operator-(const ComplexValue& a, const ComplexValue& b);
ComplexValue operator-(const ComplexValue& a);
/// (ac - bd) + (ad + bc)i, each rounded as written: an infinite operand may give NaN, as PyTorch's.
ComplexValue operator*(const ComplexValue& a, const ComplexValue& b);
/// Smith's algorithm: no overflow but of the result.
ComplexValue operator/(const ComplexValue& a, const ComplexValue& b);
ComplexValue operator*(const ComplexValue& a, double b);

/// sqrt(a^2 + b^2) without overflow.
Expr hypot_of(const Expr& a, const Expr& b);
/// |z|.
Expr complex_abs(const ComplexValue& z);

ComplexValue complex_sqrt(const ComplexValue& z);
ComplexValue complex_exp(const ComplexValue& z);
ComplexValue complex_exp2(const ComplexValue& z);
ComplexValue complex_expm1(const ComplexValue& z);
ComplexValue complex_log(const ComplexValue& z);
ComplexValue complex_log2(const ComplexValue& z);
ComplexValue complex_log10(const ComplexValue& z);
ComplexValue complex_log1p(const ComplexValue& z);
ComplexValue complex_pow(const ComplexValue& a, const ComplexValue& b);
ComplexValue complex_sin(const ComplexValue& z);
ComplexValue complex_cos(const ComplexValue& z);
ComplexValue complex_tan(const ComplexValue& z);
ComplexValue complex_sinh(const ComplexValue& z);
ComplexValue complex_cosh(const ComplexValue& z);
ComplexValue complex_tanh(const ComplexValue& z);
ComplexValue complex_asin(const ComplexValue& z);
ComplexValue complex_acos(const ComplexValue& z);
ComplexValue complex_atan(const ComplexValue& z);
ComplexValue complex_asinh(const ComplexValue& z);
ComplexValue complex_acosh(const ComplexValue& z);
ComplexValue complex_atanh(const ComplexValue& z);

}  // namespace flambeau::prim
