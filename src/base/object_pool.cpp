#include "base/object_pool.h"

#include "base/per_thread.h"

namespace flambeau {
namespace {

/// Sanitizers want to see each object come and go.
#ifndef __has_feature
#define __has_feature(name) 0
#endif
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kInUse = false;
#else
constexpr bool kInUse = true;
#endif

}  // namespace

thread_local constinit ObjectPool* ObjectPool::of_thread = nullptr;

ObjectPool::~ObjectPool() {
  of_thread = nullptr;
  for (List& list : lists_)
    while (list.head != nullptr) {
      Block* const block = list.head;
      list.head = block->next;
      ::operator delete(block);
    }
}

void* ObjectPool::take_fresh(size_t bytes) {
  static constinit thread_local PerThread<ObjectPool> mine;
  if (kInUse) of_thread = &*mine;
  if (!kInUse || bytes > kMostBytes) return ::operator new(bytes);
  return ::operator new((class_of(bytes) + 1) * kStep);
}

}  // namespace flambeau
