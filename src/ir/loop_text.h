#pragma once
// Parts of the text form of loop programs, for messages.

#include <string>

#include "ir/loop_program.h"

namespace flambeau::ir {

/// "parallel", "vector".
const char* name_of(LoopMark mark);

/// The lines of a statement, each ended by a newline.
std::string statement_text(const Statement& statement, const std::string& indent);

/// The least slot_count, value_count and variable_count that a program's statements need; the text
/// form names a count only where the program's is another.
struct LoopCounts {
  int slots = 0;
  int values = 0;
  int variables = 0;
};
LoopCounts least_counts(const LoopProgram& program);

}  // namespace flambeau::ir
