#pragma once
// A value passed to an operation. Tensors are borrowed: the caller keeps them alive.

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/scalar.h"
#include "base/tensor_info.h"

namespace flambeau::ops {

using TensorRefs = SmallVector<const TensorInfo*, 4>;  ///< a null entry is None

/// None is std::monostate. Ints and floats are Scalars; Device, Layout and MemoryFormat are
/// strings ("cpu", "strided", "contiguous_format"); a Generator is an opaque pointer.
using Argument = std::variant<std::monostate, const TensorInfo*, Scalar, Ints, TensorRefs, DType,
                              std::string, std::vector<double>, void*>;
using Arguments = SmallVector<Argument, 6>;

}  // namespace flambeau::ops
