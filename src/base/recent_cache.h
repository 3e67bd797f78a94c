#pragma once
// A bounded table of what was computed for recent keys. A key may take the place of another.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/hash.h"

namespace flambeau {

/// Not thread safe; each thread has its own (base/per_thread.h).
template <class Value, size_t kEntries>
class RecentCache {
 public:
  struct Slot {
    std::vector<int64_t> key;
    std::shared_ptr<const Value> value;
  };
  /// The place of `key`: its value is that of the key, or null.
  Slot& find(std::span<const int64_t> key) {
    if (slots_.empty()) slots_.resize(kEntries);
    Slot& slot = slots_[hash_bytes(key.data(), key.size_bytes()).low % kEntries];
    const bool same = slot.key.size() == key.size() &&
                      std::memcmp(slot.key.data(), key.data(), key.size_bytes()) == 0;
    if (!same) {
      slot.value.reset();
      slot.key.assign(key.begin(), key.end());
    }
    return slot;
  }

 private:
  std::vector<Slot> slots_;  // made at the first use
};

}  // namespace flambeau
