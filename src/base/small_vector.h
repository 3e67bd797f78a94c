#pragma once
// A vector whose first N elements need no heap memory: shapes, strides, argument lists.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

#include "base/object_pool.h"

namespace flambeau {

template <class T, size_t N>
class SmallVector {
 public:
  using value_type = T;
  using iterator = T*;
  using const_iterator = const T*;

  SmallVector() noexcept = default;
  explicit SmallVector(size_t count, const T& value = T()) : SmallVector() { resize(count, value); }
  // These delegate, so that an exception of an element's constructor releases the elements before.
  SmallVector(std::initializer_list<T> items) : SmallVector() {
    append(items.begin(), items.end());
  }
  template <class Iterator>
    requires(!std::is_integral_v<Iterator>)
  SmallVector(Iterator first, Iterator last) : SmallVector() {
    append(first, last);
  }
  explicit SmallVector(std::span<const T> items) : SmallVector() {
    append(items.begin(), items.end());
  }
  SmallVector(const SmallVector& other) : SmallVector() {
    if constexpr (kCopiedWhole) {
      if (other.size_ <= N) {
        // Every vector has room for N.
        std::memcpy(static_cast<void*>(storage_), static_cast<const void*>(other.data_),
                    sizeof storage_);
        size_ = other.size_;
        return;
      }
    }
    append(other.begin(), other.end());
  }
  SmallVector(SmallVector&& other) noexcept { take(other); }
  ~SmallVector() { release(); }

  SmallVector& operator=(const SmallVector& other) {
    if (this != &other) {
      clear();
      append(other.begin(), other.end());
    }
    return *this;
  }
  SmallVector& operator=(SmallVector&& other) noexcept {
    if (this != &other) {
      release();
      take(other);
    }
    return *this;
  }

  size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  T* data() noexcept { return data_; }
  const T* data() const noexcept { return data_; }
  iterator begin() noexcept { return data_; }
  iterator end() noexcept { return data_ + size_; }
  const_iterator begin() const noexcept { return data_; }
  const_iterator end() const noexcept { return data_ + size_; }
  T& operator[](size_t i) noexcept { return data_[i]; }
  const T& operator[](size_t i) const noexcept { return data_[i]; }
  T& front() noexcept { return data_[0]; }
  const T& front() const noexcept { return data_[0]; }
  T& back() noexcept { return data_[size_ - 1]; }
  const T& back() const noexcept { return data_[size_ - 1]; }

  void push_back(const T& value) { emplace_back(value); }
  void push_back(T&& value) { emplace_back(std::move(value)); }
  template <class... Args>
  T& emplace_back(Args&&... args) {
    if (size_ == capacity_) [[unlikely]]
      return emplace_grown(std::forward<Args>(args)...);
    T* place = std::construct_at(data_ + size_, std::forward<Args>(args)...);
    ++size_;
    return *place;
  }
  void pop_back() noexcept { std::destroy_at(data_ + --size_); }
  void clear() noexcept {
    std::destroy(begin(), end());
    size_ = 0;
  }
  void reserve(size_t count) {
    if (count > capacity_) grow(count);
  }
  /// `value` is taken by value: it may be an element of this vector.
  void resize(size_t count, T value = T()) {
    if (count < size_) {
      std::destroy(data_ + count, data_ + size_);
    } else {
      reserve(count);
      std::uninitialized_fill(data_ + size_, data_ + count, value);
    }
    size_ = count;
  }
  /// The range is not of this vector.
  template <class Iterator>
  void append(Iterator first, Iterator last) {
    if constexpr (std::forward_iterator<Iterator>) {
      const auto count = static_cast<size_t>(std::distance(first, last));
      reserve(size_ + count);
      std::uninitialized_copy(first, last, data_ + size_);
      size_ += count;
    } else {
      for (; first != last; ++first) push_back(*first);
    }
  }
  void insert(size_t position, T value) {
    push_back(std::move(value));
    std::rotate(begin() + position, end() - 1, end());
  }
  void erase(size_t position) {
    std::move(begin() + position + 1, end(), begin() + position);
    pop_back();
  }

  friend bool operator==(const SmallVector& a, const SmallVector& b) {
    if (a.size() != b.size()) return false;
    for (size_t i = 0; i < a.size(); ++i)  // they are few: memcmp() costs more
      if (!(a[i] == b[i])) return false;
    return true;
  }

 private:
  /// Elements are copied as bytes, a few more than there are at less cost than the exact number.
  static constexpr bool kCopiedWhole = std::is_trivially_copyable_v<T> && N * sizeof(T) <= 128;

  T* inline_data() noexcept { return reinterpret_cast<T*>(storage_); }
  bool is_inline() const noexcept { return data_ == reinterpret_cast<const T*>(storage_); }

  template <class... Args>
  [[gnu::noinline]] T& emplace_grown(Args&&... args) {
    T value(std::forward<Args>(args)...);  // They may be of an element.
    grow(size_ + 1);
    T* place = std::construct_at(data_ + size_, std::move(value));
    ++size_;
    return *place;
  }
  [[gnu::noinline]] void grow(size_t wanted) {
    const size_t capacity = std::max(wanted, capacity_ * 2);
    T* fresh = PoolAllocator<T>().allocate(capacity);
    std::uninitialized_move(begin(), end(), fresh);
    std::destroy(begin(), end());
    if (!is_inline()) PoolAllocator<T>().deallocate(data_, capacity_);
    data_ = fresh;
    capacity_ = capacity;
  }
  void release() noexcept {
    clear();
    if (!is_inline()) PoolAllocator<T>().deallocate(data_, capacity_);
    data_ = inline_data();
    capacity_ = N;
  }
  /// Takes the elements of `other`; this vector is empty and inline.
  void take(SmallVector& other) noexcept {
    if (other.is_inline()) {
      if constexpr (kCopiedWhole)
        std::memcpy(storage_, other.storage_, sizeof storage_);
      else
        std::uninitialized_move(other.begin(), other.end(), data_);
      size_ = other.size_;
      other.clear();
    } else {
      data_ = std::exchange(other.data_, other.inline_data());
      capacity_ = std::exchange(other.capacity_, N);
      size_ = std::exchange(other.size_, 0);
    }
  }

  alignas(T) std::byte storage_[N * sizeof(T)];
  T* data_ = inline_data();
  size_t size_ = 0;
  size_t capacity_ = N;
};

/// Concrete sizes, strides, axes.
using Ints = SmallVector<int64_t, 6>;

}  // namespace flambeau
