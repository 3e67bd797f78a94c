#pragma once
// Whether a program keeps the rows of its parameters apart.

#include <span>

#include "ir/program.h"

namespace flambeau::lower {

/// Row axes of parameters and results: the axis along which one lies, or -1.
///
/// True if every result's row r depends on row r of the parameters alone, and results without a row
/// axis on no rows: then a run on some of the rows gives those rows of the results.
bool keeps_rows_apart(const ir::Program& program, std::span<const int> parameters,
                      std::span<const int> results);

}  // namespace flambeau::lower
