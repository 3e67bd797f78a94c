#pragma once
// The directory of a zip archive whose entries are stored as they are, as checkpoints have it.

#include <cstddef>
#include <map>
#include <span>
#include <string>

namespace flambeau::io {

/// The entries of an archive, by name: their bytes in the archive's.
using ZipEntries = std::map<std::string, std::span<const std::byte>, std::less<>>;

/// True if the bytes begin as a zip archive does.
bool is_zip(std::span<const std::byte> bytes);

/// The entries of the archive that `bytes` are. ValueError that begins with `source` for an archive
/// that is cut off, split, encrypted or compressed, whose entries lie outside of it or over each
/// other, or have a name twice or a name that leads out of a folder.
ZipEntries read_zip(std::span<const std::byte> bytes, const std::string& source);

}  // namespace flambeau::io
