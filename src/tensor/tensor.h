#pragma once
// Tensor: a counted handle to a TensorImpl, which is a typed, strided window on a Storage.

#include <atomic>
#include <functional>
#include <memory>

#include "base/intrusive.h"
#include "base/scalar.h"
#include "base/tensor_info.h"

namespace flambeau {

/// What autograd hangs on a tensor; autograd/node.h derives AutogradMeta from it.
struct AutogradMetaBase {
  virtual ~AutogradMetaBase() = default;
};

/// A block of memory shared by tensors. Address and size never change while tensors see it, but
/// for resize (only `resize_` and `set_` style functions use it).
class Storage final : public Intrusive {
 public:
  /// `bytes` of uninitialised memory from the caching allocator.
  explicit Storage(size_t bytes);
  /// Memory of somebody else (a NumPy array, a mapped file): `release` runs when the last tensor
  /// is gone. A read-only storage refuses in-place operations.
  Storage(void* data, size_t bytes, std::function<void()> release, bool read_only = false);
  ~Storage() override;
  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  bool read_only() const { return read_only_; }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
  bool read_only_ = false;
  std::function<void()> release_;
};

/// Counts in-place writes; shared by a tensor, its views and what detach() gives.
class VersionCounter final : public Intrusive {
 public:
  std::atomic<uint32_t> value{0};
};

class TensorImpl final : public Intrusive, public TensorInfo {
 public:
  TensorImpl(Ref<Storage> storage, TensorInfo info, int64_t offset);
  ~TensorImpl() override;

  Ref<Storage> storage;
  int64_t offset = 0;              ///< in elements
  bool requires_grad = false;      ///< of a leaf; for others see autograd
  bool is_wrapped_number = false;  ///< made from a Python number: promotes as one
  bool is_inference = false;

  /// Null until something needs it.
  AutogradMetaBase* autograd() const { return autograd_.load(std::memory_order_acquire); }
  /// Takes `meta` unless another thread was first; returns the one that stays.
  AutogradMetaBase& set_autograd(std::unique_ptr<AutogradMetaBase> meta);
  /// The first element's address; null where the storage has no memory.
  void* data() const {
    auto* const memory = static_cast<char*>(storage->data());
    if (memory == nullptr) [[unlikely]]
      return nullptr;
    return memory + offset * static_cast<int64_t>(size_of(dtype));
  }
  /// Made at the first call; any number of threads may make it at once.
  VersionCounter& version_counter() const;
  uint32_t version() const {
    const VersionCounter* counter = version_.load(std::memory_order_acquire);
    return counter != nullptr ? counter->value.load(std::memory_order_relaxed) : 0;
  }
  /// From now on counts with `other`; this tensor must not have a counter yet.
  void share_version(const TensorImpl& other);

 private:
  mutable std::atomic<VersionCounter*> version_{nullptr};  ///< holds one reference
  std::atomic<AutogradMetaBase*> autograd_{nullptr};       ///< owned
};

class Tensor {
 public:
  /// The undefined tensor.
  Tensor() = default;
  explicit Tensor(Ref<TensorImpl> impl) : impl_(std::move(impl)) {}
  /// Uninitialised, row-major.
  /// RuntimeError for negative or overflowing sizes, and where there is not enough memory.
  static Tensor empty(const Ints& sizes, DType dtype = DType::Float32);
  /// Uninitialised with these strides (dense or not; the storage spans them all).
  static Tensor empty_strided(const Ints& sizes, const Ints& strides, DType dtype);
  /// A 0-dim tensor of the number's dtype (float: float32; complex: complex64; int: int64; bool).
  static Tensor from_scalar(const Scalar& value);
  /// A 0-dim tensor of `dtype`.
  static Tensor from_scalar(const Scalar& value, DType dtype);

  bool defined() const { return static_cast<bool>(impl_); }
  TensorImpl* impl() const { return impl_.get(); }
  TensorImpl* operator->() const { return impl_.get(); }
  const TensorInfo& info() const { return *impl_; }

  DType dtype() const { return impl_->dtype; }
  const Ints& sizes() const { return impl_->sizes; }
  const Ints& strides() const { return impl_->strides; }
  int64_t size(int64_t axis) const;  ///< negative axes count from the end; IndexError
  int64_t stride(int64_t axis) const;
  int dim() const { return impl_->dim(); }
  int64_t numel() const { return impl_->numel(); }
  bool is_contiguous() const { return impl_->is_contiguous(); }
  void* data_ptr() const { return impl_->data(); }
  /// The first element; InternalError unless T has the size of the dtype.
  template <class T>
  T* data() const {
    return static_cast<T*>(typed_data(sizeof(T)));
  }
  bool is_same(const Tensor& other) const { return impl_ == other.impl_; }

  /// The only element as a number; RuntimeError unless numel() is 1.
  Scalar item() const;

  /// A window on the same storage with this geometry: no autograd, shares the version counter.
  Tensor alias(const Ints& sizes, const Ints& strides, int64_t offset) const;
  /// The same with the bytes read as elements of `dtype`; strides and offset count those.
  Tensor alias(const Ints& sizes, const Ints& strides, int64_t offset, DType dtype) const;
  /// The same storage under another autograd history: PyTorch's detach() (shares the version).
  Tensor detach() const;
  /// PyTorch's `.data`: as detach() with a version counter of its own.
  Tensor variable_data() const;

  VersionCounter& version_counter() const { return impl_->version_counter(); }
  uint32_t version() const { return impl_->version(); }
  /// Counts one in-place write; RuntimeError on a read-only storage.
  void bump_version(const char* op) const;

 private:
  void* typed_data(size_t element_size) const;
  Ref<TensorImpl> impl_;
};

/// A complex tensor as a real one whose last axis of 2 holds the parts, and back (that axis has
/// stride 1, the others even ones): the same memory, no autograd.
Tensor alias_as_real(const Tensor& tensor);
Tensor alias_as_complex(const Tensor& tensor);

using TensorList = std::vector<Tensor>;

}  // namespace flambeau
