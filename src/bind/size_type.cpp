// Size: a tuple of ints that keeps its type under slicing, + and *.

#include <array>

#include "bind/constants.h"
#include "bind/size_type.h"

namespace flambeau::bind {
namespace {

PyTypeObject* size_type = nullptr;

/// The items of `tuple` as a Size.
Object size_from_tuple(PyObject* tuple) {
  const Py_ssize_t count = PyTuple_GET_SIZE(tuple);
  Object result = checked(size_type->tp_alloc(size_type, count));
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* item = PyTuple_GET_ITEM(tuple, i);
    Py_INCREF(item);
    PyTuple_SET_ITEM(result.get(), i, item);
  }
  return result;
}

/// Results of tuple's own operations become Sizes.
PyObject* as_size(PyObject* result) {
  return guarded([&] {
    const Object tuple = checked(result);
    if (!PyTuple_CheckExact(tuple.get())) return Object(tuple).release();
    return size_from_tuple(tuple.get()).release();
  });
}

PyObject* make(PyTypeObject* /*type*/, PyObject* args, PyObject* kwargs) {
  return guarded([&]() -> PyObject* {
    const Object items = checked(PyTuple_Type.tp_new(&PyTuple_Type, args, kwargs));
    const Py_ssize_t count = PyTuple_GET_SIZE(items.get());
    const Object result = checked(PyTuple_New(count));
    for (Py_ssize_t i = 0; i < count; ++i) {
      PyObject* item = PyTuple_GET_ITEM(items.get(), i);
      PyObject* number = PyIndex_Check(item) != 0 ? PyNumber_Index(item) : nullptr;
      if (number == nullptr) {
        if (PyErr_Occurred() == nullptr)
          PyErr_Format(PyExc_TypeError, "Size() takes an iterable of 'int' (item %zd is '%s')", i,
                       type_name(item).c_str());
        throw PythonError();
      }
      PyTuple_SET_ITEM(result.get(), i, number);
    }
    return size_from_tuple(result.get()).release();
  });
}

PyObject* repr(PyObject* self) {
  return guarded([&] {
    const Object list = checked(PySequence_List(self));
    return checked(PyUnicode_FromFormat("torch.Size(%R)", list.get())).release();
  });
}

PyObject* subscript(PyObject* self, PyObject* key) {
  return as_size(PyTuple_Type.tp_as_mapping->mp_subscript(self, key));
}
PyObject* concat_tuples(PyObject* self, PyObject* other) {
  return as_size(PyTuple_Type.tp_as_sequence->sq_concat(self, other));
}
PyObject* repeat(PyObject* self, Py_ssize_t count) {
  return as_size(PyTuple_Type.tp_as_sequence->sq_repeat(self, count));
}

PyObject* numel(PyObject* self, PyObject* /*unused*/) {
  return guarded([&] {
    Object product = checked(PyLong_FromLong(1));
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(self); ++i)
      product = checked(PyNumber_Multiply(product.get(), PyTuple_GET_ITEM(self, i)));
    return product.release();
  });
}

PyObject* reduce(PyObject* self, PyObject* /*unused*/) {
  return guarded([&] {
    const Object list = checked(PySequence_List(self));
    const Object items = checked(PyList_AsTuple(list.get()));
    return checked(Py_BuildValue("(O(O))", size_type, items.get())).release();
  });
}

std::array<PyMethodDef, 3> methods{{
    {"numel", numel, METH_NOARGS, "The number of elements of a tensor of this size."},
    {"__reduce__", reduce, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
}};

}  // namespace

void add_size_type(PyObject* module) {
  const auto slot = [](auto function) { return reinterpret_cast<void*>(function); };
  std::array<PyType_Slot, 8> slots{{
      {Py_tp_new, slot(make)},
      {Py_tp_repr, slot(repr)},
      {Py_mp_subscript, slot(subscript)},
      {Py_sq_concat, slot(concat_tuples)},
      {Py_sq_repeat, slot(repeat)},
      {Py_tp_methods, methods.data()},
      {Py_tp_doc, const_cast<char*>("The size of a tensor: a tuple of ints.")},
      {0, nullptr},
  }};
  PyType_Spec spec{"flambeau.Size", 0, 0, Py_TPFLAGS_DEFAULT, slots.data()};
  const Object bases = checked(PyTuple_Pack(1, reinterpret_cast<PyObject*>(&PyTuple_Type)));
  size_type = reinterpret_cast<PyTypeObject*>(
      checked(PyType_FromSpecWithBases(&spec, bases.get())).release());
  checked(PyObject_SetAttrString(module, "Size", reinterpret_cast<PyObject*>(size_type)));
}

bool is_size(PyObject* object) { return Py_TYPE(object) == size_type; }

Object size_object(const Ints& sizes) {
  Object result = checked(size_type->tp_alloc(size_type, static_cast<Py_ssize_t>(sizes.size())));
  for (size_t i = 0; i < sizes.size(); ++i)
    PyTuple_SET_ITEM(result.get(), static_cast<Py_ssize_t>(i),
                     checked(PyLong_FromLongLong(sizes[i])).release());
  return result;
}

}  // namespace flambeau::bind
