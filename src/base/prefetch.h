#pragma once
// Hints for loops over objects that lie anywhere in memory: after a step of a large model none of
// them is in a cache, and one after the other each would cost a trip to memory.

#include <cstddef>

namespace flambeau {

/// How many objects ahead of its own a loop asks for.
inline constexpr size_t kPrefetchAhead = 16;

/// Asks for the cache lines of an object that is read soon; anything may be asked for.
template <class T>
void prefetch(const T* object) {
  constexpr size_t kLine = 64;
  for (size_t offset = 0; offset < sizeof(T); offset += kLine)
    __builtin_prefetch(reinterpret_cast<const char*>(object) + offset);
}

}  // namespace flambeau
