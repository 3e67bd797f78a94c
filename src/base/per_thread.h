#pragma once
// An object of each thread that may be used to the very end of the thread.

#include <cxxabi.h>

#include <memory>
#include <new>
#include <utility>

extern "C" void* __dso_handle;  // of this library, as __cxa_thread_atexit takes it

namespace flambeau {

/// To be `static constinit thread_local`. The object is made at its first use and goes with the
/// thread. Destructors of other objects of the thread may still use it after that: it is made anew,
/// and goes after them. (A thread_local object of T itself would be used after its own.)
template <class T>
class PerThread {
 public:
  constexpr PerThread() = default;
  T& operator*() {
    if (value_ == nullptr) [[unlikely]]
      make();
    return *value_;
  }
  T* operator->() { return &**this; }

 private:
  void make() {
    auto value = std::make_unique<T>();
    const auto end = [](void* self) {
      const std::unique_ptr<T> gone(std::exchange(static_cast<PerThread*>(self)->value_, nullptr));
    };
    if (abi::__cxa_thread_atexit(end, this, &__dso_handle) != 0) throw std::bad_alloc();
    value_ = value.release();
  }

  T* value_ = nullptr;
};

}  // namespace flambeau
