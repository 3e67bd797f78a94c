#pragma once
// Autograd in Python: modes, nodes, hooks, backward.

#include <nanobind/nanobind.h>

namespace flambeau::bind {

void add_autograd(nanobind::module_& module);

}  // namespace flambeau::bind
