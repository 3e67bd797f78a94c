#pragma once
// Tensor: a counted handle to a TensorImpl, which is a typed, strided window on a Storage.

#include <atomic>
#include <functional>
#include <memory>
#include <span>

#include "base/intrusive.h"
#include "base/scalar.h"
#include "base/tensor_info.h"

namespace flambeau {

/// What autograd hangs on a tensor; autograd/node.h derives AutogradMeta from it.
struct AutogradMetaBase : Pooled {
  virtual ~AutogradMetaBase() = default;
};

class Storage;

/// Programs that were recorded and have not run yet (compile/recorder.h).
class PendingWork {
 public:
  virtual ~PendingWork() = default;
  /// Runs what has to run before somebody else reads `storage` or, with `write`, writes it.
  virtual void settle(const Storage& storage, bool write) = 0;
};

/// How the contents of a storage are computed again (autograd/recompute.h).
class Recomputation {
 public:
  virtual ~Recomputation() = default;
  /// The contents in memory of their own, from the sources as they are, at once.
  virtual Ref<Storage> compute() const = 0;
  /// What it reads: one entry for each reference that it holds.
  virtual std::span<const Storage* const> sources() const = 0;
};

/// Who but this process's tensors sees memory that belongs to somebody else.
enum class Sharing : uint8_t {
  Shared,    ///< others may read and write it at any time
  ReadOnly,  ///< in-place operations are refused; others may write it, through the array behind it
  Private,   ///< nobody (a mapping that copies on write)
};

/// A block of memory shared by tensors. Address and size never change while tensors see it, but
/// for resize (only `resize_` and `set_` style functions use it).
class Storage final : public Intrusive {
 public:
  /// `bytes` of uninitialised memory from the caching allocator; taken at the first use while
  /// MemoryDeferral lives on this thread, and never while WithoutMemory does.
  explicit Storage(size_t bytes);
  /// Memory of somebody else (a NumPy array, a mapped file): `release` runs when the last tensor
  /// is gone.
  Storage(void* data, size_t bytes, std::function<void()> release,
          Sharing sharing = Sharing::Shared);
  ~Storage() override;

  /// The memory, to read and write. What is recorded and reads or writes it runs first.
  void* data() const {
    if (state_.load(std::memory_order_acquire) != kReady) [[unlikely]]
      make_ready(true);
    return data_;
  }
  /// The memory, to read only: what is recorded and only reads it need not run first.
  const void* readable_data() const {
    if ((state_.load(std::memory_order_acquire) & ~(kDerived | kSource)) != kReady) [[unlikely]]
      make_ready(false);
    return data_;
  }
  /// The memory as it is, pending or not, for who runs the pending work; not of what is_linked().
  void* memory() const {
    if ((state_.load(std::memory_order_acquire) & (kDeferred | kFailed)) != 0) [[unlikely]]
      take_memory();
    return data_;
  }
  size_t bytes() const { return bytes_; }
  bool read_only() const { return sharing_ == Sharing::ReadOnly; }
  /// True for storages of the device "meta", which have a size alone: who asks for their memory
  /// gets a NotImplementedError.
  bool is_meta() const { return (state_.load(std::memory_order_relaxed) & kMeta) != 0; }
  /// True while others may look at the memory, or write it (NumPy arrays, DLPack capsules,
  /// buffers).
  bool is_exported() const {
    return exports_.load(std::memory_order_relaxed) != 0 ||
           (sharing_ != Sharing::Private && static_cast<bool>(release_));
  }
  /// Counts those that others were given; the memory is ready afterwards.
  void add_export() const;
  void remove_export() const { exports_.fetch_sub(1, std::memory_order_relaxed); }

  /// The recorded programs that read or write this storage; null: none. A PendingWork sets itself,
  /// which does nothing while another is set, and, with one reference and `slot` its own, null.
  PendingWork* pending() const { return pending_.load(std::memory_order_acquire); }
  void set_pending(PendingWork* work, int slot) const;
  int pending_slot() const { return pending_slot_; }
  /// What should have been written never will be: who asks for the memory gets a RuntimeError with
  /// the reason. May be called again to say more.
  void fail(const std::string& reason) const;
  /// Memory that was taken and that nobody has written goes, and is taken at the next use. For the
  /// owner of the pending work that is to write it.
  void defer_again() const;
  bool is_deferred() const { return (state_.load(std::memory_order_acquire) & kDeferred) != 0; }
  /// Whoever fills this storage says how that is done again. It holds until this storage, or one
  /// that is read for it, is written. Nothing for memory that others see or that is not ready.
  void set_recomputation(std::shared_ptr<const Recomputation> how) const;
  bool is_derived() const { return (state_.load(std::memory_order_acquire) & kDerived) != 0; }
  /// It can be computed again, or is read where others are.
  bool is_linked() const {
    return (state_.load(std::memory_order_acquire) & (kDerived | kSource)) != 0;
  }
  /// Gives the memory back if it can be computed again, which the next use does, and what writes a
  /// storage that is read for it. False, and nothing, where others than the caller's one reference
  /// and recomputations hold the storage.
  bool give_up_memory() const;
  bool has_given_up_memory() const {
    return (state_.load(std::memory_order_acquire) & kGivenUp) != 0;
  }
  /// References but the one of pending work.
  uint64_t owners() const { return use_count() - (pending() != nullptr ? 1 : 0); }

 private:
  static constexpr uint8_t kReady = 0;
  static constexpr uint8_t kDeferred = 1;  // memory is taken at the first use
  static constexpr uint8_t kPending = 2;
  static constexpr uint8_t kFailed = 4;
  static constexpr uint8_t kDerived = 8;   // can be computed again
  static constexpr uint8_t kGivenUp = 16;  // derived, and has no memory until it is
  static constexpr uint8_t kSource = 32;   // others can be computed again from it
  static constexpr uint8_t kMeta = 64;     // has no memory, and never will
  struct Links;

  void make_ready(bool write) const;
  void take_memory() const;
  void follow_links(bool write) const;
  void compute_again() const;
  std::shared_ptr<const Recomputation> unlink() const;
  Links& links() const;
  void remove(uint8_t flags) const {
    state_.fetch_and(static_cast<uint8_t>(~flags), std::memory_order_release);
  }

  mutable void* data_ = nullptr;
  size_t bytes_ = 0;
  mutable std::atomic<uint8_t> state_{kReady};
  Sharing sharing_ = Sharing::Private;
  mutable std::atomic<int32_t> exports_{0};
  mutable std::atomic<PendingWork*> pending_{nullptr};
  mutable int32_t pending_slot_ = 0;
  mutable Links* links_ = nullptr;  // owned
  std::function<void()> release_;
};

/// While the innermost one of this thread says so, fresh storages take their memory at the first
/// use.
class MemoryDeferral {
 public:
  explicit MemoryDeferral(bool deferred);
  ~MemoryDeferral();
  MemoryDeferral(const MemoryDeferral&) = delete;
  MemoryDeferral& operator=(const MemoryDeferral&) = delete;

 private:
  bool before_;
};
/// The same without end.
void set_memory_deferred(bool deferred);

/// While the innermost one of this thread says so, fresh storages are meta, and what runs computes
/// shapes alone.
class WithoutMemory {
 public:
  explicit WithoutMemory(bool without = true);
  ~WithoutMemory();
  WithoutMemory(const WithoutMemory&) = delete;
  WithoutMemory& operator=(const WithoutMemory&) = delete;
  static bool current() { return innermost; }

 private:
  bool before_;
  static thread_local constinit bool innermost;
};

/// While one lives, this thread takes memory as it is, pending or not: it runs the pending work.
class PendingIgnored {
 public:
  PendingIgnored();
  ~PendingIgnored();
  PendingIgnored(const PendingIgnored&) = delete;
  PendingIgnored& operator=(const PendingIgnored&) = delete;

 private:
  bool before_;
};

/// Counts in-place writes; shared by a tensor, its views and what detach() gives.
class VersionCounter final : public Intrusive {
 public:
  std::atomic<uint32_t> value{0};
};

class TensorImpl final : public Intrusive, public TensorInfo {
 public:
  TensorImpl(Ref<Storage> storage, const TensorInfo& info, int64_t offset);
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
  /// The first element's address, to read and write; null where the storage has no memory.
  void* data() const {
    auto* const memory = static_cast<char*>(storage->data());
    if (memory == nullptr) [[unlikely]]
      return nullptr;
    return memory + offset * static_cast<int64_t>(size_of(dtype));
  }
  /// The same, to read only.
  const void* readable_data() const {
    const auto* const memory = static_cast<const char*>(storage->readable_data());
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
  /// Uninitialised, of the geometry of a tensor that has `bytes` bytes.
  static Tensor empty_again(const TensorInfo& info, size_t bytes);
  /// A 0-dim tensor of the number's dtype (float: float32; complex: complex64; int: int64; bool).
  static Tensor from_scalar(const Scalar& value);
  /// A 0-dim tensor of `dtype`.
  static Tensor from_scalar(const Scalar& value, DType dtype);

  bool defined() const { return static_cast<bool>(impl_); }
  TensorImpl* impl() const { return impl_.get(); }
  TensorImpl* operator->() const { return impl_.get(); }
  const TensorInfo& info() const { return *impl_; }
  bool is_meta() const { return impl_->storage->is_meta(); }

  DType dtype() const { return impl_->dtype; }
  const Ints& sizes() const { return impl_->sizes; }
  const Ints& strides() const { return impl_->strides; }
  int64_t size(int64_t axis) const;  ///< negative axes count from the end; IndexError
  int64_t stride(int64_t axis) const;
  int dim() const { return impl_->dim(); }
  int64_t numel() const { return impl_->numel(); }
  bool is_contiguous() const { return impl_->is_contiguous(); }
  void* data_ptr() const { return impl_->data(); }
  /// As data_ptr(), to read only.
  const void* readable_data_ptr() const { return impl_->readable_data(); }
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
  /// An alias that nobody checks: `offset` and `info` lie within the storage.
  Tensor window(const TensorInfo& info, int64_t offset) const;
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
