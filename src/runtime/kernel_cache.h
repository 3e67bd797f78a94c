#pragma once
// The cache of compiled kernels: one bounded file per user, shared by processes, and a map in
// memory.
//
// The file is a log of checksummed records (kernel_log.h). A damaged record is a miss; a missing,
// unwritable or untrusted folder, a full disk or a foreign file leaves a cache in memory and one
// line on stderr. What a key holds never changes: it covers everything that the value depends on.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "base/function_ref.h"
#include "base/hash.h"

namespace flambeau {

using CachedBytes = std::shared_ptr<const std::vector<std::byte>>;

class KernelCache {
 public:
  /// The user's cache: FLAMBEAU_CACHE_DIR and FLAMBEAU_CACHE_SIZE_MB.
  static KernelCache& global();

  /// A cache in `folder` (made with mode 0700 if missing) whose file stays below `max_bytes`; with
  /// 0, or an empty path, in memory only. Touches no file before its first use.
  KernelCache(std::filesystem::path folder, uint64_t max_bytes);
  ~KernelCache();
  KernelCache(const KernelCache&) = delete;
  KernelCache& operator=(const KernelCache&) = delete;

  /// The value of `key`, or nullptr.
  CachedBytes find(const Hash128& key);

  /// Adds a value; the file keeps it if it can.
  void store(const Hash128& key, std::span<const std::byte> bytes);

  /// The value of `key`; if there is none, that of `compile()`, which is stored. Of all threads and
  /// processes that ask for one key at a time one compiles and the others wait for it (at most
  /// about a minute, for a process that has stopped). What `compile` throws passes through.
  CachedBytes get_or_compile(const Hash128& key, FunctionRef<std::vector<std::byte>()> compile);

  struct Stats {
    int64_t memory_hits = 0;
    int64_t disk_hits = 0;
    int64_t compiled = 0;
    uint64_t file_bytes = 0;  ///< 0 in memory only
    bool on_disk = false;     ///< false before the first use and when the file cannot be used
  };
  Stats stats();

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace flambeau
