#pragma once
// Blocks of at most 16 KiB for the allocator: slabs of one size class each.

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>

#include "runtime/size_class.h"

namespace flambeau {

/// Not thread-safe; the allocator locks it.
class SmallHeap {
 public:
  static constexpr size_t kMaxBytes = 16 << 10;
  static constexpr int kClasses = class_of(kMaxBytes) + 1;

  /// A block of `size_class` (below kClasses); nullptr if the system has no memory.
  void* allocate(int size_class);
  void deallocate(void* block);
  /// Unmaps what holds no block.
  void trim();
  size_t reserved_bytes() const;

 private:
  struct Slab;
  /// 2 MiB of pages, cut into slabs; bit i is set while slab i is in use.
  using Chunks = std::map<uintptr_t, uint16_t>;

  Slab* new_slab(int size_class);
  void free_slab(Slab* slab);
  void unmap_chunk(Chunks::iterator chunk);
  void link(Slab* slab);
  void unlink(Slab* slab);

  Chunks chunks_;
  std::set<uintptr_t> roomy_chunks_;    // those with a free slab
  size_t idle_chunks_ = 0;              // those with no slab in use
  std::array<Slab*, kClasses> open_{};  // slabs with a free block
};

}  // namespace flambeau
