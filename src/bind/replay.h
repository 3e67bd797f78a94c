#pragma once
// compile(replay=True) for Python: what decides that a call is one that was recorded.

#include <nanobind/nanobind.h>

namespace flambeau::bind {

void add_replay(nanobind::module_& module);

}  // namespace flambeau::bind
