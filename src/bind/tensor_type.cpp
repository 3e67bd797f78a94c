#include "bind/tensor_type.h"

#include <structmember.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "bind/construct.h"
#include "bind/overrides.h"
#include "bind/tensor_methods.h"

namespace flambeau::bind {

PyTypeObject* tensor_type = nullptr;

namespace {

TensorObject* cast(PyObject* self) { return reinterpret_cast<TensorObject*>(self); }

void increase(void* wrapper) noexcept {
  if (PyGILState_Check() != 0) {
    Py_INCREF(static_cast<PyObject*>(wrapper));
  } else if (Py_IsInitialized() != 0) {
    const AcquireLock lock;
    Py_INCREF(static_cast<PyObject*>(wrapper));
  }
}

void decrease(void* wrapper) noexcept {
  if (PyGILState_Check() != 0) {
    Py_DECREF(static_cast<PyObject*>(wrapper));
  } else if (Py_IsInitialized() != 0) {
    const AcquireLock lock;
    Py_DECREF(static_cast<PyObject*>(wrapper));
  }
}

void if_unused(void* wrapper, FunctionRef<void()> action) {
  if (Py_IsInitialized() == 0) return;
  const AcquireLock lock;
  if (Py_REFCNT(static_cast<PyObject*>(wrapper)) == 1) action();
}

int traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(cast(self)->dict);
  return 0;
}

int clear(PyObject* self) {
  Py_CLEAR(cast(self)->dict);
  return 0;
}

void dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  if (cast(self)->weak_references != nullptr) PyObject_ClearWeakRefs(self);
  Py_CLEAR(cast(self)->dict);
  delete std::exchange(cast(self)->impl, nullptr);
  type->tp_free(self);
  Py_DECREF(type);
}

Py_hash_t hash(PyObject* self) { return _Py_HashPointer(self); }

/// The legacy constructor: Tensor(2, 3), Tensor([1, 2]), Tensor(other).
PyObject* item(PyObject* self, Py_ssize_t index) {
  return guarded([&] {
    const Object key = checked(PyLong_FromSsize_t(index));
    return checked(tensor_get_item(self, key.get())).release();
  });
}

PyObject* make(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  return guarded([&] { return wrap_as(construct_legacy(args, kwargs), type); });
}

/// A slot's name as a template argument.
template <size_t size>
struct Name {
  consteval Name(const char (&literal)[size]) { std::copy(literal, literal + size, text); }
  char text[size]{};
};

/// The slot `function`, asking first; `name` is Python's for it.
template <Name name, auto function, class... Args>
PyObject* asking(PyObject* self, Args... args) {
  if (may_be_overridden(self)) {
    const std::array<PyObject*, 1 + sizeof...(Args)> all{self, args...};
    if (PyObject* result = nullptr; overridden(
            name.text, nullptr, all.data(), static_cast<Py_ssize_t>(all.size()), nullptr, result))
      return result;
  }
  return function(self, args...);
}

template <Name name>
int asking_bool(PyObject* self) {
  PyObject* result = nullptr;
  if (!may_be_overridden(self) || !overridden(name.text, nullptr, &self, 1, nullptr, result))
    return tensor_bool(self);
  const int value = result == nullptr ? -1 : PyObject_IsTrue(result);
  Py_XDECREF(result);
  return value;
}

template <Name name>
Py_ssize_t asking_length(PyObject* self) {
  PyObject* result = nullptr;
  if (!may_be_overridden(self) || !overridden(name.text, nullptr, &self, 1, nullptr, result))
    return tensor_length(self);
  const Py_ssize_t value = result == nullptr ? -1 : PyLong_AsSsize_t(result);
  Py_XDECREF(result);
  return value;
}

template <Name name>
int asking_set_item(PyObject* self, PyObject* key, PyObject* value) {
  if (value == nullptr || (!may_be_overridden(self) && Py_TYPE(value) == tensor_type))
    return tensor_set_item(self, key, value);
  const std::array<PyObject*, 3> all{self, key, value};
  PyObject* result = nullptr;
  if (!overridden(name.text, nullptr, all.data(), 3, nullptr, result))
    return tensor_set_item(self, key, value);
  Py_XDECREF(result);
  return result == nullptr ? -1 : 0;
}

// The offsets' names are how a heap type's specification gives them.
std::array<PyMemberDef, 3> members{{
    {"__dictoffset__", T_PYSSIZET, offsetof(TensorObject, dict), READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(TensorObject, weak_references), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
}};

}  // namespace

void add_tensor_type(PyObject* module) {
  const auto slot = [](auto function) { return reinterpret_cast<void*>(function); };
  std::array<PyType_Slot, 32> slots{};
  size_t count = 0;
  const auto add = [&](int id, void* value) { slots.at(count++) = {id, value}; };
  add(Py_tp_new, slot(make));
  add(Py_tp_dealloc, slot(dealloc));
  add(Py_tp_traverse, slot(traverse));
  add(Py_tp_clear, slot(clear));
  add(Py_tp_hash, slot(hash));
  add(Py_tp_members, members.data());
  add(Py_tp_methods, tensor_methods());
  add(Py_tp_getset, tensor_attributes());
  add(Py_tp_repr, slot(asking<"__repr__", tensor_repr>));
  add(Py_tp_iter, slot(asking<"__iter__", tensor_iterator>));
  add(Py_mp_length, slot(asking_length<"__len__">));
  add(Py_mp_subscript, slot(asking<"__getitem__", tensor_get_item, PyObject*>));
  add(Py_mp_ass_subscript, slot(asking_set_item<"__setitem__">));
  add(Py_sq_item, slot(item));
  add(Py_nb_bool, slot(asking_bool<"__bool__">));
  add(Py_nb_int, slot(asking<"__int__", tensor_int>));
  add(Py_nb_float, slot(asking<"__float__", tensor_float>));
  add(Py_nb_index, slot(asking<"__index__", tensor_index>));
  add(Py_bf_getbuffer, slot(tensor_get_buffer));
  add(Py_bf_releasebuffer, slot(tensor_release_buffer));
  add(Py_tp_doc, const_cast<char*>("A multi-dimensional array of one dtype with autograd."));
  PyType_Spec spec{"flambeau.Tensor", sizeof(TensorObject), 0,
                   Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots.data()};
  tensor_type = reinterpret_cast<PyTypeObject*>(checked(PyType_FromSpec(&spec)).release());
  tensor_type->tp_name = "Tensor";  // As messages name it.
  checked(PyObject_SetAttrString(module, "Tensor", reinterpret_cast<PyObject*>(tensor_type)));
  wrapper_hooks = {.increase = increase, .decrease = decrease, .if_unused = if_unused};
}

PyObject* wrap_as(const Tensor& tensor, PyTypeObject* type) {
  PyObject* object = type->tp_alloc(type, 0);
  if (object == nullptr) throw PythonError();
  cast(object)->impl = tensor.impl();
  Py_INCREF(object);
  tensor->set_wrapper(object);
  return object;
}

PyObject* wrap(const Tensor& tensor) {
  if (!tensor.defined()) Py_RETURN_NONE;
  if (auto* object = static_cast<PyObject*>(tensor->wrapper())) {
    Py_INCREF(object);
    return object;
  }
  return wrap_as(tensor, tensor_type);
}

Object int_tuple(const Ints& values) {
  Object tuple = checked(PyTuple_New(static_cast<Py_ssize_t>(values.size())));
  for (size_t i = 0; i < values.size(); ++i)
    PyTuple_SET_ITEM(tuple.get(), static_cast<Py_ssize_t>(i),
                     checked(PyLong_FromLongLong(values[i])).release());
  return tuple;
}

}  // namespace flambeau::bind
