#pragma once
// Exponentials and logarithms on Values, for the families that are made of them.

#include "prim/float_format.h"

namespace flambeau::prim {

/// ln 2 as the sum of two floats of the dtype of `x`.
double ln2_high(const Value& x);
double ln2_low(const Value& x);

/// e^r - 1 for |r| <= 0.35, within about half an ulp.
Value expm1_kernel(const Value& r);

Value exp_value(const Value& x);
/// e^(x + tail) for a tail that is small beside x.
Value exp_value(const Value& x, const Value& tail);
/// (e^x - 1) / 2, which is finite where the row's value overflows by less than a factor 2. Denormal
/// x lose a bit.
Value half_expm1(const Value& x);
/// e^x / 2, likewise, for x >= -80 (Float32) or -700 (Float64).
Value half_exp(const Value& x);
Value log_value(const Value& x);
Value log1p_value(const Value& x);
/// The part of log(1 + f) beyond f, for 1 + f in [sqrt(1/2), sqrt(2)].
Value log1p_rest(const Value& f);

}  // namespace flambeau::prim
