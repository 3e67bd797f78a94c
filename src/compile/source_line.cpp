#include "compile/source_line.h"

namespace flambeau::compiler {

thread_local constinit SourceLine* SourceLine::of_thread = nullptr;

}  // namespace flambeau::compiler
