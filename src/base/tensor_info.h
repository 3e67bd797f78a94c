#pragma once
// What shape rules and layouts are computed from: a tensor without its storage.

#include "base/dtype.h"
#include "base/small_vector.h"

namespace flambeau {

struct TensorInfo {
  DType dtype = DType::Float32;
  Ints sizes;
  Ints strides;  ///< in elements

  int dim() const { return static_cast<int>(sizes.size()); }
  int64_t numel() const {
    int64_t n = 1;
    for (const int64_t size : sizes) n *= size;
    return n;
  }
  /// Row-major and dense; extents of 1 have any stride, tensors without elements are contiguous.
  bool is_contiguous() const {
    int64_t expected = 1;
    for (size_t i = sizes.size(); i-- > 0;) {
      if (sizes[i] == 0) return true;
      if (sizes[i] != 1 && strides[i] != expected) expected = -1;
      if (expected < 0) break;
      expected *= sizes[i];
    }
    return expected >= 0 || numel() == 0;
  }
};

/// Row-major strides of `sizes` (an extent of 0 counts as 1, as in PyTorch).
inline Ints contiguous_strides(const Ints& sizes) {
  Ints strides(sizes.size(), 1);
  for (size_t i = sizes.size(); i-- > 1;)
    strides[i - 1] = strides[i] * (sizes[i] > 1 ? sizes[i] : 1);
  return strides;
}

}  // namespace flambeau
