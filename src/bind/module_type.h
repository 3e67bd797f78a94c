#pragma once

#include "bind/python.h"

namespace flambeau::bind {

/// Makes the class _ModuleAttributes, from which nn.Module inherits how its attributes are found:
/// as those of any object, then among `_parameters`, `_buffers` and `_modules`. In Python this
/// would be a failed look-up, with its message, and a call of `__getattr__` for each weight and
/// layer that a forward names.
void add_module_type(PyObject* module);

}  // namespace flambeau::bind
