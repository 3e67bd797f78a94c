#pragma once
// Memory of CPU tensors: a caching allocator on huge pages.
//
// Small blocks come from lists of the calling thread; larger ones from arenas that ask for huge
// pages and are reused, because a page fault costs more than most kernels. Idle memory beyond what
// the program needed in the last seconds goes back to the system.

#include <cstddef>
#include <string>

#include "base/error.h"

namespace flambeau {

inline constexpr size_t kAllocationAlignment = 64;

/// The system has no more memory. The message begins with who asked for it.
class OutOfMemory : public RuntimeError {
 public:
  OutOfMemory(std::string_view who, std::string reason)
      : RuntimeError(concat(who, ": ", reason)), reason_(std::move(reason)) {}
  /// The message after who asked.
  const std::string& reason() const { return reason_; }

 private:
  std::string reason_;
};

/// `bytes` of uninitialised memory, aligned to kAllocationAlignment; nullptr for 0 bytes. Bytes
/// past the end belong to nobody. Any thread may free it. Throws OutOfMemory, which begins with
/// `who`.
void* allocate(size_t bytes, const char* who = "allocate");

/// Gives back what allocate(bytes) returned; `bytes` must be the same. Nothing for nullptr.
void deallocate(void* block, size_t bytes) noexcept;

/// allocate() for the length of a scope.
class Workspace {
 public:
  Workspace(size_t bytes, const char* who)
      : bytes_(bytes), data_(static_cast<char*>(allocate(bytes, who))) {}
  ~Workspace() { deallocate(data_, bytes_); }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  char* data() const { return data_; }

 private:
  size_t bytes_;
  char* data_;
};

struct MemoryStats {
  size_t allocated_bytes = 0;  ///< asked for and not yet given back
  size_t reserved_bytes = 0;   ///< held from the system, idle blocks included
  size_t peak_bytes = 0;       ///< greatest allocated_bytes seen (to 64 KiB for each thread)
};

MemoryStats memory_stats();
/// Lets peak_bytes begin again from what is allocated now.
void reset_peak_memory_stats();

/// Gives idle memory of the shared lists and of the calling thread back to the system.
void empty_cache();

}  // namespace flambeau
