#include "tensor/tensor.h"

#include "base/error.h"
#include "tensor/element.h"

namespace flambeau {
namespace {

/// Bytes that a tensor of this geometry spans from its first element.
size_t span_bytes(const Ints& sizes, const Ints& strides, DType dtype, const char* function) {
  int64_t last = 0;
  bool empty = false;
  bool overflow = false;
  for (size_t i = 0; i < sizes.size(); ++i) {
    check(sizes[i] >= 0,
          [&] { return concat(function, ": sizes must not be negative, got ", list_text(sizes)); });
    check(strides[i] >= 0, [&] {
      return concat(function, ": strides must not be negative, got ", list_text(strides));
    });
    empty |= sizes[i] == 0;
    int64_t extent = 0;
    overflow |= __builtin_mul_overflow(std::max<int64_t>(sizes[i], 1) - 1, strides[i], &extent);
    overflow |= __builtin_add_overflow(last, extent, &last);
  }
  if (empty) return 0;
  int64_t bytes = 0;
  overflow |= __builtin_add_overflow(last, int64_t{1}, &last);
  overflow |= __builtin_mul_overflow(last, static_cast<int64_t>(size_of(dtype)), &bytes);
  check(!overflow, [&] {
    return concat(function, ": a tensor of shape ", list_text(sizes), " and dtype ",
                  info(dtype).name, " has more bytes than 64 bits can count");
  });
  return static_cast<size_t>(bytes);
}

/// The number of elements and the row-major strides fit 64 bits; also for shapes with a zero.
void check_sizes(const Ints& sizes, const char* prefix) {
  int64_t count = 1;
  for (const int64_t size : sizes) {
    check(size >= 0,
          [&] { return concat(prefix, "sizes must not be negative, got ", list_text(sizes)); });
    check(!__builtin_mul_overflow(count, std::max<int64_t>(size, 1), &count), [&] {
      return concat(prefix, "a tensor of shape ", list_text(sizes),
                    " has more elements than 64 bits can count");
    });
  }
}

int64_t wrap_axis(int64_t axis, int dim, const char* function) {
  const int64_t rank = std::max(dim, 1);
  check<IndexError>(axis >= -rank && axis < rank && dim > 0, [&] {
    if (dim == 0)
      return concat(function, ": dimension ", axis, " was given for a tensor that has none");
    return concat(function, ": Dimension out of range (expected to be in range of [", -rank, ", ",
                  rank - 1, "], but got ", axis, ")");
  });
  return axis < 0 ? axis + rank : axis;
}

}  // namespace

TensorImpl::TensorImpl(Ref<Storage> storage_, const TensorInfo& info, int64_t offset_)
    : TensorInfo(info), storage(std::move(storage_)), offset(offset_) {}

TensorImpl::~TensorImpl() {
  if (const VersionCounter* counter = version_.load(std::memory_order_relaxed))
    counter->decrease_reference();
  delete autograd();
}

AutogradMetaBase& TensorImpl::set_autograd(std::unique_ptr<AutogradMetaBase> meta) {
  AutogradMetaBase* present = nullptr;
  if (autograd_.compare_exchange_strong(present, meta.get(), std::memory_order_acq_rel))
    return *meta.release();
  return *present;
}

VersionCounter& TensorImpl::version_counter() const {
  VersionCounter* counter = version_.load(std::memory_order_acquire);
  if (counter != nullptr) return *counter;
  const Ref<VersionCounter> fresh = make_ref<VersionCounter>();
  if (version_.compare_exchange_strong(counter, fresh.get(), std::memory_order_acq_rel)) {
    fresh->increase_reference();
    return *fresh;
  }
  return *counter;
}

void TensorImpl::share_version(const TensorImpl& other) {
  VersionCounter& counter = other.version_counter();
  counter.increase_reference();
  VersionCounter* none = nullptr;
  require(version_.compare_exchange_strong(none, &counter),
          "TensorImpl::share_version: the tensor has a version counter already");
}

Tensor Tensor::empty(const Ints& sizes, DType dtype) {
  check_sizes(sizes, "empty: ");
  return empty_strided(sizes, contiguous_strides(sizes), dtype);
}

Tensor Tensor::empty_strided(const Ints& sizes, const Ints& strides, DType dtype) {
  check(sizes.size() == strides.size(), [&] {
    return concat("empty_strided: got ", sizes.size(), " sizes and ", strides.size(), " strides");
  });
  const size_t bytes = span_bytes(sizes, strides, dtype, "empty_strided");
  return Tensor(
      make_ref<TensorImpl>(make_ref<Storage>(bytes), TensorInfo{dtype, sizes, strides}, 0));
}

Tensor Tensor::empty_again(const TensorInfo& info, size_t bytes) {
  return Tensor(make_ref<TensorImpl>(make_ref<Storage>(bytes), info, 0));
}

Tensor Tensor::from_scalar(const Scalar& value) {
  const DType dtype = value.is_complex() ? DType::Complex64
                      : value.is_float() ? DType::Float32
                                         : value.dtype();
  return from_scalar(value, dtype);
}

Tensor Tensor::from_scalar(const Scalar& value, DType dtype) {
  Tensor result = empty({}, dtype);
  store_element(result.data_ptr(), dtype, value);
  return result;
}

int64_t Tensor::size(int64_t axis) const {
  return sizes()[static_cast<size_t>(wrap_axis(axis, dim(), "size"))];
}

int64_t Tensor::stride(int64_t axis) const {
  return strides()[static_cast<size_t>(wrap_axis(axis, dim(), "stride"))];
}

void* Tensor::typed_data(size_t element_size) const {
  require(element_size == size_of(dtype()), "Tensor::data<T>: T has not the size of the dtype");
  return data_ptr();
}

Scalar Tensor::item() const {
  check(numel() == 1, [&] {
    return concat("item: a Tensor with ", numel(), " elements cannot be converted to Scalar");
  });
  check(!is_meta(), [] { return std::string("Tensor.item() cannot be called on meta tensors"); });
  return load_element(readable_data_ptr(), dtype());
}

Tensor Tensor::alias(const Ints& sizes, const Ints& strides, int64_t offset) const {
  return alias(sizes, strides, offset, dtype());
}

Tensor Tensor::alias(const Ints& sizes, const Ints& strides, int64_t offset, DType dtype) const {
  require(sizes.size() == strides.size() && offset >= 0, "Tensor::alias: bad geometry");
  const size_t element = size_of(dtype);
  const size_t bytes = span_bytes(sizes, strides, dtype, "Tensor::alias");
  require(bytes == 0 || static_cast<size_t>(offset) * element + bytes <= impl_->storage->bytes(),
          "Tensor::alias: the window reaches beyond the storage");
  return window({dtype, sizes, strides}, offset);
}

Tensor Tensor::window(const TensorInfo& info, int64_t offset) const {
  auto impl = make_ref<TensorImpl>(impl_->storage, info, offset);
  impl->share_version(*impl_);
  impl->is_inference = impl_->is_inference;
  return Tensor(std::move(impl));
}

Tensor Tensor::detach() const {
  Tensor result = window(info(), impl_->offset);
  result->is_wrapped_number = impl_->is_wrapped_number;
  return result;
}

Tensor Tensor::variable_data() const {
  auto impl = make_ref<TensorImpl>(impl_->storage, info(), impl_->offset);
  impl->is_inference = impl_->is_inference;
  return Tensor(std::move(impl));
}

void Tensor::bump_version(const char* op) const {
  check(!impl_->storage->read_only(), [&] {
    return concat(
        op,
        ": the tensor's memory is read-only (it belongs to a read-only array or mapped file); "
        "clone() it first");
  });
  version_counter().value.fetch_add(1, std::memory_order_relaxed);
}

Tensor alias_as_real(const Tensor& tensor) {
  Ints sizes = tensor.sizes();
  Ints strides;
  for (const int64_t stride : tensor.strides()) strides.push_back(2 * stride);
  sizes.push_back(2);
  strides.push_back(1);
  return tensor.alias(sizes, strides, 2 * tensor->offset, real_dtype(tensor.dtype()));
}

Tensor alias_as_complex(const Tensor& tensor) {
  Ints sizes = tensor.sizes();
  Ints strides;
  sizes.pop_back();
  for (size_t i = 0; i < sizes.size(); ++i) strides.push_back(tensor.strides()[i] / 2);
  return tensor.alias(sizes, strides, tensor->offset / 2, complex_dtype(tensor.dtype()));
}

}  // namespace flambeau
