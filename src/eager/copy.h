#pragma once
// Copying between layouts.

#include "tensor/tensor.h"

namespace flambeau {

/// to[i] = from[i]; equal shapes and dtypes, any strides, no common memory. No version counting.
void copy_elements(const Tensor& from, const Tensor& to);

/// Asks for the kernel of such a copy, and copies nothing; memory is not looked at.
void ask_for_copy_kernel(const Tensor& from, const Tensor& to);

/// A row-major copy, or `tensor` itself if it is row-major already.
Tensor row_major(const Tensor& tensor);

}  // namespace flambeau
