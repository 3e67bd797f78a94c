#pragma once

#include "bind/python.h"

namespace flambeau::bind {

/// Makes the class _ModuleBase, from which nn.Module inherits how its attributes are found, as
/// those of any object, then among `_parameters`, `_buffers` and `_modules`, and how it is called:
/// `forward`, between the hooks if there are any. A forward names each weight and calls each layer:
/// in Python that would be most of the time of a small one.
void add_module_type(PyObject* module);

}  // namespace flambeau::bind
