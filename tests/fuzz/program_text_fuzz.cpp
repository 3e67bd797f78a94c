// Any text is read to a program or refused with a ValueError; what was read is written and read
// back to the same program, and the verifier judges it without crashing.

#include <string_view>

#include "base/error.h"
#include "ir/program.h"

using namespace flambeau;  // NOLINT(google-build-using-namespace): a program of one function

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ir::Program program;
  try {
    program = ir::parse_program({reinterpret_cast<const char*>(data), size});
  } catch (const ValueError&) {
    return 0;
  }
  const std::string text = program.text();
  require(ir::parse_program(text).text() == text, "a program reads back as it was written");
  try {
    verify(program);
  } catch (const InternalError&) {
    return 0;
  }
  return 0;
}
