#pragma once
// Which elements of tensors are at the same place in memory, by PyTorch's rules.

#include "tensor/tensor.h"

namespace flambeau {

/// True if an axis is stretched, so that several elements are at one place.
bool has_equal_places(const TensorInfo& info);

enum class Overlap : uint8_t {
  None,
  Same,     ///< each element is at the place of its counterpart
  Partial,  ///< they share memory otherwise
  Unknown,  ///< one of them has gaps or elements at equal places: not looked at
};
Overlap overlap_of(const TensorImpl& a, const TensorImpl& b);

/// True if both are memory that others see (NumPy arrays and the like), and some of it is the same.
bool share_memory(const Storage& a, const Storage& b);

}  // namespace flambeau
