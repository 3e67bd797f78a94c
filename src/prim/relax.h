#pragma once
// Rewrites that may change the last bits of results: compile(numerics="fast").

#include "ir/program.h"

namespace flambeau::prim {

/// The program with less work: zeros that are added and halves that are rounded in between fall
/// away, constants meet (x * a * b = x * (a * b)), divisions by constants and by values that are
/// stretched become multiplications, multiplications followed by additions become one. Results
/// keep their values but for rounding, as long as nothing overflows or leaves the normal numbers.
ir::Program relax(const ir::Program& program);

}  // namespace flambeau::prim
