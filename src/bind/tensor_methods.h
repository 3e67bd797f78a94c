#pragma once
// What the class Tensor has beside operations: its methods, attributes and Python's protocols.

#include "bind/python.h"
#include "tensor/tensor.h"

namespace flambeau::bind {

/// Tables for the type's specification; each ends with a null entry.
PyMethodDef* tensor_methods();
PyGetSetDef* tensor_attributes();

// Slots of the type.
PyObject* tensor_repr(PyObject* self);
PyObject* tensor_iterator(PyObject* self);
Py_ssize_t tensor_length(PyObject* self);
PyObject* tensor_get_item(PyObject* self, PyObject* key);
int tensor_set_item(PyObject* self, PyObject* key, PyObject* value);
int tensor_bool(PyObject* self);
PyObject* tensor_int(PyObject* self);
PyObject* tensor_float(PyObject* self);
PyObject* tensor_index(PyObject* self);
int tensor_get_buffer(PyObject* self, Py_buffer* view, int flags);
void tensor_release_buffer(PyObject* self, Py_buffer* view);

}  // namespace flambeau::bind
