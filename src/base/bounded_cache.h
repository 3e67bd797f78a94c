#pragma once
// A table of at most so many entries, of which the least recently used goes.

#include <list>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/fork.h"

namespace flambeau {

/// Thread safe. Values are cheap to copy: pointers that share.
template <class Key, class Value>
class BoundedCache {
 public:
  explicit BoundedCache(size_t most) : most_(most) {}

  std::optional<Value> find(const Key& key) {
    const std::lock_guard lock(mutex_);
    const auto found = places_.find(key);
    if (found == places_.end()) return std::nullopt;
    recent_.splice(recent_.begin(), recent_, found->second);
    return found->second->second;
  }

  /// Adds a value unless the key has one by now; the one that it has.
  Value add(const Key& key, Value value) {
    std::list<Entry> gone;  // destroyed without the lock
    const std::lock_guard lock(mutex_);
    const auto [place, is_new] = places_.try_emplace(key);
    if (!is_new) return place->second->second;
    recent_.emplace_front(key, std::move(value));
    place->second = recent_.begin();
    while (recent_.size() > most_) {
      places_.erase(recent_.back().first);
      gone.splice(gone.begin(), recent_, std::prev(recent_.end()));
    }
    return recent_.front().second;
  }

  /// The most recently used first.
  std::vector<Value> values() {
    const std::lock_guard lock(mutex_);
    std::vector<Value> all;
    for (const Entry& entry : recent_) all.push_back(entry.second);
    return all;
  }

 private:
  using Entry = std::pair<Key, Value>;
  const size_t most_;
  ForkSafe<std::mutex> mutex_;
  std::list<Entry> recent_;
  std::unordered_map<Key, typename std::list<Entry>::iterator> places_;
};

}  // namespace flambeau
