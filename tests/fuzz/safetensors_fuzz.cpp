// Any bytes are read as a safetensors file or refused with a ValueError; the tensors of a file that
// was read lie inside it, one after the other.

#include "base/error.h"
#include "io/safetensors.h"

using namespace flambeau;  // NOLINT(google-build-using-namespace): a program of one function

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  io::SafetensorsHeader header;
  try {
    header = io::parse_safetensors({reinterpret_cast<const std::byte*>(data), size}, "fuzz");
  } catch (const ValueError&) {
    return 0;
  }
  uint64_t end = header.data_start;
  for (const io::TensorPlace& place : header.tensors) {
    require(header.data_start + place.begin == end, "tensors follow each other");
    end = header.data_start + place.end;
  }
  require(end == size, "tensors end with the file");
  return 0;
}
