#include "bind/module_type.h"

#include <array>

namespace flambeau::bind {
namespace {

/// As object's look-up; null without an exception if there is nothing.
Object own_attribute(PyObject* self, PyObject* name) {
  PyObject* found = _PyObject_GenericGetAttrWithDict(self, name, nullptr, /*suppress=*/1);
  if (found == nullptr && PyErr_Occurred() != nullptr) throw PythonError();
  return Object::steal(found);
}

PyObject* get_attribute(PyObject* self, PyObject* name) {
  return guarded([&]() -> PyObject* {
    if (Object found = own_attribute(self, name)) return found.release();
    static const std::array<PyObject*, 3> registries{PyUnicode_InternFromString("_parameters"),
                                                     PyUnicode_InternFromString("_buffers"),
                                                     PyUnicode_InternFromString("_modules")};
    for (PyObject* const registry : registries) {
      const Object members = own_attribute(self, registry);
      if (!members || !PyDict_Check(members.get())) continue;
      if (PyObject* found = PyDict_GetItemWithError(members.get(), name))
        return Object::borrow(found).release();
      if (PyErr_Occurred() != nullptr) throw PythonError();
    }
    PyErr_SetObject(PyExc_AttributeError, name);
    throw PythonError();
  });
}

}  // namespace

void add_module_type(PyObject* module) {
  std::array<PyType_Slot, 3> slots{{
      {Py_tp_getattro, reinterpret_cast<void*>(get_attribute)},
      {Py_tp_doc, const_cast<char*>("How the attributes of a module are found.")},
      {0, nullptr},
  }};
  PyType_Spec spec{"flambeau._C._ModuleAttributes", 0, 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                   slots.data()};
  const Object type = checked(PyType_FromSpec(&spec));
  checked(PyObject_SetAttrString(module, "_ModuleAttributes", type.get()));
}

}  // namespace flambeau::bind
