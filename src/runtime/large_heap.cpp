#include "runtime/large_heap.h"

#include <sys/mman.h>

#include <algorithm>
#include <iterator>

#include "runtime/poison.h"

namespace flambeau {
namespace {

constexpr size_t kArenaBytes = size_t{32} << 20;
/// Blocks from this size on get an arena of their own when none has room.
constexpr size_t kOwnArena = size_t{16} << 20;
/// Idle memory up to this is kept whatever the program does.
constexpr size_t kAlwaysKept = size_t{256} << 20;
constexpr std::chrono::seconds kPeriod{10};

}  // namespace

void* map_pages(size_t bytes) {
  // One huge page more than wanted, to cut an aligned piece out of it.
  void* raw =
      mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  auto* const begin = static_cast<std::byte*>(raw);
  const size_t skip = (kHugePage - reinterpret_cast<uintptr_t>(raw) % kHugePage) % kHugePage;
  if (skip != 0) munmap(begin, skip);
  munmap(begin + skip + bytes, kHugePage - skip);
  // Only advice: without huge pages the memory is slower, not wrong.
  madvise(begin + skip, bytes, MADV_HUGEPAGE);
  return begin + skip;
}

void unmap_pages(void* pages, size_t bytes) noexcept {
  unpoison(pages, bytes);
  munmap(pages, bytes);
}

void* LargeHeap::allocate(size_t bytes) {
  auto found = free_by_size_.lower_bound({bytes, 0});
  if (found == free_by_size_.end()) {
    const size_t own = (bytes + kHugePage - 1) / kHugePage * kHugePage;
    if (!add_arena(bytes >= kOwnArena ? own : kArenaBytes)) {
      trim();
      if (!add_arena(own)) return nullptr;
    }
    found = free_by_size_.lower_bound({bytes, 0});
  }
  const auto [size, address] = *found;
  erase_free(address, size);
  if (size > bytes) insert_free(address + bytes, size - bytes);
  used_ += bytes;
  count_use();
  return reinterpret_cast<void*>(address);
}

void LargeHeap::deallocate(void* block, size_t bytes) {
  used_ -= bytes;
  uintptr_t address = reinterpret_cast<uintptr_t>(block);
  const auto next = free_by_address_.lower_bound(address);
  // Arenas may lie side by side; a free block never crosses from one into the other.
  if (next != free_by_address_.end() && next->first == address + bytes &&
      !arenas_.contains(next->first)) {
    const size_t next_bytes = next->second;
    erase_free(address + bytes, next_bytes);
    bytes += next_bytes;
  }
  const auto after = free_by_address_.lower_bound(address);
  if (after != free_by_address_.begin() && !arenas_.contains(address)) {
    const auto [before, before_bytes] = *std::prev(after);
    if (before + before_bytes == address) {
      erase_free(before, before_bytes);
      address = before;
      bytes += before_bytes;
    }
  }
  insert_free(address, bytes);
  const auto arena = arenas_.find(address);
  if (arena != arenas_.end() && arena->second == bytes && reserved_ > reserve_limit())
    unmap_arena(address, bytes);
}

void LargeHeap::trim() {
  for (auto arena = arenas_.begin(); arena != arenas_.end();) {
    const auto [address, bytes] = *arena++;
    const auto block = free_by_address_.find(address);
    if (block != free_by_address_.end() && block->second == bytes) unmap_arena(address, bytes);
  }
}

bool LargeHeap::add_arena(size_t bytes) {
  void* const pages = map_pages(bytes);
  if (pages == nullptr) return false;
  const uintptr_t address = reinterpret_cast<uintptr_t>(pages);
  arenas_.emplace(address, bytes);
  insert_free(address, bytes);
  reserved_ += bytes;
  return true;
}

void LargeHeap::insert_free(uintptr_t address, size_t bytes) {
  free_by_address_.emplace(address, bytes);
  free_by_size_.emplace(bytes, address);
}

void LargeHeap::erase_free(uintptr_t address, size_t bytes) {
  free_by_address_.erase(address);
  free_by_size_.erase({bytes, address});
}

void LargeHeap::unmap_arena(uintptr_t address, size_t bytes) {
  erase_free(address, bytes);
  arenas_.erase(address);
  reserved_ -= bytes;
  unmap_pages(reinterpret_cast<void*>(address), bytes);
}

void LargeHeap::count_use() { period_peak_ = std::max(period_peak_, used_); }

size_t LargeHeap::reserve_limit() {
  const Clock::time_point now = Clock::now();
  if (now - period_begin_ > kPeriod) {
    last_period_peak_ = now - period_begin_ > 2 * kPeriod ? used_ : period_peak_;
    period_peak_ = used_;
    period_begin_ = now;
  }
  const size_t needed = std::max(period_peak_, last_period_peak_);
  return needed + needed / 4 + kAlwaysKept;
}

}  // namespace flambeau
