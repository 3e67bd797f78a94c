#pragma once
// Files: mapped for reading, replaced as a whole for writing.

#include <cstddef>
#include <string>

#include "tensor/tensor.h"

namespace flambeau::io {

/// A file's bytes as a storage, by mapping. Writes to memory never reach the file.
/// EnvironmentError if it cannot be opened, is a folder, or cannot be mapped.
Ref<Storage> map_file(const std::string& path, bool read_only);

/// A file that is written beside `path` and takes its place at commit(). If anything fails, or if
/// there is no commit(), what was at `path` stays as it was. A symbolic link is followed.
/// Every member throws EnvironmentError. Processes that write the same path at once wait for each
/// other.
class ReplacedFile {
 public:
  explicit ReplacedFile(const std::string& path);
  ~ReplacedFile();
  ReplacedFile(const ReplacedFile&) = delete;
  ReplacedFile& operator=(const ReplacedFile&) = delete;
  void write(const void* data, size_t bytes);
  /// Returns once the file and its name are on disk.
  void commit();

 private:
  [[noreturn]] void fail(const char* doing, int error);
  void discard();

  std::string path_;
  std::string temporary_;
  int file_ = -1;
};

}  // namespace flambeau::io
