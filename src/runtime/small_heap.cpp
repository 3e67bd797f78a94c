#include "runtime/small_heap.h"

#include <bit>
#include <new>

#include "runtime/large_heap.h"
#include "runtime/poison.h"

namespace flambeau {
namespace {

constexpr size_t kSlabBytes = 128 << 10;
constexpr size_t kMaxIdleChunks = 16;
constexpr uint16_t kAllSlabs = 0xffff;
static_assert(kHugePage / kSlabBytes == 16, "a bit of the chunk's mask for each slab");

uintptr_t address_of(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer); }

}  // namespace

/// At the start of its memory. Blocks that were never used are beyond `fresh`, so that a new slab
/// touches only the pages that it gives out.
struct alignas(64) SmallHeap::Slab {
  Slab* previous;
  Slab* next;
  void* free;  // list through the first word of each block
  std::byte* fresh;
  uint32_t used;
  int size_class;

  std::byte* end() { return reinterpret_cast<std::byte*>(this) + kSlabBytes; }
  size_t block_bytes() const { return class_bytes(size_class); }
  bool full() { return free == nullptr && fresh + block_bytes() > end(); }
};

void* SmallHeap::allocate(int size_class) {
  Slab* slab = open_[static_cast<size_t>(size_class)];
  if (slab == nullptr) slab = new_slab(size_class);
  if (slab == nullptr) return nullptr;
  void* block = slab->free;
  if (block != nullptr) {
    slab->free = *static_cast<void**>(block);
  } else {
    block = slab->fresh;
    slab->fresh += slab->block_bytes();
  }
  ++slab->used;
  if (slab->full()) unlink(slab);
  return block;
}

void SmallHeap::deallocate(void* block) {
  Slab* const slab = reinterpret_cast<Slab*>(address_of(block) / kSlabBytes * kSlabBytes);
  if (slab->full()) link(slab);
  unpoison(block, sizeof(void*));
  *static_cast<void**>(block) = slab->free;
  slab->free = block;
  if (--slab->used == 0) free_slab(slab);
}

void SmallHeap::trim() {
  for (auto chunk = chunks_.begin(); chunk != chunks_.end();) {
    const auto this_chunk = chunk++;
    if (this_chunk->second == 0) unmap_chunk(this_chunk);
  }
}

size_t SmallHeap::reserved_bytes() const { return chunks_.size() * kHugePage; }

SmallHeap::Slab* SmallHeap::new_slab(int size_class) {
  if (roomy_chunks_.empty()) {
    void* const pages = map_pages(kHugePage);
    if (pages == nullptr) return nullptr;
    chunks_.emplace(address_of(pages), uint16_t{0});
    roomy_chunks_.insert(address_of(pages));
    ++idle_chunks_;
  }
  const auto chunk = chunks_.find(*roomy_chunks_.begin());
  if (chunk->second == 0) --idle_chunks_;
  const int index = std::countr_one(chunk->second);
  chunk->second = static_cast<uint16_t>(chunk->second | (1U << index));
  if (chunk->second == kAllSlabs) roomy_chunks_.erase(chunk->first);
  void* const memory =
      reinterpret_cast<void*>(chunk->first + static_cast<size_t>(index) * kSlabBytes);
  unpoison(memory, kSlabBytes);
  Slab* const slab = new (memory) Slab{};
  slab->fresh = static_cast<std::byte*>(memory) + sizeof(Slab);
  slab->size_class = size_class;
  link(slab);
  return slab;
}

void SmallHeap::free_slab(Slab* slab) {
  unlink(slab);
  const uintptr_t address = address_of(slab);
  const auto chunk = chunks_.find(address / kHugePage * kHugePage);
  const auto index = static_cast<int>((address % kHugePage) / kSlabBytes);
  chunk->second = static_cast<uint16_t>(chunk->second & ~(1U << index));
  roomy_chunks_.insert(chunk->first);
  if (chunk->second != 0) return;
  if (++idle_chunks_ > kMaxIdleChunks) unmap_chunk(chunk);
}

void SmallHeap::unmap_chunk(Chunks::iterator chunk) {
  --idle_chunks_;
  roomy_chunks_.erase(chunk->first);
  unmap_pages(reinterpret_cast<void*>(chunk->first), kHugePage);
  chunks_.erase(chunk);
}

void SmallHeap::link(Slab* slab) {
  Slab*& head = open_[static_cast<size_t>(slab->size_class)];
  slab->previous = nullptr;
  slab->next = head;
  if (head != nullptr) head->previous = slab;
  head = slab;
}

void SmallHeap::unlink(Slab* slab) {
  Slab*& head = open_[static_cast<size_t>(slab->size_class)];
  (slab->previous != nullptr ? slab->previous->next : head) = slab->next;
  if (slab->next != nullptr) slab->next->previous = slab->previous;
}

}  // namespace flambeau
