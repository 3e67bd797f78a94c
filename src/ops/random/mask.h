#pragma once
// The random mask of dropout inside a program. The backward makes the same one again, as its bits
// depend on the call's key and the element's place alone.

#include "ops/definition.h"

namespace flambeau::ops {

/// True with probability 1 - p (Float64, shape []) for each element of `places`, by the bits of the
/// stream `key` there; both Int64, the key of shape [].
Expr kept_at(const Expr& key, const Expr& places, const Expr& p);
/// 1 / (1 - p), 0 for p = 1.
Expr scale_of_kept(DType dtype, const Expr& p);

/// True with probability 1 - p for each element of `shape`; `p` names the call's probability.
Expr kept_elements(Lowering& l, const Shape& shape, std::string_view p);
/// 1 / (1 - p), 0 for p = 1.
Expr scale_of_kept(Lowering& l, DType dtype, std::string_view p);

}  // namespace flambeau::ops
