#pragma once
// Functions that users hang on tensors and nodes, in the order in which they were added.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <type_traits>
#include <utility>
#include <vector>

namespace flambeau {

/// Removes a hook. Does not keep it alive, and may outlive what it hangs on.
using HookHandle = std::function<void()>;

/// Another number at each call, in the whole process.
int64_t next_hook_id();

/// Usable from any threads: who runs hooks takes a snapshot first, so that hooks may add and remove
/// hooks. Costs a pointer until the first is added.
template <class Hook>
class HookList {
  struct Entry {
    int64_t id;
    Hook hook;
    const void* origin;
  };
  struct Entries {
    std::mutex mutex;
    std::vector<Entry> list;
  };

 public:
  HookList() = default;
  HookList(const HookList&) = delete;
  HookList& operator=(const HookList&) = delete;
  ~HookList() { delete entries_.load(std::memory_order_acquire); }

  /// `origin` is what a front end made the hook of.
  HookHandle add(Hook hook, const void* origin = nullptr) {
    const std::shared_ptr<Entries> entries = made();
    const std::lock_guard lock(entries->mutex);
    const int64_t id = next_hook_id();
    entries->list.push_back({id, std::move(hook), origin});
    return [id, weak = std::weak_ptr(entries)] {
      const std::shared_ptr<Entries> held = weak.lock();
      if (held == nullptr) return;
      Hook removed;  // Dies after the lock: it may hold anything.
      const std::lock_guard guard(held->mutex);
      for (size_t i = 0; i < held->list.size(); ++i) {
        if (held->list[i].id != id) continue;
        removed = std::move(held->list[i].hook);
        held->list.erase(held->list.begin() + static_cast<std::ptrdiff_t>(i));
        return;
      }
    };
  }

  bool is_unused() const { return entries_.load(std::memory_order_acquire) == nullptr; }
  /// The hooks' numbers, no two of which are the same in a process.
  std::vector<int64_t> ids() const {
    return all([](const Entry& entry) { return entry.id; });
  }
  /// What the hooks were made of.
  std::vector<const void*> origins() const {
    return all([](const Entry& entry) { return entry.origin; });
  }
  std::vector<Hook> snapshot() const {
    return all([](const Entry& entry) { return entry.hook; });
  }

 private:
  template <class Take>
  auto all(const Take& take) const {
    std::vector<std::decay_t<std::invoke_result_t<Take, const Entry&>>> taken;
    const std::shared_ptr<Entries>* entries = entries_.load(std::memory_order_acquire);
    if (entries == nullptr) return taken;
    const std::lock_guard lock((*entries)->mutex);
    for (const Entry& entry : (*entries)->list) taken.push_back(take(entry));
    return taken;
  }

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
