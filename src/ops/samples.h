#pragma once
// Sample lists that many definitions share.

#include "ops/definition.h"

namespace flambeau::ops {

/// A tensor with 0, -0, ties, bounds, +-100 and infinities among its elements.
inline SampleTensor special_values(std::initializer_list<int64_t> shape) {
  SampleTensor s = t(shape);
  s.specials = true;
  return s;
}
/// A tensor of a fixed dtype (indices, masks), values in [low, high).
inline SampleTensor typed(std::initializer_list<int64_t> shape, DType dtype, double low,
                          double high) {
  SampleTensor s = t(shape, low, high);
  s.dtype = dtype;
  return s;
}
inline SampleTensor mask(std::initializer_list<int64_t> shape) {
  return typed(shape, DType::Bool, 0, 2);
}
inline SampleTensor indices(std::initializer_list<int64_t> shape, int64_t count) {
  return typed(shape, DType::Int64, 0, static_cast<double>(count));
}

/// One tensor of values in [low, high): matrix, 0-dim, empty.
SampleList unary_samples_in(double low, double high);
/// The same over [-2, 2), and special values.
SampleList unary_samples();
SampleList positive_samples();
SampleList unit_samples();
/// Two tensors: equal shapes, broadcast both ways, 0-dim, empty, special values.
SampleList binary_samples();
SampleList positive_binary_samples();

}  // namespace flambeau::ops
