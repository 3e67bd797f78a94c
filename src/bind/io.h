#pragma once
// Tensor files in Python.

#include <nanobind/nanobind.h>

namespace flambeau::bind {

/// Adds `_load_file(path, read_only) -> (tensors, metadata)` and
/// `_save_file(tensors, path, metadata)`.
void add_io(nanobind::module_& module);

}  // namespace flambeau::bind
