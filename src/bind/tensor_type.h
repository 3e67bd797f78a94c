#pragma once
// The Python class Tensor: an object that owns a TensorImpl (see base/intrusive.h). A tensor has at
// most one Python object, so identity, subclass and attributes are kept for its whole life.

#include "bind/python.h"
#include "tensor/tensor.h"

namespace flambeau::bind {

struct TensorObject {
  PyObject_HEAD TensorImpl* impl;
  PyObject* dict;
  PyObject* weak_references;
};

/// The class; null until add_tensor_type() made it.
extern PyTypeObject* tensor_type;

/// Makes the class and installs the reference counting hooks.
void add_tensor_type(PyObject* module);

inline bool is_tensor(PyObject* object) {
  return Py_TYPE(object) == tensor_type || PyType_IsSubtype(Py_TYPE(object), tensor_type) != 0;
}
/// The tensor of a Tensor object.
inline Tensor tensor_of(PyObject* object) {
  return Tensor(Ref<TensorImpl>(reinterpret_cast<TensorObject*>(object)->impl));
}
/// A new reference to the Python object of `tensor`, made if there is none; None if undefined.
PyObject* wrap(const Tensor& tensor);
/// The same as an instance of the subclass `type`; the tensor must not have an object yet.
PyObject* wrap_as(const Tensor& tensor, PyTypeObject* type);

/// A new tuple of ints.
Object int_tuple(const Ints& values);

}  // namespace flambeau::bind
