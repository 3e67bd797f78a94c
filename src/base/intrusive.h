#pragma once
// Reference counting inside the object, shared with a Python wrapper: once Python has wrapped an
// object, the wrapper owns it and C++ references count as references to the wrapper. So identity
// (`p.grad is p.grad`), subclasses and attributes survive as long as either side holds on.

#include <atomic>
#include <cstdint>
#include <utility>

namespace flambeau {

/// What the bindings install: how to change the reference count of a wrapper.
struct WrapperHooks {
  void (*increase)(void* wrapper) noexcept = nullptr;
  void (*decrease)(void* wrapper) noexcept = nullptr;
};
extern WrapperHooks wrapper_hooks;

class Intrusive {
 public:
  Intrusive() = default;
  Intrusive(const Intrusive&) {}
  Intrusive& operator=(const Intrusive&) { return *this; }
  virtual ~Intrusive() = default;

  void increase_reference() const noexcept {
    uintptr_t state = state_.load(std::memory_order_relaxed);
    while ((state & 1) != 0)
      if (state_.compare_exchange_weak(state, state + 2, std::memory_order_relaxed)) return;
    wrapper_hooks.increase(reinterpret_cast<void*>(state));
  }
  void decrease_reference() const noexcept {
    uintptr_t state = state_.load(std::memory_order_relaxed);
    while ((state & 1) != 0) {
      if (state == 3) {
        std::atomic_thread_fence(std::memory_order_acquire);
        delete this;
        return;
      }
      if (state_.compare_exchange_weak(state, state - 2, std::memory_order_acq_rel)) return;
    }
    wrapper_hooks.decrease(reinterpret_cast<void*>(state));
  }
  /// The Python wrapper, or nullptr.
  void* wrapper() const noexcept {
    const uintptr_t state = state_.load(std::memory_order_acquire);
    return (state & 1) != 0 ? nullptr : reinterpret_cast<void*>(state);
  }
  /// Hands ownership to `wrapper`: the C++ references held so far become references to it.
  void set_wrapper(void* wrapper) noexcept {
    const uintptr_t state = state_.exchange(reinterpret_cast<uintptr_t>(wrapper));
    for (uintptr_t count = state >> 1; count > 0; --count) wrapper_hooks.increase(wrapper);
  }
  /// Number of C++ references while there is no wrapper.
  uint64_t use_count() const noexcept { return state_.load() >> 1; }

 private:
  // Odd: 2 * references + 1. Even: address of the wrapper.
  mutable std::atomic<uintptr_t> state_{1};
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
  return Ref<T>(new T(std::forward<Arguments>(arguments)...));
}

}  // namespace flambeau
