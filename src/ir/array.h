#pragma once
// Walking arrays by index: what the interpretations of the structural primitives are made of.

#include <span>

#include "ir/core_function.h"
#include "ir/interpreter.h"

namespace flambeau::ir {

/// Number of elements; 1 for no axes.
int64_t element_count(std::span<const int64_t> shape);

/// Row-major strides, in elements.
Ints strides_of(std::span<const int64_t> shape);

/// Sum of index * stride.
int64_t offset_of(std::span<const int64_t> index, std::span<const int64_t> strides);

/// Calls fn(index) for each index of `shape` in row-major order; fn takes a const Ints&.
template <class Fn>
void for_each_index(std::span<const int64_t> shape, const Fn& fn) {
  if (element_count(shape) == 0) return;
  Ints index(shape.size());
  for (;;) {
    fn(static_cast<const Ints&>(index));
    size_t axis = shape.size();
    while (axis > 0 && ++index[axis - 1] == shape[axis - 1]) index[--axis] = 0;
    if (axis == 0) return;
  }
}

/// The array of `shape` whose element [i0, i1, ...] is that of `source` at row-major position
/// offset + sum of i * stride: broadcast, permute, slice and flip. InternalError out of range.
ArrayValue strided_copy(const ArrayValue& source, const Ints& shape, int64_t offset,
                        const Ints& strides);

/// Element `position` (row-major) of `array`.
Container element(const ArrayValue& array, int64_t position);
void set_element(ArrayValue& array, int64_t position, Container value);

/// An array with every element `value`.
ArrayValue full(DType dtype, const Ints& shape, Container value);

/// `array` as `dtype`: the core operation Convert on each element.
ArrayValue convert_array(const ArrayValue& array, DType dtype);

/// The concrete shape under `bindings`.
Ints evaluate(const Shape& shape, const DimBindings& bindings);

}  // namespace flambeau::ir
