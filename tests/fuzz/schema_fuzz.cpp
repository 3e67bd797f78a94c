// Any text is read to a schema or refused with an InternalError; what was read is written and read
// back to the same schema.

#include <string_view>

#include "base/error.h"
#include "ops/schema.h"

using namespace flambeau;  // NOLINT(google-build-using-namespace): a program of one function

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ops::Schema schema;
  try {
    schema = ops::parse_schema({reinterpret_cast<const char*>(data), size});
  } catch (const InternalError&) {
    return 0;
  }
  const std::string text = schema.text();
  require(ops::parse_schema(text).text() == text, "a schema reads back as it was written");
  return 0;
}
