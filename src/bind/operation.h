#pragma once
// Operations as Python callables, made from the definitions of ops/registry.h.

#include "bind/python.h"

namespace flambeau::bind {

/// Adds every method to the class Tensor, and `_functions` to the module: a dict from the path of
/// a function ("softmax", "nn.functional.gelu") to it. Needs the class Tensor.
void add_operations(PyObject* module);

/// True for callables that add_operations() made.
bool is_operation(PyObject* object);
/// The vectorcall of every such callable.
PyObject* call_operation(PyObject* callable, PyObject* const* args, size_t flagged_count,
                         PyObject* keywords);

}  // namespace flambeau::bind
