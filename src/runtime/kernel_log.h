#pragma once
// The file of the kernel cache: a log of checksummed records, shared by processes.
//
//   file   = header (64 bytes) record*
//   record = header (64 bytes: magic, key, length, checksums, time of last use) payload, padded to
//            a multiple of 64
//
// Processes append under a lock and never change what they appended, but for the time of last use.
// A record cut off at the end by a crash is overwritten by the next append; after damaged bytes the
// log goes on at the next valid header. When the file reaches its bound, the most recently used
// half is copied to a new file, which replaces it at once; other processes notice at their next
// miss.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "runtime/file_handle.h"

namespace flambeau {

/// Not thread-safe, but for key_lock. Nothing here throws for what the file system does: the first
/// thing that goes wrong is told on stderr, and the log then holds nothing or takes nothing more.
class KernelLog {
 public:
  KernelLog(std::filesystem::path folder, uint64_t max_bytes);

  /// Opens the file at the first call; true if it can be read.
  bool open();
  /// The payload of the latest undamaged record of `key`, others' recent appends included.
  std::optional<std::vector<std::byte>> read(const Hash128& key);
  /// Appends a record unless somebody else just did.
  void append(const Hash128& key, std::span<const std::byte> payload);
  uint64_t file_bytes() const;

  /// The right to compile `key`, among all processes. Call after open() has returned true.
  ByteLock key_lock(const Hash128& key, std::chrono::milliseconds patience) const;

  /// In a child of fork(): locks of the parent are not the child's.
  void reopen_locks();

 private:
  struct RecordHeader;
  struct Entry {
    uint64_t offset;
    uint64_t length;
    int64_t last_used;
  };

  void refuse(const std::string& reason);
  bool open_folder();
  FileHandle open_own_file(const char* name, int flags);
  static bool has_header(int fd);
  bool open_log(bool locked);
  bool replace_log(std::span<const std::pair<Hash128, Entry>> kept);
  void refresh(bool locked);
  void scan(uint64_t offset);
  std::optional<std::vector<std::byte>> read_entry(const Hash128& key, const Entry& entry,
                                                   RecordHeader& header) const;
  void touch(Entry& entry);
  bool make_room(uint64_t bytes);
  bool write_record(const Hash128& key, std::span<const std::byte> payload);
  bool write_all(int fd, std::span<const std::byte> bytes, uint64_t offset);

  std::filesystem::path folder_;
  uint64_t max_bytes_;
  bool tried_ = false;
  bool warned_ = false;
  bool writable_ = true;
  FileHandle folder_fd_;
  FileHandle lock_fd_;
  FileHandle log_fd_;
  uint64_t inode_ = 0;
  uint64_t end_ = 0;      // of the last valid record
  uint64_t scanned_ = 0;  // size of the file when it was last scanned
  std::unordered_map<Hash128, Entry> index_;
};

}  // namespace flambeau
