#include <algorithm>
#include <mutex>
#include <unordered_map>
#include <vector>

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

/// Held while links between storages change and while memory that was given up is computed again.
ForkSafe<std::mutex>& links_mutex() {
  static ForkSafe<std::mutex> mutex;
  return mutex;
}

}  // namespace

/// What a storage can be computed from, and what can be computed from it.
struct Storage::Links {
  std::shared_ptr<const Recomputation> how;
  std::vector<const Storage*> dependents;
};

Storage::Storage(size_t bytes) : bytes_(bytes) {
  if (WithoutMemory::current())
    state_.store(kMeta, std::memory_order_relaxed);
  else if (memory_deferred && bytes > 0)
    state_.store(kDeferred, std::memory_order_relaxed);
  else
    data_ = allocate(bytes, "Tensor");
}

Storage::Storage(void* data, size_t bytes, std::function<void()> release, Sharing sharing)
    : data_(data), bytes_(bytes), sharing_(sharing), release_(std::move(release)) {
  require(static_cast<bool>(release_), "Storage: memory of somebody else needs a release function");
}

Storage::~Storage() {
  if (links_ != nullptr) {
    const std::unique_ptr<Links> links(links_);
    std::shared_ptr<const Recomputation> dropped;
    const std::lock_guard lock(links_mutex());
    dropped = unlink();
  }
  if (release_)
    ReleasesLater::call(std::move(release_));
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
  // Whoever comes next finds the flag of who goes cleared.
  if (work == nullptr) {
    state_.fetch_and(static_cast<uint8_t>(~kPending), std::memory_order_release);
    pending_.store(nullptr, std::memory_order_release);
    return;
  }
  const bool renumbered = pending() == work;
  PendingWork* nobody = nullptr;
  if (!renumbered && !pending_.compare_exchange_strong(nobody, work, std::memory_order_acq_rel))
    return;
  pending_slot_ = slot;
  if (!renumbered) state_.fetch_or(kPending, std::memory_order_release);
}

void Storage::make_ready(bool write) const {
  check<NotImplementedError>(
      !is_meta(), [] { return std::string("Cannot copy out of meta tensor; no data!"); });
  if (PendingWork* work = pending(); work != nullptr && !pending_ignored)
    work->settle(*this, write);
  if ((state_.load(std::memory_order_acquire) & (kDerived | kSource)) != 0) follow_links(write);
  if ((state_.load(std::memory_order_acquire) & (kDeferred | kFailed)) != 0) take_memory();
}

void Storage::take_memory() const {
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

void Storage::defer_again() const {
  const std::lock_guard lock(state_mutex());
  if (is_deferred() || data_ == nullptr || release_) return;
  state_.fetch_or(kDeferred, std::memory_order_release);
  deallocate(std::exchange(data_, nullptr), bytes_);
}

Storage::Links& Storage::links() const {
  if (links_ == nullptr) links_ = new Links;
  return *links_;
}

void Storage::set_recomputation(std::shared_ptr<const Recomputation> how) const {
  const auto usable = [](const Storage& storage) {
    return !storage.is_exported() && (storage.state_.load() & ~(kDerived | kSource)) == kReady;
  };
  const std::lock_guard lock(links_mutex());
  if (release_ || data_ == nullptr || state_.load() != kReady || !usable(*this)) return;
  for (const Storage* source : how->sources())
    if (source == this || !usable(*source)) return;
  for (const Storage* source : how->sources()) {
    source->links().dependents.push_back(this);
    source->state_.fetch_or(kSource, std::memory_order_release);
  }
  links().how = std::move(how);
  state_.fetch_or(kDerived, std::memory_order_release);
}

bool Storage::give_up_memory() const {
  const std::lock_guard lock(links_mutex());
  if ((state_.load() & ~kSource) != kDerived || is_exported() || wrapper() != nullptr ||
      use_count() != 1 + links_->dependents.size())
    return false;
  deallocate(std::exchange(data_, nullptr), bytes_);
  state_.fetch_or(kGivenUp, std::memory_order_release);
  return true;
}

/// Before the memory is used: where it was given up it is computed again, and a write ends what
/// was known of this storage and of those that can be computed from it.
void Storage::follow_links(bool write) const {
  std::vector<std::shared_ptr<const Recomputation>> dropped;  // dies without the lock
  const std::lock_guard lock(links_mutex());
  if (has_given_up_memory()) compute_again();
  if (!write || links_ == nullptr) return;
  const std::vector<const Storage*> dependents = links_->dependents;
  for (const Storage* dependent : dependents)
    if (dependent->has_given_up_memory()) dependent->compute_again();
  for (const Storage* dependent : dependents)  // more than once where it has several references
    if (dependent->is_derived()) dropped.push_back(dependent->unlink());
  dropped.push_back(unlink());
}

void Storage::compute_again() const {
  for (const Storage* source : links_->how->sources())
    if (source->has_given_up_memory()) source->compute_again();
  const PendingIgnored as_it_is;  // a pending write of a source has to come after this
  const Ref<Storage> fresh = links_->how->compute();
  data_ = std::exchange(fresh->data_, nullptr);
  remove(kGivenUp);
}

/// Forgets how to compute this storage, and gives that to be destroyed without the lock.
std::shared_ptr<const Recomputation> Storage::unlink() const {
  if (links_->how == nullptr) return nullptr;
  for (const Storage* source : links_->how->sources()) {
    std::vector<const Storage*>& dependents = source->links_->dependents;
    dependents.erase(std::remove(dependents.begin(), dependents.end(), this), dependents.end());
    if (dependents.empty()) source->remove(kSource);
  }
  remove(kDerived);
  return std::move(links_->how);
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

thread_local constinit bool WithoutMemory::innermost = false;
WithoutMemory::WithoutMemory(bool without) : before_(innermost) { innermost = without; }
WithoutMemory::~WithoutMemory() { innermost = before_; }

}  // namespace flambeau
