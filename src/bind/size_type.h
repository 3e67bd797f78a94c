#pragma once

#include "bind/python.h"

namespace flambeau::bind {

/// Makes the class Size; what C++ does with it is in constants.h.
void add_size_type(PyObject* module);

}  // namespace flambeau::bind
