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

}  // namespace flambeau
