#include <mutex>
#include <unordered_map>

#include "base/error.h"
#include "base/fork.h"
#include "runtime/allocator.h"
#include "tensor/tensor.h"

namespace flambeau {
namespace {

thread_local constinit bool memory_deferred = false;
thread_local constinit bool pending_ignored = false;

/// Held while the state of a storage changes that is not ready.
ForkSafe<std::mutex>& state_mutex() {
  static ForkSafe<std::mutex> mutex;
  return mutex;
}

/// Why storages failed; under state_mutex().
std::unordered_map<const Storage*, std::string>& failures() {
  static auto* const map = new std::unordered_map<const Storage*, std::string>;
  return *map;
}

}  // namespace

Storage::Storage(size_t bytes) : bytes_(bytes) {
  if (memory_deferred && bytes > 0)
    state_.store(kDeferred, std::memory_order_relaxed);
  else
    data_ = allocate(bytes, "Tensor");
}

Storage::Storage(void* data, size_t bytes, std::function<void()> release, Sharing sharing)
    : data_(data), bytes_(bytes), sharing_(sharing), release_(std::move(release)) {
  require(static_cast<bool>(release_), "Storage: memory of somebody else needs a release function");
}

Storage::~Storage() {
  if (release_)
    release_();
  else if (data_ != nullptr)
    deallocate(data_, bytes_);
  if ((state_.load(std::memory_order_acquire) & kFailed) == 0) return;
  const std::lock_guard lock(state_mutex());
  failures().erase(this);
}

void Storage::add_export() const {
  exports_.fetch_add(1, std::memory_order_relaxed);
  static_cast<void>(data());
}

void Storage::set_pending(PendingWork* work, int slot) const {
  pending_slot_ = slot;
  pending_.store(work, std::memory_order_release);
  if (work != nullptr)
    state_.fetch_or(kPending, std::memory_order_release);
  else
    state_.fetch_and(static_cast<uint8_t>(~kPending), std::memory_order_release);
}

void Storage::make_ready(bool write) const {
  if (PendingWork* work = pending(); work != nullptr && !pending_ignored)
    work->settle(*this, write);
  if ((state_.load(std::memory_order_acquire) & (kDeferred | kFailed)) == 0) return;
  const std::lock_guard lock(state_mutex());
  const uint8_t state = state_.load(std::memory_order_relaxed);
  check((state & kFailed) == 0, [&] {
    return concat("this value was never computed: an operation recorded before it has failed: ",
                  failures()[this]);
  });
  if ((state & kDeferred) == 0) return;
  data_ = allocate(bytes_, "Tensor");
  state_.fetch_and(static_cast<uint8_t>(~kDeferred), std::memory_order_release);
}

void Storage::fail(const std::string& reason) const {
  const std::lock_guard lock(state_mutex());
  failures()[this] = reason;
  state_.fetch_or(kFailed, std::memory_order_release);
}

PendingIgnored::PendingIgnored() : before_(pending_ignored) { pending_ignored = true; }
PendingIgnored::~PendingIgnored() { pending_ignored = before_; }

MemoryDeferral::MemoryDeferral(bool deferred) : before_(memory_deferred) {
  memory_deferred = deferred;
}
MemoryDeferral::~MemoryDeferral() { memory_deferred = before_; }

void set_memory_deferred(bool deferred) { memory_deferred = deferred; }

}  // namespace flambeau
