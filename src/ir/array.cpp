#include "ir/array.h"

#include "base/error.h"

namespace flambeau::ir {

ArrayValue::ArrayValue(DType type, Ints extents) : dtype(type), shape(std::move(extents)) {
  for (const int64_t extent : shape) require(extent >= 0, "array: negative extent");
  data.resize(static_cast<size_t>(element_count(shape)) * size_of(dtype));
}

int64_t ArrayValue::size() const { return element_count(shape); }

int64_t element_count(std::span<const int64_t> shape) {
  int64_t count = 1;
  for (const int64_t extent : shape) count *= extent;
  return count;
}

Ints strides_of(std::span<const int64_t> shape) {
  Ints strides(shape.size());
  int64_t stride = 1;
  for (size_t axis = shape.size(); axis-- > 0;) {
    strides[axis] = stride;
    stride *= shape[axis];
  }
  return strides;
}

int64_t offset_of(std::span<const int64_t> index, std::span<const int64_t> strides) {
  int64_t offset = 0;
  for (size_t axis = 0; axis < index.size(); ++axis) offset += index[axis] * strides[axis];
  return offset;
}

Container element(const ArrayValue& array, int64_t position) {
  require(position >= 0 && position < array.size(), "array: position out of range");
  return load_element(array.dtype,
                      array.data.data() + static_cast<size_t>(position) * size_of(array.dtype));
}

void set_element(ArrayValue& array, int64_t position, Container value) {
  require(position >= 0 && position < array.size(), "array: position out of range");
  store_element(array.dtype,
                array.data.data() + static_cast<size_t>(position) * size_of(array.dtype), value);
}

ArrayValue strided_copy(const ArrayValue& source, const Ints& shape, int64_t offset,
                        const Ints& strides) {
  ArrayValue out(source.dtype, shape);
  int64_t position = 0;
  for_each_index(shape, [&](const Ints& index) {
    set_element(out, position++, element(source, offset + offset_of(index, strides)));
  });
  return out;
}

ArrayValue full(DType dtype, const Ints& shape, Container value) {
  ArrayValue out(dtype, shape);
  for (int64_t i = 0; i < out.size(); ++i) set_element(out, i, value);
  return out;
}

ArrayValue convert_array(const ArrayValue& array, DType dtype) {
  if (array.dtype == dtype) return array;
  ArrayValue out(dtype, array.shape);
  const CoreFunction convert = core_function(CoreOp::Convert, dtype, array.dtype);
  for (int64_t i = 0; i < out.size(); ++i) set_element(out, i, convert(element(array, i), 0, 0));
  return out;
}

Ints evaluate(const Shape& shape, const DimBindings& bindings) {
  Ints out;
  for (const Dim& d : shape) out.push_back(d.evaluate(bindings));
  return out;
}

}  // namespace flambeau::ir
