#include "runtime/allocator.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fork.h"
#include "runtime/large_heap.h"
#include "runtime/poison.h"
#include "runtime/size_class.h"
#include "runtime/small_heap.h"

namespace flambeau {
namespace {

/// Of one class, a thread keeps blocks of this many bytes, and of all classes at most the other.
constexpr size_t kListBytes = 256 << 10;
constexpr size_t kThreadBytes = size_t{8} << 20;
/// Threads report what they allocated in steps of this size, so that the common path touches no
/// shared memory.
constexpr int64_t kReportBytes = 64 << 10;
/// Greater than any address space; rounding sizes up cannot overflow below it.
constexpr size_t kImpossible = size_t{1} << 47;

constexpr size_t list_limit(int size_class) {
  return std::clamp<size_t>(kListBytes / class_bytes(size_class), 4, 128);
}

/// Per class, where its blocks begin among all that a thread may keep; last, how many these are.
constexpr std::array<uint32_t, kClassCount + 1> list_begins() {
  std::array<uint32_t, kClassCount + 1> begins{};
  for (int c = 0; c < kClassCount; ++c)
    begins[static_cast<size_t>(c) + 1] =
        begins[static_cast<size_t>(c)] + static_cast<uint32_t>(list_limit(c));
  return begins;
}
constexpr std::array<uint32_t, kClassCount + 1> kListBegins = list_begins();

/// Free blocks of a thread. Nothing is written into them: they are mostly in the caches of the core
/// that used them last, which need not be this one.
class ThreadCache {
 public:
  size_t bytes = 0;
  // Allocated less freed since the last report; written by its thread only.
  std::atomic<int64_t> unreported{0};

  size_t count(int size_class) const { return counts_[static_cast<size_t>(size_class)]; }
  bool is_full(int size_class) const {
    const auto c = static_cast<size_t>(size_class);
    return counts_[c] == kListBegins[c + 1] - kListBegins[c];
  }
  /// The block that was pushed last; nullptr if there is none.
  void* pop(int size_class) {
    const auto c = static_cast<size_t>(size_class);
    if (counts_[c] == 0) return nullptr;
    bytes -= class_bytes(size_class);
    return blocks_[kListBegins[c] + --counts_[c]];
  }
  /// The list is not full.
  void push(int size_class, void* block) {
    const auto c = static_cast<size_t>(size_class);
    blocks_[kListBegins[c] + counts_[c]++] = block;
    bytes += class_bytes(size_class);
  }

 private:
  std::array<uint32_t, kClassCount> counts_{};
  std::array<void*, kListBegins[kClassCount]> blocks_;
};

class Central {
 public:
  static Central& get();

  void* take(int size_class);
  void* take_large(size_t bytes);
  void give(int size_class, void* block) noexcept;
  void give_large(void* block, size_t bytes) noexcept;
  /// Fills an empty list and returns one more block; nullptr if the system has no memory.
  void* refill(ThreadCache& cache, int size_class);
  /// Shortens a list to `keep` blocks.
  void shorten(ThreadCache& cache, int size_class, size_t keep) noexcept;

  void add_thread(ThreadCache* cache);
  void remove_thread(ThreadCache* cache) noexcept;
  void report(int64_t change) noexcept;
  MemoryStats stats();
  void reset_peak();
  void trim();

 private:
  Central();

  std::mutex small_mutex_;  // taken before large_mutex_
  SmallHeap small_;
  std::vector<ThreadCache*> threads_;  // under small_mutex_
  std::mutex large_mutex_;
  LargeHeap large_;
  std::atomic<int64_t> allocated_{0};
  std::atomic<int64_t> peak_{0};
};

// The pointer is read on every call, so it is a plain word in the thread's static block.
thread_local constinit ThreadCache* thread_cache = nullptr;
// After the cache of an ending thread is gone, other destructors of the thread may still free.
thread_local constinit bool thread_ended = false;

struct ThreadGuard {
  ThreadGuard() {
    Central::get().add_thread(cache.get());
    thread_cache = cache.get();
  }
  ~ThreadGuard() {
    thread_cache = nullptr;
    thread_ended = true;
    Central::get().remove_thread(cache.get());
  }
  ThreadGuard(const ThreadGuard&) = delete;
  ThreadGuard& operator=(const ThreadGuard&) = delete;
  // Apart: a process has less than 2 KiB of static blocks for all libraries that it loads late.
  std::unique_ptr<ThreadCache> cache = std::make_unique<ThreadCache>();
};

/// The calling thread's cache, made at its first use; nullptr while the thread ends.
ThreadCache* own_cache() {
  if (thread_cache != nullptr || thread_ended) return thread_cache;
  thread_local ThreadGuard guard;
  return guard.cache.get();
}

Central& Central::get() {
  // Never destroyed: tensors in static variables are freed after everything else.
  static Central* const central = new Central;
  return *central;
}

Central::Central() {
  on_fork({.before =
               [] {
                 get().small_mutex_.lock();
                 get().large_mutex_.lock();
               },
           .in_parent =
               [] {
                 get().large_mutex_.unlock();
                 get().small_mutex_.unlock();
               },
           .in_child =
               [] {
                 Central& central = get();
                 // The other threads are not in the child. What they cached may have been in the
                 // middle of a change, so it stays unused.
                 for (ThreadCache* cache : central.threads_)
                   if (cache != thread_cache) central.allocated_ += cache->unreported.load();
                 central.threads_.clear();
                 if (thread_cache != nullptr) central.threads_.push_back(thread_cache);
                 central.large_mutex_.unlock();
                 central.small_mutex_.unlock();
               }});
}

void* Central::take(int size_class) {
  if (size_class >= SmallHeap::kClasses) return take_large(class_bytes(size_class));
  const std::lock_guard lock(small_mutex_);
  return small_.allocate(size_class);
}

void* Central::take_large(size_t bytes) {
  const std::lock_guard lock(large_mutex_);
  return large_.allocate(bytes);
}

void Central::give(int size_class, void* block) noexcept {
  if (size_class >= SmallHeap::kClasses) return give_large(block, class_bytes(size_class));
  const std::lock_guard lock(small_mutex_);
  small_.deallocate(block);
}

void Central::give_large(void* block, size_t bytes) noexcept {
  const std::lock_guard lock(large_mutex_);
  large_.deallocate(block, bytes);
}

void* Central::refill(ThreadCache& cache, int size_class) {
  if (size_class >= SmallHeap::kClasses) return take(size_class);
  constexpr size_t kBatchBytes = 8 << 10;
  const size_t bytes = class_bytes(size_class);
  const size_t extra = std::clamp<size_t>(kBatchBytes / bytes, 1, 32) - 1;
  const std::lock_guard lock(small_mutex_);
  for (size_t i = 0; i < extra && !cache.is_full(size_class); ++i) {
    void* const block = small_.allocate(size_class);
    if (block == nullptr) break;
    cache.push(size_class, block);
  }
  return small_.allocate(size_class);
}

void Central::shorten(ThreadCache& cache, int size_class, size_t keep) noexcept {
  const bool small = size_class < SmallHeap::kClasses;
  const std::lock_guard lock(small ? small_mutex_ : large_mutex_);
  while (cache.count(size_class) > keep) {
    void* const block = cache.pop(size_class);
    if (small) {
      small_.deallocate(block);
    } else {
      large_.deallocate(block, class_bytes(size_class));
    }
  }
}

void Central::add_thread(ThreadCache* cache) {
  const std::lock_guard lock(small_mutex_);
  threads_.push_back(cache);
}

void Central::remove_thread(ThreadCache* cache) noexcept {
  for (int c = 0; c < kClassCount; ++c) shorten(*cache, c, 0);
  const std::lock_guard lock(small_mutex_);
  report(cache->unreported.load());
  threads_.erase(std::remove(threads_.begin(), threads_.end(), cache), threads_.end());
}

void Central::report(int64_t change) noexcept {
  const int64_t now = allocated_.fetch_add(change) + change;
  int64_t peak = peak_.load();
  while (now > peak && !peak_.compare_exchange_weak(peak, now)) {
  }
}

MemoryStats Central::stats() {
  const std::lock_guard lock_small(small_mutex_);
  const std::lock_guard lock_large(large_mutex_);
  int64_t allocated = allocated_.load();
  for (const ThreadCache* cache : threads_)
    allocated += cache->unreported.load(std::memory_order_relaxed);
  MemoryStats stats;
  stats.allocated_bytes = static_cast<size_t>(std::max<int64_t>(0, allocated));
  stats.reserved_bytes = small_.reserved_bytes() + large_.reserved_bytes();
  stats.peak_bytes = static_cast<size_t>(std::max({int64_t{0}, allocated, peak_.load()}));
  return stats;
}

void Central::reset_peak() {
  peak_.store(0);
  peak_.store(static_cast<int64_t>(stats().allocated_bytes));
}

void Central::trim() {
  if (ThreadCache* const cache = own_cache())
    for (int c = 0; c < kClassCount; ++c) shorten(*cache, c, 0);
  const std::lock_guard lock_small(small_mutex_);
  const std::lock_guard lock_large(large_mutex_);
  small_.trim();
  large_.trim();
}

std::string size_text(size_t bytes) {
  static constexpr const char* kUnits[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit < 4; ++unit) value /= 1024;
  char text[64];
  snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.2f %s", value, kUnits[unit]);
  return text;
}

[[noreturn]] void out_of_memory(size_t bytes, const char* who) {
  const MemoryStats stats = memory_stats();
  throw OutOfMemory(who, concat("the system gave no CPU memory for ", size_text(bytes), " (",
                                size_text(stats.allocated_bytes), " are in use by tensors, ",
                                size_text(stats.reserved_bytes), " are held in all)"));
}

size_t large_bytes(size_t bytes) {
  return (bytes + LargeHeap::kGranule - 1) / LargeHeap::kGranule * LargeHeap::kGranule;
}

/// Notes that the thread allocated (or, negative, freed) some bytes.
void account(ThreadCache* cache, int64_t change) noexcept {
  if (cache == nullptr) return Central::get().report(change);
  const int64_t sum = cache->unreported.load(std::memory_order_relaxed) + change;
  if (sum < kReportBytes && sum > -kReportBytes) {
    cache->unreported.store(sum, std::memory_order_relaxed);
  } else {
    cache->unreported.store(0, std::memory_order_relaxed);
    Central::get().report(sum);
  }
}

/// The block's first bytes may be used, the rest of it not.
void mark_used(void* block, size_t bytes, size_t capacity) {
  poison(static_cast<std::byte*>(block) + bytes, capacity - bytes);
  unpoison(block, bytes);
}

[[gnu::noinline]] void* allocate_slow(size_t bytes, const char* who) {
  if (bytes == 0) return nullptr;
  Central& central = Central::get();
  ThreadCache* const cache = own_cache();
  void* block = nullptr;
  if (bytes <= kMaxClassBytes) {
    const int size_class = class_of(bytes);
    const auto get = [&] {
      return cache != nullptr ? central.refill(*cache, size_class) : central.take(size_class);
    };
    block = get();
    if (block == nullptr) {
      empty_cache();
      block = get();
    }
  } else if (bytes < kImpossible) {
    block = central.take_large(large_bytes(bytes));
    if (block == nullptr) {
      empty_cache();
      block = central.take_large(large_bytes(bytes));
    }
  }
  if (block == nullptr) out_of_memory(bytes, who);
  account(cache, static_cast<int64_t>(bytes));
  mark_used(block, bytes,
            bytes <= kMaxClassBytes ? class_bytes(class_of(bytes)) : large_bytes(bytes));
  return block;
}

[[gnu::noinline]] void deallocate_slow(void* block, size_t bytes) noexcept {
  Central& central = Central::get();
  ThreadCache* const cache = own_cache();
  if (bytes > kMaxClassBytes) {
    central.give_large(block, large_bytes(bytes));
  } else {
    const int size_class = class_of(bytes);
    central.give(size_class, block);
    if (cache != nullptr) central.shorten(*cache, size_class, cache->count(size_class) / 2);
  }
  account(cache, -static_cast<int64_t>(bytes));
}

}  // namespace

void* allocate(size_t bytes, const char* who) {
  ThreadCache* const cache = thread_cache;
  if (cache == nullptr || bytes - 1 >= kMaxClassBytes) return allocate_slow(bytes, who);
  const int size_class = class_of(bytes);
  void* const block = cache->pop(size_class);
  if (block == nullptr) return allocate_slow(bytes, who);
  account(cache, static_cast<int64_t>(bytes));
  mark_used(block, bytes, class_bytes(size_class));
  return block;
}

void deallocate(void* block, size_t bytes) noexcept {
  if (block == nullptr) return;
  poison(block, bytes);
  ThreadCache* const cache = thread_cache;
  if (cache == nullptr || bytes > kMaxClassBytes) return deallocate_slow(block, bytes);
  const int size_class = class_of(bytes);
  if (cache->is_full(size_class) || cache->bytes > kThreadBytes)
    return deallocate_slow(block, bytes);
  cache->push(size_class, block);
  account(cache, -static_cast<int64_t>(bytes));
}

MemoryStats memory_stats() { return Central::get().stats(); }

void reset_peak_memory_stats() { Central::get().reset_peak(); }

void empty_cache() { Central::get().trim(); }

}  // namespace flambeau
