#pragma once
// Memory of small objects that are made and let go of all the time (tensors, storages): each thread
// keeps what it let go of for what it makes next. malloc() does that for a handful of blocks of a
// size; a model lets go of hundreds at once.

#include <array>
#include <cstddef>
#include <cstdint>
#include <new>

namespace flambeau {

class ObjectPool {
 public:
  /// At least `bytes` (one or more), aligned as by operator new; std::bad_alloc.
  static void* take(size_t bytes) {
    if (ObjectPool* const pool = of_thread; pool != nullptr && bytes <= kMostBytes) [[likely]] {
      List& list = pool->lists_[class_of(bytes)];
      if (list.head != nullptr) {
        --list.count;
        void* const block = list.head;
        list.head = static_cast<Block*>(block)->next;
        return block;
      }
    }
    return take_fresh(bytes);
  }
  /// Gives back what take(bytes) gave, on this thread or another.
  static void give(void* block, size_t bytes) noexcept {
    if (ObjectPool* const pool = of_thread; pool != nullptr && bytes <= kMostBytes) [[likely]] {
      List& list = pool->lists_[class_of(bytes)];
      if (list.count < kMostBlocks) {
        ++list.count;
        list.head = new (block) Block{list.head};
        return;
      }
    }
    ::operator delete(block);
  }

  ObjectPool() = default;
  ~ObjectPool();
  ObjectPool(const ObjectPool&) = delete;
  ObjectPool& operator=(const ObjectPool&) = delete;

 private:
  static constexpr size_t kStep = 16;
  static constexpr size_t kMostBytes = 1024;
  static constexpr uint32_t kMostBlocks = 2048;  // of a class and thread
  struct Block {
    Block* next;
  };
  struct List {
    Block* head = nullptr;
    uint32_t count = 0;
  };
  static constexpr size_t class_of(size_t bytes) { return (bytes - 1) / kStep; }
  static void* take_fresh(size_t bytes);

  static thread_local constinit ObjectPool* of_thread;
  std::array<List, kMostBytes / kStep> lists_{};
};

/// Base of classes whose objects lie in it.
class Pooled {
 public:
  static void* operator new(size_t bytes) { return ObjectPool::take(bytes); }
  static void operator delete(void* object, size_t bytes) noexcept {
    ObjectPool::give(object, bytes);
  }
};

/// For std::allocate_shared.
template <class T>
struct PoolAllocator {
  using value_type = T;
  static_assert(alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);
  PoolAllocator() = default;
  template <class U>
  PoolAllocator(const PoolAllocator<U>&) {}
  T* allocate(size_t count) { return static_cast<T*>(ObjectPool::take(count * sizeof(T))); }
  void deallocate(T* objects, size_t count) noexcept {
    ObjectPool::give(static_cast<void*>(objects), count * sizeof(T));
  }
  template <class U>
  friend bool operator==(const PoolAllocator&, const PoolAllocator<U>&) {
    return true;
  }
};

}  // namespace flambeau
