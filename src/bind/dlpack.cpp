#include "bind/dlpack.h"

#include <cstdint>
#include <memory>

#include "base/error.h"

namespace flambeau::bind {
namespace {

// The protocol's structures, version 0.x, as its specification lays them out.
enum : uint8_t { kInt = 0, kUnsigned = 1, kFloat = 2, kBfloat = 4, kComplex = 5, kBool = 6 };
constexpr int32_t kCpu = 1;

struct DlDevice {
  int32_t type;
  int32_t number;
};
struct DlType {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
};
struct DlTensor {
  void* data;
  DlDevice device;
  int32_t rank;
  DlType type;
  int64_t* shape;
  int64_t* strides;
  uint64_t byte_offset;
};
struct DlManagedTensor {
  DlTensor tensor;
  void* context;
  void (*deleter)(DlManagedTensor*);
};

constexpr const char* kFresh = "dltensor";
constexpr const char* kUsed = "used_dltensor";

/// What lives as long as an exported capsule's consumer wants.
struct Exported {
  explicit Exported(Tensor exported) : tensor(std::move(exported)) {
    tensor->storage->add_export();
  }
  ~Exported() { tensor->storage->remove_export(); }
  Exported(const Exported&) = delete;
  Exported& operator=(const Exported&) = delete;

  Tensor tensor;
  Ints sizes;
  Ints strides;
  DlManagedTensor managed{};
};

DlType type_of(DType dtype) {
  const DTypeInfo& row = info(dtype);
  uint8_t code = row.is_signed ? kInt : kUnsigned;
  if (is_float(dtype)) code = dtype == DType::BFloat16 ? kBfloat : kFloat;
  if (is_complex(dtype)) code = kComplex;
  if (is_bool(dtype)) code = kBool;
  return {code, static_cast<uint8_t>(row.size * 8), 1};
}

[[noreturn]] void buffer_error(const std::string& text) {
  PyErr_SetString(PyExc_BufferError, text.c_str());
  throw PythonError();
}

DType dtype_of(const DlType& type) {
  for (int i = 0; i < kDTypeCount; ++i) {
    const DlType known = type_of(static_cast<DType>(i));
    if (known.code == type.code && known.bits == type.bits && type.lanes == 1)
      return static_cast<DType>(i);
  }
  buffer_error(concat("from_dlpack: no dtype for type code ", int{type.code}, " of ",
                      int{type.bits}, " bits and ", type.lanes, " lanes"));
}

void delete_unused(PyObject* capsule) {
  if (PyCapsule_IsValid(capsule, kFresh) == 0) return;
  auto* managed = static_cast<DlManagedTensor*>(PyCapsule_GetPointer(capsule, kFresh));
  if (managed->deleter != nullptr) managed->deleter(managed);
}

}  // namespace

Object to_dlpack(const Tensor& tensor) {
  auto exported = std::make_unique<Exported>(tensor);
  exported->sizes = tensor.sizes();
  exported->strides = tensor.strides();
  DlManagedTensor& managed = exported->managed;
  managed.tensor = {tensor.data_ptr(),
                    {kCpu, 0},
                    tensor.dim(),
                    type_of(tensor.dtype()),
                    exported->sizes.data(),
                    exported->strides.data(),
                    0};
  managed.context = exported.get();
  managed.deleter = [](DlManagedTensor* self) { delete static_cast<Exported*>(self->context); };
  Object capsule = checked(PyCapsule_New(&managed, kFresh, delete_unused));
  static_cast<void>(exported.release());  // the capsule's from here on
  return capsule;
}

Tensor from_dlpack(PyObject* capsule) {
  check<TypeError>(PyCapsule_IsValid(capsule, kFresh) != 0, [] {
    return std::string("from_dlpack: needs a DLPack capsule that has not been used yet");
  });
  auto* managed = static_cast<DlManagedTensor*>(PyCapsule_GetPointer(capsule, kFresh));
  const DlTensor& source = managed->tensor;
  if (source.device.type != kCpu)
    buffer_error(concat("from_dlpack: device type ", source.device.type, " is not available"));
  TensorInfo info{dtype_of(source.type), Ints(source.shape, source.shape + source.rank), {}};
  info.strides = source.strides != nullptr ? Ints(source.strides, source.strides + source.rank)
                                           : contiguous_strides(info.sizes);
  int64_t last = 0;
  for (size_t i = 0; i < info.sizes.size(); ++i) {
    if (info.strides[i] < 0) buffer_error("from_dlpack: strides must not be negative");
    last += (info.sizes[i] - 1) * info.strides[i];
  }
  const size_t bytes = info.numel() == 0 ? 0 : static_cast<size_t>(last + 1) * size_of(info.dtype);
  checked(PyCapsule_SetName(capsule, kUsed));
  void* data = static_cast<char*>(source.data) + source.byte_offset;
  auto storage = make_ref<Storage>(data, bytes, [managed] {
    // The producer may be a Python library.
    if (Py_IsInitialized() == 0 || managed->deleter == nullptr) return;
    const AcquireLock lock;
    managed->deleter(managed);
  });
  return Tensor(make_ref<TensorImpl>(std::move(storage), std::move(info), 0));
}

}  // namespace flambeau::bind
