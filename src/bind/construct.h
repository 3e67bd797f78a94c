#pragma once
// Tensors from Python values: nested lists, NumPy arrays, buffers.

#include <optional>

#include "bind/python.h"
#include "tensor/tensor.h"

namespace flambeau::bind {

/// torch.tensor: a copy of `data`, with the dtype that PyTorch would choose if none is given.
Tensor tensor_from_data(PyObject* data, std::optional<DType> dtype);
/// torch.as_tensor: `data` itself where it is a tensor or an array of the dtype, else a copy.
Tensor as_tensor(PyObject* data, std::optional<DType> dtype);
/// torch.from_numpy: shares the array's memory.
Tensor tensor_from_numpy(PyObject* array);
/// torch.frombuffer: shares the buffer's memory.
Tensor tensor_from_buffer(PyObject* buffer, DType dtype, int64_t count, int64_t offset);
/// Tensor(2, 3), Tensor([1., 2.]), Tensor(other): of the default dtype.
Tensor construct_legacy(PyObject* args, PyObject* kwargs);
/// Nested lists of numbers; a number for 0-dim tensors.
Object list_of(const Tensor& tensor);

/// The dtype of a buffer's format ("f", "<i4"); nothing for what tensors cannot hold.
std::optional<DType> dtype_of_format(const char* format, Py_ssize_t item_size);
/// The format of a dtype; null for bfloat16, which Python's buffers do not know.
const char* format_of(DType dtype);

}  // namespace flambeau::bind
