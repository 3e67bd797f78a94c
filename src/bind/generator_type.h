#pragma once
// The Python class Generator.

#include "bind/python.h"

namespace flambeau::bind {

/// The generator of a Generator object; nullptr if it is none.
void* generator_from(PyObject* object);

}  // namespace flambeau::bind
