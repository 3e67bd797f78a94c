#pragma once
// Functions that users hang on tensors and nodes, in the order in which they were added.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace flambeau {

/// Removes a hook. Does not keep it alive, and may outlive what it hangs on.
using HookHandle = std::function<void()>;

/// Usable from any threads: who runs hooks takes a snapshot first, so that hooks may add and remove
/// hooks. Costs a pointer until the first is added.
template <class Hook>
class HookList {
  struct Entries {
    std::mutex mutex;
    std::vector<std::pair<int64_t, Hook>> list;
    int64_t last = 0;
  };

 public:
  HookList() = default;
  HookList(const HookList&) = delete;
  HookList& operator=(const HookList&) = delete;
  ~HookList() { delete entries_.load(std::memory_order_acquire); }

  HookHandle add(Hook hook) {
    const std::shared_ptr<Entries> entries = made();
    const std::lock_guard lock(entries->mutex);
    const int64_t id = ++entries->last;
    entries->list.emplace_back(id, std::move(hook));
    return [id, weak = std::weak_ptr(entries)] {
      const std::shared_ptr<Entries> held = weak.lock();
      if (held == nullptr) return;
      Hook removed;  // Dies after the lock: it may hold anything.
      const std::lock_guard guard(held->mutex);
      for (size_t i = 0; i < held->list.size(); ++i) {
        if (held->list[i].first != id) continue;
        removed = std::move(held->list[i].second);
        held->list.erase(held->list.begin() + static_cast<std::ptrdiff_t>(i));
        return;
      }
    };
  }

  std::vector<Hook> snapshot() const {
    std::vector<Hook> hooks;
    const std::shared_ptr<Entries>* entries = entries_.load(std::memory_order_acquire);
    if (entries == nullptr) return hooks;
    const std::lock_guard lock((*entries)->mutex);
    for (const auto& [id, hook] : (*entries)->list) hooks.push_back(hook);
    return hooks;
  }

 private:
  std::shared_ptr<Entries> made() {
    std::shared_ptr<Entries>* entries = entries_.load(std::memory_order_acquire);
    if (entries != nullptr) return *entries;
    auto fresh = std::make_unique<std::shared_ptr<Entries>>(std::make_shared<Entries>());
    if (entries_.compare_exchange_strong(entries, fresh.get(), std::memory_order_acq_rel))
      return *fresh.release();
    return *entries;
  }

  std::atomic<std::shared_ptr<Entries>*> entries_{nullptr};
};

}  // namespace flambeau
