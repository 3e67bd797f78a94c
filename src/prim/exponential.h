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
/// factor * e^(x + tail) for a tail that is small beside x and a factor in [2^-10, 2^10].
Value exp_times(const Value& x, const Value& tail, const Value& factor);
/// (e^x - 1) * 2^-divisor, for a `divisor` of 1 or 2, where neither e^x 2^-divisor overflows nor
/// e^x is below 2^-100. Denormal x lose bits.
Value expm1_scaled(const Value& x, int divisor);
/// (e^x - 1) / 2 and e^x / 2 for x >= 0, infinite where they overflow.
Value half_expm1(const Value& x);
Value half_exp(const Value& x);
/// x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), for positive finite x, denormals included.
struct LogParts {
  Value k, f;
};
LogParts log_parts(const Value& x);

Value log_value(const Value& x);
Value log1p_value(const Value& x);
/// The part of log(1 + f) beyond f, for 1 + f in [sqrt(1/2), sqrt(2)].
Value log1p_rest(const Value& f);

}  // namespace flambeau::prim
