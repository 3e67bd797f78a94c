#pragma once
// PyTorch's checkpoints as Python objects.

#include <nanobind/nanobind.h>

namespace flambeau::bind {

/// Adds `_read_torch_file(source, name, allowed, classes) -> (object, devices)`.
void add_torch_file(nanobind::module_& module);

}  // namespace flambeau::bind
