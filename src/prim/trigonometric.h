#pragma once
// Sine and cosine on Values, for the families that are made of them.

#include "prim/float_format.h"

namespace flambeau::prim {

/// sin(r + tail) and cos(r + tail) for |r| <= pi/4 and a tail below the last place of r.
Value sin_kernel(const Value& r, const Value& tail);
Value cos_kernel(const Value& r, const Value& tail);

}  // namespace flambeau::prim
