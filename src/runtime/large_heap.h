#pragma once
// Blocks of 20 KiB and more for the allocator: best fit in arenas on huge pages.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <utility>

namespace flambeau {

/// Maps `bytes` (a multiple of 2 MiB) of zeroed memory, aligned to 2 MiB, on huge pages where the
/// system gives them; nullptr if it has no memory.
void* map_pages(size_t bytes);
void unmap_pages(void* pages, size_t bytes) noexcept;

inline constexpr size_t kHugePage = size_t{2} << 20;

/// Not thread-safe; the allocator locks it.
class LargeHeap {
 public:
  static constexpr size_t kGranule = 4096;

  /// A block of `bytes`, a multiple of kGranule; nullptr if the system has no memory.
  void* allocate(size_t bytes);
  void deallocate(void* block, size_t bytes);
  /// Unmaps every arena that holds no block.
  void trim();
  size_t reserved_bytes() const { return reserved_; }

 private:
  using Clock = std::chrono::steady_clock;

  bool add_arena(size_t bytes);
  void insert_free(uintptr_t address, size_t bytes);
  void erase_free(uintptr_t address, size_t bytes);
  void unmap_arena(uintptr_t address, size_t bytes);
  void count_use();
  size_t reserve_limit();

  std::map<uintptr_t, size_t> arenas_;           // address to bytes
  std::map<uintptr_t, size_t> free_by_address_;  // neighbours are merged
  std::set<std::pair<size_t, uintptr_t>> free_by_size_;
  size_t reserved_ = 0;
  size_t used_ = 0;
  // The greatest use in this and in the last period: what the program is likely to need again.
  size_t period_peak_ = 0;
  size_t last_period_peak_ = 0;
  Clock::time_point period_begin_ = Clock::now();
};

}  // namespace flambeau
