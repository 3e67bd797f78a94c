#pragma once
// The random mask of dropout inside a program. The backward makes the same one again, as its bits
// depend on the call's key and the element's place alone.

#include "ops/definition.h"

namespace flambeau::ops {

/// True with probability 1 - p for each element of `shape`; `p` names the call's probability.
Expr kept_elements(Lowering& l, const Shape& shape, std::string_view p);
/// 1 / (1 - p), 0 for p = 1.
Expr scale_of_kept(Lowering& l, DType dtype, std::string_view p);

}  // namespace flambeau::ops
