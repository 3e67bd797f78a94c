#pragma once
// Which numbers a dtype can hold.

#include "base/scalar.h"

namespace flambeau {

/// True if `dtype` holds `value` but for rounding: no overflow. Unsigned types take negative
/// integers of their width, which wrap around, as PyTorch's. Infinity and NaN fit into every float
/// dtype and into no other.
bool fits(const Scalar& value, DType dtype);

}  // namespace flambeau
