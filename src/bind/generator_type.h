#pragma once
// The Python class Generator, and the functions of the default one.

#include <nanobind/nanobind.h>

namespace flambeau::bind {

void add_generator(nanobind::module_& module);

/// The generator of a Generator object; nullptr if it is none.
void* generator_from(PyObject* object);

}  // namespace flambeau::bind
