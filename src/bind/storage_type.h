#pragma once
// The Python class UntypedStorage: the memory of tensors, as bytes.

#include "bind/python.h"
#include "tensor/tensor.h"

namespace flambeau::bind {

void add_storage_type(PyObject* module);
/// A new reference to the one Python object of `storage`.
PyObject* wrap_storage(const Ref<Storage>& storage);
/// The storage of an object; TypeError if it is none.
Ref<Storage> storage_from(PyObject* object);

}  // namespace flambeau::bind
