#pragma once
// Reference counting inside the object, shared with a Python wrapper. Once Python has wrapped an
// object, the wrapper owns it, and all C++ references together hold one reference to the wrapper.
// So identity (`p.grad is p.grad`), subclasses and attributes survive as long as either side holds
// on, and C++ code that runs without Python's lock counts with atomics alone: Python is involved
// only when the first C++ reference comes and when the last one goes.

#include <atomic>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "base/function_ref.h"
#include "base/object_pool.h"

namespace flambeau {

/// What the bindings install: how to change the reference count of a wrapper, from any thread, and
/// how to do something while Python has no reference to it but the one that stands for C++'s.
struct WrapperHooks {
  void (*increase)(void* wrapper) noexcept = nullptr;
  void (*decrease)(void* wrapper) noexcept = nullptr;
  void (*if_unused)(void* wrapper, FunctionRef<void()> action) = nullptr;
};
extern WrapperHooks wrapper_hooks;

/// While one lives, this thread lets go of what Python holds, or may be told of, only where the
/// outermost one ends: what then runs may be any program of the user, which must not find locks
/// held.
class ReleasesLater {
 public:
  ReleasesLater();
  ~ReleasesLater();
  ReleasesLater(const ReleasesLater&) = delete;
  ReleasesLater& operator=(const ReleasesLater&) = delete;
  /// Calls `release` then, or now if none lives.
  static void call(std::function<void()> release);
  /// The same for C++'s reference to a wrapper.
  static void drop(void* wrapper) noexcept;

 private:
  std::vector<std::function<void()>> waiting_;
};

class Intrusive : public Pooled {
 public:
  Intrusive() = default;
  Intrusive(const Intrusive&) {}
  Intrusive& operator=(const Intrusive&) { return *this; }
  virtual ~Intrusive() = default;

  void increase_reference() const noexcept {
    if (count_up()) wrapper_hooks.increase(wrapper());
  }
  void decrease_reference() const noexcept {
    if (count_.load(std::memory_order_acquire) == 1 && wrapper() == nullptr) {
      // Nobody else can make a reference to it any more.
      delete this;
    } else if (count_down()) {
      if (void* owner = wrapper())
        ReleasesLater::drop(owner);
      else
        delete this;
    }
  }
  /// Counts a reference; true if all of them together must hold one to the wrapper from now on.
  bool count_up() const noexcept {
    return count_.fetch_add(1, std::memory_order_relaxed) == 0 && wrapper() != nullptr;
  }
  /// Counts a reference less; true if it was the last.
  bool count_down() const noexcept { return count_.fetch_sub(1, std::memory_order_acq_rel) == 1; }
  /// The Python wrapper, or nullptr.
  void* wrapper() const noexcept { return wrapper_.load(std::memory_order_acquire); }
  /// Hands ownership to `wrapper`, which deletes the object when it goes itself. The caller holds a
  /// C++ reference meanwhile, and has counted the one to the wrapper that it stands for.
  void set_wrapper(void* wrapper) noexcept { wrapper_.store(wrapper, std::memory_order_release); }
  /// Number of C++ references.
  uint64_t use_count() const noexcept { return count_.load(std::memory_order_relaxed); }

 private:
  template <class T>
  friend class Ref;
  mutable std::atomic<uint64_t> count_{0};
  std::atomic<void*> wrapper_{nullptr};
};

/// A counted reference; may be null.
template <class T>
class Ref {
 public:
  Ref() = default;
  Ref(std::nullptr_t) {}
  explicit Ref(T* object) : object_(object) {
    if (object_ != nullptr) object_->increase_reference();
  }
  Ref(const Ref& other) : Ref(other.object_) {}
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  template <class U>
    requires std::is_convertible_v<U*, T*>
  Ref(const Ref<U>& other) : Ref(other.get()) {}
  ~Ref() {
    if (object_ != nullptr) object_->decrease_reference();
  }
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  /// The first reference to an object that nobody else knows.
  static Ref first(T* object) {
    static_cast<const Intrusive*>(object)->count_.store(1, std::memory_order_relaxed);
    return counted(object);
  }
  /// A reference that has been counted already.
  static Ref counted(T* object) {
    Ref ref;
    ref.object_ = object;
    return ref;
  }
  T* get() const { return object_; }
  T* operator->() const { return object_; }
  T& operator*() const { return *object_; }
  explicit operator bool() const { return object_ != nullptr; }
  friend bool operator==(const Ref& a, const Ref& b) { return a.object_ == b.object_; }

 private:
  T* object_ = nullptr;
};

template <class T, class... Arguments>
Ref<T> make_ref(Arguments&&... arguments) {
  return Ref<T>::first(new T(std::forward<Arguments>(arguments)...));
}

}  // namespace flambeau
