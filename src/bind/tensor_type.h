#pragma once
// The Python class Tensor: an object that owns a TensorImpl (see base/intrusive.h). A tensor has at
// most one Python object, so identity, subclass and attributes are kept for its whole life.

#include "bind/python.h"
#include "tensor/tensor.h"

namespace flambeau::bind {

struct TensorObject {
  PyObject_HEAD TensorImpl* impl;
  PyObject* dict;
  PyObject* weak_references;
};

/// The class; null until add_tensor_type() made it.
extern PyTypeObject* tensor_type;

/// Makes the class and installs the reference counting hooks.
void add_tensor_type(PyObject* module);

inline bool is_tensor(PyObject* object) {
  return Py_TYPE(object) == tensor_type || PyType_IsSubtype(Py_TYPE(object), tensor_type) != 0;
}
/// The tensor of a Tensor object.
inline Tensor tensor_of(PyObject* object) {
  TensorImpl* const impl = reinterpret_cast<TensorObject*>(object)->impl;
  if (impl->count_up()) Py_INCREF(object);
  return Tensor(Ref<TensorImpl>::counted(impl));
}

/// A tensor that is let go with Python's lock held.
class HeldTensor {
 public:
  explicit HeldTensor(const Tensor& tensor) : impl_(tensor.impl()) { impl_->increase_reference(); }
  /// That of a Tensor object.
  explicit HeldTensor(PyObject* object) : impl_(reinterpret_cast<TensorObject*>(object)->impl) {
    if (impl_->count_up()) Py_INCREF(object);
  }
  HeldTensor(const HeldTensor&) = delete;
  HeldTensor(HeldTensor&& other) noexcept : impl_(std::exchange(other.impl_, nullptr)) {}
  HeldTensor& operator=(const HeldTensor&) = delete;
  HeldTensor& operator=(HeldTensor&&) = delete;
  ~HeldTensor() {
    if (impl_ == nullptr || !impl_->count_down()) return;
    if (void* owner = impl_->wrapper())
      Py_DECREF(static_cast<PyObject*>(owner));
    else
      delete impl_;
  }
  TensorImpl* impl() const { return impl_; }

 private:
  TensorImpl* impl_;
};
/// A new reference to the Python object of `tensor`, made if there is none; None if undefined.
PyObject* wrap(const Tensor& tensor);
/// The same as an instance of the subclass `type`; the tensor must not have an object yet.
PyObject* wrap_as(const Tensor& tensor, PyTypeObject* type);

/// A new tuple of ints.
Object int_tuple(const Ints& values);

}  // namespace flambeau::bind
