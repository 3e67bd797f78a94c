#pragma once
// A program in words.

#include <string>

#include "compile/program.h"

namespace flambeau::compile {

/// One line per region: what it is made of, its steps, and its estimated time.
std::string text_of(const Program& program, const Recording& recording);

}  // namespace flambeau::compile
