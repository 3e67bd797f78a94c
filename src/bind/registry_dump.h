#pragma once
// The definitions as data, for the tools that generate stubs, headers and documentation.

#include <nanobind/nanobind.h>

namespace flambeau::bind {

/// Adds `_registry()`: one dict per definition.
void add_registry_dump(nanobind::module_& module);

}  // namespace flambeau::bind
