#pragma once
// Tensors as the interpreter's arrays, and comparison to the bit.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "ir/array.h"
#include "tensor/tensor.h"

namespace flambeau::testing {

/// Calls fn(offset in elements from the first) for each element in row-major order.
template <class Fn>
void for_each_offset(const Ints& sizes, const Ints& strides, const Fn& fn) {
  ir::for_each_index(sizes, [&](const Ints& index) { fn(ir::offset_of(index, strides)); });
}

inline ir::ArrayValue array_of(const Tensor& tensor) {
  ir::ArrayValue array(tensor.dtype(), tensor.sizes());
  const auto size = static_cast<int64_t>(size_of(tensor.dtype()));
  std::byte* to = array.data.data();
  for_each_offset(tensor.sizes(), tensor.strides(), [&](int64_t offset) {
    std::memcpy(to, static_cast<const char*>(tensor.data_ptr()) + offset * size,
                static_cast<size_t>(size));
    to += size;
  });
  return array;
}

/// The array as real numbers: a last axis of two for complex ones.
inline ir::ArrayValue real_parts(const ir::ArrayValue& array) {
  ir::ArrayValue parts = array;
  if (is_complex(array.dtype)) {
    parts.dtype = real_dtype(array.dtype);
    parts.shape.push_back(2);
  }
  return parts;
}

/// Where the first difference is; empty if there is none. NaN equals NaN.
inline std::string difference(const ir::ArrayValue& given, const ir::ArrayValue& expected) {
  if (given.dtype != expected.dtype || given.shape != expected.shape)
    return concat(info(given.dtype).name, list_text(given.shape), " instead of ",
                  info(expected.dtype).name, list_text(expected.shape));
  const ir::ArrayValue got = real_parts(given);
  const ir::ArrayValue wanted = real_parts(expected);
  for (int64_t i = 0; i < got.size(); ++i) {
    const ir::Container a = ir::element(got, i);
    const ir::Container b = ir::element(wanted, i);
    const double x = ir::to_double(got.dtype, a);
    const double y = ir::to_double(got.dtype, b);
    if (a != b && !(is_float(got.dtype) && std::isnan(x) && std::isnan(y)))
      return concat("element ", i, " is ", x, " instead of ", y);
  }
  return {};
}

}  // namespace flambeau::testing
