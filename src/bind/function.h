#pragma once
// autograd.Function and hooks on what is saved, for Python.

#include <nanobind/nanobind.h>

namespace flambeau::bind {

void add_function(nanobind::module_& module);
void add_saved_tensor_hooks(nanobind::module_& module);

}  // namespace flambeau::bind
