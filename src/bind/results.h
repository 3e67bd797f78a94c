#pragma once
// Results of operations as Python objects.

#include "autograd/call.h"
#include "bind/python.h"

namespace flambeau::bind {

/// What the schema of `op` says it returns: a tensor, a number, a tuple, a named tuple, None.
Object results_object(const ops::Definition& op, const Results& results);

}  // namespace flambeau::bind
