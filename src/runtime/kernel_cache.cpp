#include "runtime/kernel_cache.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/fork.h"
#include "base/settings.h"
#include "runtime/kernel_log.h"

namespace flambeau {
namespace {

constexpr std::chrono::seconds kCompilePatience{60};
/// Kernels that are kept in memory, beside the code of those that are loaded.
constexpr size_t kMaxInMemory = 4096;

std::filesystem::path default_folder() {
  if (const std::string folder = setting("FLAMBEAU_CACHE_DIR"); !folder.empty())
    return std::filesystem::absolute(folder);
  const char* const base = std::getenv("XDG_CACHE_HOME");
  if (base != nullptr && *base == '/') return std::filesystem::path(base) / "flambeau";
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home != '/') {
    const passwd* const user = getpwuid(geteuid());
    home = user != nullptr ? user->pw_dir : nullptr;
  }
  if (home == nullptr || *home != '/') return {};
  return std::filesystem::path(home) / ".cache" / "flambeau";
}

uint64_t bytes_setting() {
  const int64_t megabytes = int_setting("FLAMBEAU_CACHE_SIZE_MB");
  check<ValueError>(megabytes >= 0 && megabytes <= (int64_t{1} << 20), [&] {
    return concat("settings: FLAMBEAU_CACHE_SIZE_MB is ", megabytes, ", expected 0 to 1048576");
  });
  return static_cast<uint64_t>(megabytes) << 20;
}

}  // namespace

class KernelCache::State {
 public:
  State(std::filesystem::path folder, uint64_t max_bytes);
  ~State();
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  CachedBytes find(const Hash128& key);
  void store(const Hash128& key, std::span<const std::byte> bytes);
  CachedBytes get_or_compile(const Hash128& key, FunctionRef<std::vector<std::byte>()> compile);
  Stats stats();

 private:
  /// All states of the process, for fork().
  struct Registry {
    std::mutex mutex;
    std::vector<State*> states;
    Registry();
    static Registry& get();
  };

  /// The disk's value of `key`, which then is in memory too; nullptr if there is none.
  CachedBytes load(const Hash128& key);
  CachedBytes keep(const Hash128& key, std::vector<std::byte> bytes);
  CachedBytes compile_once(const Hash128& key, std::unique_lock<std::mutex>& lock,
                           FunctionRef<std::vector<std::byte>()> compile);
  void after_fork_in_child();

  std::mutex mutex_;
  struct Value {
    CachedBytes bytes;  ///< null: being looked up or compiled by a thread of this process
    uint64_t used = 0;  ///< when it was asked for
  };
  void drop_older_half();

  std::unordered_map<Hash128, Value> values_;
  uint64_t now_ = 0;
  std::unique_ptr<std::condition_variable> settled_ = std::make_unique<std::condition_variable>();
  KernelLog log_;
  Stats stats_;
};

KernelCache::State::Registry& KernelCache::State::Registry::get() {
  static Registry* const registry = new Registry;
  return *registry;
}

KernelCache::State::Registry::Registry() {
  on_fork({.before =
               [] {
                 get().mutex.lock();
                 for (State* state : get().states) state->mutex_.lock();
               },
           .in_parent =
               [] {
                 for (State* state : get().states) state->mutex_.unlock();
                 get().mutex.unlock();
               },
           .in_child =
               [] {
                 for (State* state : get().states) {
                   state->after_fork_in_child();
                   state->mutex_.unlock();
                 }
                 get().mutex.unlock();
               }});
}

KernelCache::State::State(std::filesystem::path folder, uint64_t max_bytes)
    : log_(std::move(folder), max_bytes) {
  Registry& registry = Registry::get();
  const std::lock_guard lock(registry.mutex);
  registry.states.push_back(this);
}

KernelCache::State::~State() {
  Registry& registry = Registry::get();
  const std::lock_guard lock(registry.mutex);
  registry.states.erase(std::find(registry.states.begin(), registry.states.end(), this));
}

void KernelCache::State::after_fork_in_child() {
  // The threads that were at work on these are not in the child.
  std::erase_if(values_, [](const auto& item) { return item.second.bytes == nullptr; });
  // A condition on which threads of the parent wait cannot be destroyed here.
  [[maybe_unused]] const auto* const left_behind = settled_.release();
  settled_ = std::make_unique<std::condition_variable>();
  log_.reopen_locks();
}

CachedBytes KernelCache::State::keep(const Hash128& key, std::vector<std::byte> bytes) {
  auto value = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
  values_[key] = {value, ++now_};
  settled_->notify_all();
  if (values_.size() > kMaxInMemory) drop_older_half();
  return value;
}

void KernelCache::State::drop_older_half() {
  std::vector<uint64_t> times;
  for (const auto& [key, value] : values_) times.push_back(value.used);
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  std::erase_if(values_, [&](const auto& item) {
    return item.second.bytes != nullptr && item.second.used < *middle;
  });
}

CachedBytes KernelCache::State::load(const Hash128& key) {
  auto bytes = log_.read(key);
  if (!bytes) return nullptr;
  ++stats_.disk_hits;
  return keep(key, std::move(*bytes));
}

CachedBytes KernelCache::State::find(const Hash128& key) {
  const std::lock_guard lock(mutex_);
  const auto found = values_.find(key);
  if (found == values_.end()) return load(key);
  if (found->second.bytes != nullptr) ++stats_.memory_hits;
  found->second.used = ++now_;
  return found->second.bytes;
}

void KernelCache::State::store(const Hash128& key, std::span<const std::byte> bytes) {
  const std::lock_guard lock(mutex_);
  keep(key, {bytes.begin(), bytes.end()});
  log_.append(key, bytes);
}

CachedBytes KernelCache::State::get_or_compile(const Hash128& key,
                                               FunctionRef<std::vector<std::byte>()> compile) {
  std::unique_lock lock(mutex_);
  while (true) {
    const auto [place, is_new] = values_.try_emplace(key);
    if (is_new) break;
    if (place->second.bytes != nullptr) {
      ++stats_.memory_hits;
      place->second.used = ++now_;
      return place->second.bytes;
    }
    settled_->wait(lock);
  }
  try {
    if (CachedBytes value = load(key)) return value;
    return compile_once(key, lock, compile);
  } catch (...) {
    // One of those who wait tries for itself.
    if (!lock.owns_lock()) lock.lock();
    values_.erase(key);
    settled_->notify_all();
    throw;
  }
}

CachedBytes KernelCache::State::compile_once(const Hash128& key, std::unique_lock<std::mutex>& lock,
                                             FunctionRef<std::vector<std::byte>()> compile) {
  if (!log_.open()) {
    lock.unlock();
    std::vector<std::byte> bytes = compile();
    lock.lock();
    ++stats_.compiled;
    return keep(key, std::move(bytes));
  }
  lock.unlock();
  const ByteLock key_lock = log_.key_lock(key, kCompilePatience);
  lock.lock();
  if (CachedBytes value = load(key)) return value;
  lock.unlock();
  std::vector<std::byte> bytes = compile();
  lock.lock();
  ++stats_.compiled;
  log_.append(key, bytes);
  return keep(key, std::move(bytes));
}

KernelCache::Stats KernelCache::State::stats() {
  const std::lock_guard lock(mutex_);
  Stats stats = stats_;
  stats.file_bytes = log_.file_bytes();
  stats.on_disk = stats.file_bytes > 0;
  return stats;
}

KernelCache& KernelCache::global() {
  // Never destroyed: kernels may be asked for while the process exits.
  static KernelCache* const cache = new KernelCache(default_folder(), bytes_setting());
  return *cache;
}

KernelCache::KernelCache(std::filesystem::path folder, uint64_t max_bytes)
    : state_(std::make_unique<State>(std::move(folder), max_bytes)) {}

KernelCache::~KernelCache() = default;

CachedBytes KernelCache::find(const Hash128& key) { return state_->find(key); }

void KernelCache::store(const Hash128& key, std::span<const std::byte> bytes) {
  state_->store(key, bytes);
}

CachedBytes KernelCache::get_or_compile(const Hash128& key,
                                        FunctionRef<std::vector<std::byte>()> compile) {
  return state_->get_or_compile(key, compile);
}

KernelCache::Stats KernelCache::stats() { return state_->stats(); }

}  // namespace flambeau
