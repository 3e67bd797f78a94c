#pragma once
// Copying between layouts.

#include "runtime/launch.h"
#include "tensor/tensor.h"

namespace flambeau {

/// to[i] = from[i]; equal shapes and dtypes, any strides, no common memory. No version counting.
void copy_elements(const Tensor& from, const Tensor& to);

/// The launches of such a copy, of which buffer 0 is `from` and 1 is `to`; memory is not looked at.
BoundLaunches bind_copy(const Tensor& from, const Tensor& to);

/// A row-major copy, or `tensor` itself if it is row-major already.
Tensor row_major(const Tensor& tensor);

}  // namespace flambeau
