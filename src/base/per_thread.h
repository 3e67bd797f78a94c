#pragma once
// An object of each thread that may be used to the very end of the thread.

#include <cxxabi.h>

#include <memory>
#include <new>
#include <utility>

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
    static constinit char in_this_library = 0;  // which stays while a thread needs `end`
    if (abi::__cxa_thread_atexit(end, this, &in_this_library) != 0) throw std::bad_alloc();
    value_ = value.release();
  }

  T* value_ = nullptr;
};

}  // namespace flambeau
