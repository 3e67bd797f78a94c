#pragma once
// The safetensors format (huggingface.co/docs/safetensors): an 8-byte length, a JSON header that
// names tensors, their dtypes, shapes and places, and their row-major elements.

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace flambeau::io {

using NamedTensors = std::map<std::string, Tensor>;
using Metadata = std::map<std::string, std::string>;

/// Where a tensor lies: bytes [begin, end) after the header.
struct TensorPlace {
  std::string name;
  DType dtype = DType::Float32;
  Ints sizes;
  uint64_t begin = 0;
  uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<TensorPlace> tensors;  ///< by place; they cover the data without a gap
  Metadata metadata;
  uint64_t data_start = 0;  ///< offset of byte 0 of the data in the file
};

/// Headers longer than this are refused, as by the format's own reader.
inline constexpr uint64_t kLongestHeader = 100'000'000;

/// The header of a file of these bytes. Nothing of the data is looked at. ValueError that starts
/// with `source` and says what is wrong for every file that the format does not allow: a header
/// that is cut off, too long or no JSON of the right form, names that occur twice, unknown dtypes,
/// shapes that overflow or do not fit their bytes, overlaps, gaps, and bytes past the last tensor.
SafetensorsHeader parse_safetensors(std::span<const std::byte> file, const std::string& source);

/// How the memory of loaded tensors behaves. The file is mapped in both cases; replacing it while
/// it is in use is safe, shortening it in place is not.
enum class FileAccess : uint8_t {
  CopyOnWrite,  ///< writes change memory of this process only
  ReadOnly,     ///< in-place operations are refused
};

struct LoadedFile {
  NamedTensors tensors;
  Metadata metadata;
};

/// The tensors of a file. EnvironmentError if it cannot be read, ValueError if it is damaged.
LoadedFile load_file(const std::string& path, FileAccess access = FileAccess::CopyOnWrite);

/// Writes `tensors` to `path`, whole or not at all: a new file in the same folder takes the place
/// of the old one when it is safely on disk. EnvironmentError if that fails; the old file is then
/// unchanged. ValueError for the name "__metadata__" and for text that is not UTF-8.
void save_file(const NamedTensors& tensors, const std::string& path, const Metadata& metadata = {});

}  // namespace flambeau::io
