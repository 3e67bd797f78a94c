#pragma once
// Exchange with other libraries without a copy: the DLPack protocol (dmlc.github.io/dlpack).

#include "bind/python.h"
#include "tensor/tensor.h"

namespace flambeau::bind {

/// A capsule "dltensor" that shares the tensor's memory and keeps it alive.
Object to_dlpack(const Tensor& tensor);
/// The tensor in a capsule, which is used up. BufferError for devices and types that we lack.
Tensor from_dlpack(PyObject* capsule);

}  // namespace flambeau::bind
