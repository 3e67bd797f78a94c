// x[key] and x[key] = value: the key's parts as the front end takes them.

#include "nn/functional/indexing.h"

#include "base/error.h"
#include "bind/construct.h"
#include "bind/convert.h"
#include "bind/tensor_methods.h"
#include "bind/tensor_type.h"

namespace flambeau::bind {
namespace {

using nn::functional::IndexItem;
using Items = SmallVector<IndexItem, 6>;

std::optional<int64_t> bound_of(PyObject* object) {
  if (object == Py_None) return std::nullopt;
  int64_t value = 0;
  if (PyBool_Check(object)) return object == Py_True ? 1 : 0;
  try {
    check<TypeError>(int_from(object, value), [] {
      return std::string("slice indices must be integers or None or have an __index__ method");
    });
  } catch (const IntOverflow&) {
    return PyNumber_AsSsize_t(object, nullptr);  // clips
  }
  return value;
}

IndexItem item_of(PyObject* object) {
  if (object == Py_None) return nn::functional::NewAxis{};
  if (object == Py_Ellipsis) return nn::functional::Ellipsis{};
  if (PyBool_Check(object)) return object == Py_True;
  if (PySlice_Check(object)) {
    const auto* slice = reinterpret_cast<PySliceObject*>(object);
    return nn::functional::Slice{bound_of(slice->start), bound_of(slice->stop),
                                 bound_of(slice->step).value_or(1)};
  }
  if (is_tensor(object)) return tensor_of(object);
  int64_t value = 0;
  if (int_from(object, value)) return value;
  bool mask = false;
  if (bool_from(object, mask)) return mask;
  check<IndexError>(PySequence_Check(object) != 0, [&] {
    return concat(
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables "
        "are valid indices (got ",
        type_name(object), ")");
  });
  Tensor index = as_tensor(object, std::nullopt);
  if (index.numel() == 0 && is_float(index.dtype()))
    index = Tensor::empty(index.sizes(), DType::Int64);
  return index;
}

/// PyTorch's rule, once NumPy's, for lists that mean a tuple: short ones with anything but numbers.
bool is_like_tuple(PyObject* key) {
  if (PyTuple_Check(key)) return true;
  if (!PyList_Check(key) || PyList_GET_SIZE(key) >= 32) return false;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(key); ++i) {
    PyObject* item = PyList_GET_ITEM(key, i);
    if (is_tensor(item) || PySequence_Check(item) != 0 || PySlice_Check(item) ||
        item == Py_Ellipsis || item == Py_None)
      return true;
  }
  return false;
}

Items items_of(PyObject* key) {
  Items items;
  if (!is_like_tuple(key)) {
    items.push_back(item_of(key));
    return items;
  }
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(key); ++i)
    items.push_back(item_of(PySequence_Fast_GET_ITEM(key, i)));
  return items;
}

std::span<const IndexItem> view(const Items& items) { return {items.data(), items.size()}; }

}  // namespace

PyObject* tensor_get_item(PyObject* self, PyObject* key) {
  return guarded([&] {
    const Tensor tensor = tensor_of(self);
    const Items items = items_of(key);
    Tensor result;
    {
      const ReleaseLock others_may_run;
      result = nn::functional::get_index(tensor, view(items));
    }
    return wrap(result);
  });
}

int tensor_set_item(PyObject* self, PyObject* key, PyObject* value) {
  return guarded_int([&] {
    check<TypeError>(value != nullptr,
                     [] { return std::string("Tensor does not support deleting items"); });
    const Tensor tensor = tensor_of(self);
    const Items items = items_of(key);
    Scalar number;
    if (is_tensor(value)) {
      const Tensor source = tensor_of(value);
      const ReleaseLock others_may_run;
      nn::functional::set_index(tensor, view(items), source);
    } else if (scalar_from(value, number)) {
      const ReleaseLock others_may_run;
      nn::functional::set_index(tensor, view(items), number);
    } else {
      throw TypeError(concat("can't assign a ", type_name(value), " to a Tensor of dtype ",
                             info(tensor.dtype()).name));
    }
    return 0;
  });
}

PyObject* tensor_iterator(PyObject* self) {
  return guarded([&] {
    const TensorList parts = nn::functional::unbind_first_axis(tensor_of(self));
    const Object list = checked(PyList_New(static_cast<Py_ssize_t>(parts.size())));
    for (size_t i = 0; i < parts.size(); ++i)
      PyList_SET_ITEM(list.get(), static_cast<Py_ssize_t>(i), wrap(parts[i]));
    return checked(PyObject_GetIter(list.get())).release();
  });
}

}  // namespace flambeau::bind
