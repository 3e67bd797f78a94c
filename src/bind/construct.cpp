#include "bind/construct.h"

#include <bit>
#include <cstring>

#include "base/error.h"
#include "base/scalar_range.h"
#include "bind/constants.h"
#include "bind/convert.h"
#include "bind/tensor_type.h"
#include "ops/registry.h"
#include "tensor/element.h"

namespace flambeau::bind {
namespace {

constexpr size_t kMaxDims = 64;

/// Arrays of subclasses (numpy.memmap) are arrays.
bool is_array(PyObject* object) {
  for (const PyTypeObject* type = Py_TYPE(object); type != nullptr; type = type->tp_base)
    if (std::strcmp(type->tp_name, "numpy.ndarray") == 0) return true;
  return false;
}

/// A number, text or None: what is not looked into.
bool is_leaf_value(PyObject* object) {
  return PyFloat_Check(object) || PyLong_Check(object) || PyComplex_Check(object) ||
         PyUnicode_Check(object) || object == Py_None || is_numpy_scalar(object);
}

bool is_sequence(PyObject* object) {
  return !is_leaf_value(object) && PySequence_Check(object) != 0 &&
         !(is_tensor(object) && tensor_of(object).dim() == 0);
}

/// The tensor that `object` is or shares memory with; undefined if it is neither tensor nor array.
Tensor existing(PyObject* object) {
  if (is_tensor(object)) return tensor_of(object);
  if (is_array(object)) return tensor_from_numpy(object);
  return {};
}

/// Follows the first item of each level, as PyTorch does; the others are compared when filling.
Ints shape_of(PyObject* data) {
  Ints sizes;
  Object item = Object::borrow(data);
  while (is_sequence(item.get())) {
    if (const Tensor tensor = existing(item.get()); tensor.defined()) {
      sizes.append(tensor.sizes().begin(), tensor.sizes().end());
      break;
    }
    const Py_ssize_t length = PySequence_Size(item.get());
    checked(static_cast<int>(std::min<Py_ssize_t>(length, 0)));
    sizes.push_back(length);
    check<ValueError>(sizes.size() <= kMaxDims,
                      [&] { return concat("too many dimensions '", type_name(item.get()), "'"); });
    if (length == 0) break;
    item = checked(PySequence_GetItem(item.get(), 0));
  }
  return sizes;
}

DType infer_dtype(PyObject* data) {
  if (PyFloat_CheckExact(data)) return ops::default_dtype();
  if (PyBool_Check(data)) return DType::Bool;
  if (PyLong_CheckExact(data)) return DType::Int64;
  if (is_tensor(data)) return tensor_of(data).dtype();
  if (is_array(data)) return tensor_from_numpy(data).dtype();
  if (is_numpy_scalar(data)) {
    const Object name = checked(PyObject_GetAttrString(data, "dtype"));
    return dtype_from_name(text_of(checked(PyObject_Str(name.get())).get()));
  }
  if (PyFloat_Check(data)) return ops::default_dtype();
  if (PyLong_Check(data)) return DType::Int64;
  if (PyComplex_Check(data)) return complex_dtype(ops::default_dtype());
  check<TypeError>(PyUnicode_Check(data) == 0,
                   [&] { return concat("new(): invalid data type '", type_name(data), "'"); });
  check(is_sequence(data), [&] { return concat("Could not infer dtype of ", type_name(data)); });
  const Object items = checked(PySequence_Fast(data, "tensor: not a sequence"));
  const Py_ssize_t length = PySequence_Fast_GET_SIZE(items.get());
  if (length == 0) return ops::default_dtype();
  std::optional<DType> result;
  for (Py_ssize_t i = 0; i < length; ++i) {
    const DType dtype = infer_dtype(PySequence_Fast_GET_ITEM(items.get(), i));
    result = result ? promote_types(*result, dtype) : dtype;
  }
  return *result;
}

void store(char* address, DType dtype, const Scalar& value) {
  check(is_inexact(dtype) || fits(value, dtype), [&] {
    return concat("value cannot be converted to type ", info(dtype).name, " without overflow");
  });
  store_element(address, dtype, value);
}

/// scalar_from; an int that int64 cannot hold is a float where one is wanted, and no complex number
/// becomes real.
bool number_from(PyObject* object, DType dtype, Scalar& value) {
  try {
    if (!scalar_from(object, value)) return false;
    check<TypeError>(!value.is_complex() || is_complex(dtype) || is_bool(dtype), [&] {
      return std::string(is_float(dtype) ? "must be real number, not complex"
                                         : "'complex' object cannot be interpreted as an integer");
    });
    return true;
  } catch (const IntOverflow&) {
    if (!is_inexact(dtype) && !is_bool(dtype)) throw;
    value = is_bool(dtype) ? 1.0 : PyLong_AsDouble(object);
    if (PyErr_Occurred() != nullptr) throw PythonError();
    return true;
  }
}

void store_object(char* address, DType dtype, PyObject* object) {
  Scalar value;
  if (!number_from(object, dtype, value)) {
    if (const Tensor tensor = existing(object); tensor.defined() && tensor.numel() == 1) {
      value = tensor.item();
    } else {
      check<ValueError>(!tensor.defined(), [] {
        return std::string("only one element tensors can be converted to Python scalars");
      });
      throw TypeError(concat("must be real number, not ", type_name(object)));
    }
  }
  store(address, dtype, value);
}

/// Row-major writer of nested sequences.
class Filler {
 public:
  explicit Filler(const Tensor& result)
      : sizes_(result.sizes()),
        dtype_(result.dtype()),
        element_(size_of(dtype_)),
        place_(static_cast<char*>(result.data_ptr())) {}

  void fill(size_t axis, PyObject* data) {
    if (axis == sizes_.size()) {
      store_object(place_, dtype_, data);
      place_ += element_;
      return;
    }
    if (const Tensor tensor = existing(data); tensor.defined() && tensor.dim() > 0) {
      check<ValueError>(tensor.sizes() == Ints(sizes_.begin() + axis, sizes_.end()), [&] {
        return concat("expected sequence of length ", sizes_[axis], " at dim ", axis, " (got ",
                      tensor.sizes()[0], ")");
      });
      copy(tensor, 0, 0);
      return;
    }
    check<TypeError>(is_sequence(data), [&] {
      return concat("not a sequence: found ", type_name(data), " at dim ", axis);
    });
    const Object items = checked(PySequence_Fast(data, "not a sequence"));
    const Py_ssize_t length = PySequence_Fast_GET_SIZE(items.get());
    check<ValueError>(length == sizes_[axis], [&] {
      return concat("expected sequence of length ", sizes_[axis], " at dim ", axis, " (got ",
                    length, ")");
    });
    for (Py_ssize_t i = 0; i < length; ++i)
      fill(axis + 1, PySequence_Fast_GET_ITEM(items.get(), i));
  }

 private:
  void copy(const Tensor& tensor, size_t axis, int64_t offset) {
    if (axis < tensor.sizes().size()) {
      for (int64_t i = 0; i < tensor.sizes()[axis]; ++i)
        copy(tensor, axis + 1, offset + i * tensor.strides()[axis]);
      return;
    }
    const auto* base = static_cast<const char*>(tensor.data_ptr());
    const int64_t bytes = offset * static_cast<int64_t>(size_of(tensor.dtype()));
    store(place_, dtype_, load_element(base + bytes, tensor.dtype()));
    place_ += element_;
  }

  Ints sizes_;
  DType dtype_;
  size_t element_;
  char* place_;
};

/// A buffer that Python lent; given back when the tensor is gone.
std::function<void()> give_back(Py_buffer* view) {
  return [view] {
    if (Py_IsInitialized() == 0) return;
    const AcquireLock lock;
    PyBuffer_Release(view);
    delete view;
  };
}

Tensor share(std::unique_ptr<Py_buffer> view, TensorInfo info, void* data, size_t bytes) {
  const bool read_only = view->readonly != 0;
  auto storage = make_ref<Storage>(data, bytes, give_back(view.release()),
                                   read_only ? Sharing::ReadOnly : Sharing::Shared);
  return Tensor(make_ref<TensorImpl>(std::move(storage), std::move(info), 0));
}

[[noreturn]] void unsupported_array(PyObject* array) {
  PyErr_Clear();
  const Object dtype = checked(PyObject_GetAttrString(array, "dtype"));
  throw TypeError(concat(
      "from_numpy: can't convert np.ndarray of type ",
      text_of(checked(PyObject_Str(dtype.get())).get()),
      ". The only supported types are: float64, float32, float16, complex64, complex128, int64, "
      "int32, int16, int8, uint8 and bool."));
}

}  // namespace

std::optional<DType> dtype_of_format(const char* format, Py_ssize_t item_size) {
  std::string_view text = format != nullptr ? format : "B";
  if (!text.empty() && (text[0] == '@' || text[0] == '=' || text[0] == '<')) text.remove_prefix(1);
  if (text == "Zf") return DType::Complex64;
  if (text == "Zd") return DType::Complex128;
  if (text.size() != 1) return std::nullopt;
  switch (text[0]) {
    case '?':
      return DType::Bool;
    case 'B':
      return DType::UInt8;
    case 'b':
    case 'h':
    case 'i':
    case 'l':
    case 'q':
      return item_size == 1   ? DType::Int8
             : item_size == 2 ? DType::Int16
             : item_size == 4 ? DType::Int32
                              : DType::Int64;
    case 'e':
      return DType::Float16;
    case 'f':
      return DType::Float32;
    case 'd':
      return DType::Float64;
    default:
      return std::nullopt;
  }
}

const char* format_of(DType dtype) {
  switch (dtype) {
    case DType::Bool:
      return "?";
    case DType::UInt8:
      return "B";
    case DType::Int8:
      return "b";
    case DType::Int16:
      return "h";
    case DType::Int32:
      return "i";
    case DType::Int64:
      return "l";
    case DType::Float16:
      return "e";
    case DType::BFloat16:
    case DType::Complex32:
      return nullptr;
    case DType::Float32:
      return "f";
    case DType::Float64:
      return "d";
    case DType::Complex64:
      return "Zf";
    case DType::Complex128:
      return "Zd";
  }
  return nullptr;
}

Tensor tensor_from_data(PyObject* data, std::optional<DType> dtype) {
  const DType type = dtype ? *dtype : infer_dtype(data);
  const Tensor result = Tensor::empty(shape_of(data), type);
  if (result.numel() > 0 || result.dim() > 1) Filler(result).fill(0, data);
  return result;
}

Tensor as_tensor(PyObject* data, std::optional<DType> dtype) {
  Tensor tensor = existing(data);
  if (tensor.defined() && (!dtype || *dtype == tensor.dtype())) return tensor;
  return tensor_from_data(data, dtype);
}

Tensor tensor_from_numpy(PyObject* array) {
  check<TypeError>(is_array(array), [&] {
    return concat("from_numpy: expected np.ndarray (got ", type_name(array), ")");
  });
  auto view = std::make_unique<Py_buffer>();
  if (PyObject_GetBuffer(array, view.get(), PyBUF_STRIDED_RO | PyBUF_FORMAT) != 0)
    unsupported_array(array);
  const auto fail_if = [&](bool bad, const char* text) {
    if (!bad) return;
    PyBuffer_Release(view.get());
    throw ValueError(concat("from_numpy: ", text));
  };
  fail_if(view->format != nullptr && (view->format[0] == '>' || view->format[0] == '!'),
          "given numpy array has byte order different from the native byte order. Conversion "
          "between byte orders is currently not supported.");
  const std::optional<DType> dtype = dtype_of_format(view->format, view->itemsize);
  if (!dtype) {
    PyBuffer_Release(view.get());
    unsupported_array(array);
  }
  TensorInfo info{*dtype, {}, {}};
  int64_t span = view->len > 0 ? view->itemsize : 0;
  for (int i = 0; i < view->ndim; ++i) {
    const Py_ssize_t stride = view->strides[i];
    fail_if(stride < 0,
            "At least one stride in the given numpy array is negative, and tensors with negative "
            "strides are not currently supported. (You can probably work around this by making a "
            "copy of your array with array.copy().)");
    fail_if(stride % view->itemsize != 0 && view->shape[i] > 1,
            "given numpy array strides not a multiple of the element byte size. Copy the numpy "
            "array to reallocate the memory.");
    info.sizes.push_back(view->shape[i]);
    info.strides.push_back(stride / view->itemsize);
    if (span > 0) span += (view->shape[i] - 1) * stride;
  }
  void* data = view->buf;
  return share(std::move(view), std::move(info), data, static_cast<size_t>(span));
}

Tensor tensor_from_buffer(PyObject* buffer, DType dtype, int64_t count, int64_t offset) {
  auto view = std::make_unique<Py_buffer>();
  checked(PyObject_GetBuffer(buffer, view.get(), PyBUF_SIMPLE));
  const auto size = static_cast<int64_t>(size_of(dtype));
  const int64_t available = view->len - offset;
  const auto fail_if = [&](bool bad, const auto& text) {
    if (!bad) return;
    const std::string message = text();
    PyBuffer_Release(view.get());
    throw ValueError(message);
  };
  fail_if(view->len == 0 || count == 0, [&] {
    return concat("frombuffer: both buffer length (", view->len, ") and count (", count,
                  ") must not be 0");
  });
  fail_if(offset < 0 || offset >= view->len, [&] {
    return concat("frombuffer: offset (", offset,
                  " bytes) must be non-negative and no greater than buffer "
                  "length (",
                  view->len, " bytes) minus 1");
  });
  fail_if(count < 0 && available % size != 0, [&] {
    return concat("frombuffer: buffer length (", available, " bytes) after offset (", offset,
                  " bytes) must be a multiple of element size (", size, ")");
  });
  const int64_t length = count < 0 ? available / size : count;
  fail_if(length > available / size, [&] {
    return concat("frombuffer: requested buffer length (", length, " * ", size,
                  " bytes) after offset (", offset,
                  " bytes) must not be greater than actual buffer length (", view->len, " bytes)");
  });
  void* data = static_cast<char*>(view->buf) + offset;
  return share(std::move(view), TensorInfo{dtype, {length}, {1}}, data,
               static_cast<size_t>(length * size));
}

Tensor construct_legacy(PyObject* args, PyObject* kwargs) {
  const DType dtype = ops::default_dtype();
  check<TypeError>(kwargs == nullptr || PyDict_GET_SIZE(kwargs) == 0,
                   [] { return std::string("Tensor(): takes no keyword arguments"); });
  const Py_ssize_t count = PyTuple_GET_SIZE(args);
  if (count == 0) return Tensor::empty({0}, dtype);
  PyObject* first = PyTuple_GET_ITEM(args, 0);
  int64_t size = 0;
  if (count == 1 && is_tensor(first)) return tensor_of(first).detach();
  if (!is_size(first) && !int_from(first, size)) {
    check<TypeError>(count == 1, [&] {
      return concat("Tensor(): takes sizes or one sequence, got ", count,
                    " arguments, the first of type ", type_name(first));
    });
    return tensor_from_data(first, dtype);
  }
  Ints sizes;
  if (is_size(first))
    ints_from(first, sizes);
  else
    for (Py_ssize_t i = 0; i < count; ++i)
      sizes.push_back(require_int(PyTuple_GET_ITEM(args, i), "Tensor", "size"));
  return Tensor::empty(sizes, dtype);
}

namespace {

Object nested_list(const Tensor& tensor, size_t axis, int64_t offset) {
  if (axis == tensor.sizes().size()) {
    const auto* base = static_cast<const char*>(tensor.data_ptr());
    return number_object(load_element(base + offset * static_cast<int64_t>(size_of(tensor.dtype())),
                                      tensor.dtype()));
  }
  const int64_t size = tensor.sizes()[axis];
  Object list = checked(PyList_New(size));
  for (int64_t i = 0; i < size; ++i)
    PyList_SET_ITEM(list.get(), i,
                    nested_list(tensor, axis + 1, offset + i * tensor.strides()[axis]).release());
  return list;
}

}  // namespace

Object list_of(const Tensor& tensor) { return nested_list(tensor, 0, 0); }

}  // namespace flambeau::bind
