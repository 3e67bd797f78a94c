#pragma once
// Tells the address sanitizer, where it is built in, which bytes of our own heaps are in use.

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define FLAMBEAU_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FLAMBEAU_ASAN 1
#endif
#endif

#ifdef FLAMBEAU_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace flambeau {

inline void poison([[maybe_unused]] const void* begin, [[maybe_unused]] size_t bytes) {
#ifdef FLAMBEAU_ASAN
  __asan_poison_memory_region(begin, bytes);
#endif
}

inline void unpoison([[maybe_unused]] const void* begin, [[maybe_unused]] size_t bytes) {
#ifdef FLAMBEAU_ASAN
  __asan_unpoison_memory_region(begin, bytes);
#endif
}

}  // namespace flambeau
