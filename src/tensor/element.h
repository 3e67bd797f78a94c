#pragma once
// One element of memory as a number, for every dtype: what item(), fills and printing are made of.

#include "base/scalar.h"

namespace flambeau {

/// The element of `dtype` at `address`: a float, a complex number, an integer or
/// a bool.
Scalar load_element(const void* address, DType dtype);

/// Writes `value` as an element of `dtype`, converted as PyTorch's `to` converts it: floats are cut
/// towards zero for integers, integers wrap around, bool is "not zero".
void store_element(void* address, DType dtype, const Scalar& value);

/// True if `dtype` holds `value` but for rounding: no overflow, no negative for unsigned types.
/// Infinity and NaN fit into every float dtype and into no other.
bool fits(const Scalar& value, DType dtype);

}  // namespace flambeau
