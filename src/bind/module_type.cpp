#include "bind/module_type.h"

#include <array>
#include <span>

#include "base/small_vector.h"

namespace flambeau::bind {
namespace {

/// As object's look-up; null without an exception if there is nothing.
Object own_attribute(PyObject* self, PyObject* name) {
  PyObject* found = _PyObject_GenericGetAttrWithDict(self, name, nullptr, /*suppress=*/1);
  if (found == nullptr && PyErr_Occurred() != nullptr) throw PythonError();
  return Object::steal(found);
}

/// An item of a dict (borrowed); null if there is none.
PyObject* item_of(PyObject* dict, PyObject* name) {
  PyObject* const found = PyDict_GetItemWithError(dict, name);
  if (found == nullptr && PyErr_Occurred() != nullptr) throw PythonError();
  return found;
}

[[noreturn]] void raise_missing(PyObject* self, PyObject* name) {
  const Object text = checked(
      PyUnicode_FromFormat("'%.100s' object has no attribute '%U'", Py_TYPE(self)->tp_name, name));
  const Object error =
      checked(PyObject_CallFunctionObjArgs(PyExc_AttributeError, text.get(), nullptr));
  // For "Did you mean".
  checked(PyObject_SetAttrString(error.get(), "name", name));
  checked(PyObject_SetAttrString(error.get(), "obj", self));
  PyErr_SetObject(PyExc_AttributeError, error.get());
  throw PythonError();
}

PyObject* get_attribute(PyObject* self, PyObject* name) {
  return guarded([&]() -> PyObject* {
    if (Object found = own_attribute(self, name)) return found.release();
    static const std::array<PyObject*, 3> registries{interned("_parameters"), interned("_buffers"),
                                                     interned("_modules")};
    for (PyObject* const registry : registries) {
      const Object members = own_attribute(self, registry);
      if (!members || !PyDict_Check(members.get())) continue;
      if (PyObject* found = item_of(members.get(), name)) return Object::borrow(found).release();
    }
    raise_missing(self, name);
  });
}

/// A class method: a class that does not define how its attributes are found looks them up as above
/// at once. As Module has a `__getattr__`, for subclasses that call it, Python would look for two
/// methods and call one each time.
PyObject* find_directly(PyObject* cls, PyObject* /*none*/) {
  auto* const type = reinterpret_cast<PyTypeObject*>(cls);
  type->tp_getattro = get_attribute;
  PyType_Modified(type);
  return Object::borrow(Py_None).release();
}

/// Of all modules: dicts of nn.modules._global_hooks, which are never replaced.
const std::array<PyObject*, 4>& global_hooks() {
  static const std::array<PyObject*, 4> hooks = [] {
    const Object module = checked(PyImport_ImportModule("flambeau.nn.modules._global_hooks"));
    const auto get = [&](const char* name) {
      return checked(PyObject_GetAttrString(module.get(), name)).release();
    };
    return std::array{get("forward"), get("forward_pre"), get("backward"), get("backward_pre")};
  }();
  return hooks;
}

bool has_hooks(PyObject* self, PyObject* fields) {
  static const std::array<PyObject*, 4> names{
      interned("_forward_hooks"), interned("_forward_pre_hooks"), interned("_backward_hooks"),
      interned("_backward_pre_hooks")};
  for (PyObject* const name : names) {
    PyObject* const hooks = item_of(fields, name);
    // One that has not called Module.__init__ has none: that is said.
    const Object found = hooks != nullptr ? Object() : checked(PyObject_GetAttr(self, name));
    if (truth(hooks != nullptr ? hooks : found.get())) return true;
  }
  for (PyObject* const hooks : global_hooks())
    if (truth(hooks)) return true;
  return false;
}

PyObject* forward_name() {
  static PyObject* const name = interned("forward");
  return name;
}

/// `forward` of the class with `self` before the arguments; nothing if the module has its own, or
/// it is no function.
Object call_forward(PyObject* self, PyObject* fields, PyObject* args, PyObject* kwargs) {
  if (Py_TYPE(self)->tp_getattro != get_attribute || item_of(fields, forward_name()) != nullptr)
    return {};
  const Object forward = Object::borrow(_PyType_Lookup(Py_TYPE(self), forward_name()));
  if (!forward || !PyFunction_Check(forward.get())) return {};
  SmallVector<PyObject*, 8> all;
  all.push_back(self);
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(args); ++i) all.push_back(PyTuple_GET_ITEM(args, i));
  return checked(PyObject_VectorcallDict(forward.get(), all.data(), all.size(), kwargs));
}

PyObject* call(PyObject* self, PyObject* args, PyObject* kwargs) {
  return guarded([&]() -> PyObject* {
    static PyObject* const compiled_call = interned("_compiled_call_impl");
    const Object fields = checked(PyObject_GenericGetDict(self, nullptr));
    if (const Object compiled = Object::borrow(item_of(fields.get(), compiled_call)))
      return checked(PyObject_Call(compiled.get(), args, kwargs)).release();
    if (has_hooks(self, fields.get())) {
      const Object with_hooks = checked(PyObject_GetAttrString(self, "_call_with_hooks"));
      const Object named = kwargs != nullptr ? Object::borrow(kwargs) : checked(PyDict_New());
      return checked(PyObject_CallFunctionObjArgs(with_hooks.get(), args, named.get(), nullptr))
          .release();
    }
    if (Object result = call_forward(self, fields.get(), args, kwargs)) return result.release();
    const Object forward = checked(PyObject_GetAttr(self, forward_name()));
    return checked(PyObject_Call(forward.get(), args, kwargs)).release();
  });
}

/// For each value of a module's dict `name` until `body` returns false; false then, and where there
/// is no such dict.
template <class Body>
bool for_members(PyObject* module, PyObject* name, const Body& body) {
  const Object fields = checked(PyObject_GenericGetDict(module, nullptr));
  const Object members = Object::borrow(item_of(fields.get(), name));
  if (!members || !PyDict_Check(members.get())) return false;
  if (PyDict_Size(members.get()) == 0) return true;
  // One of another class may have another order.
  if (!PyDict_CheckExact(members.get())) {
    const Object values = checked(PyMapping_Values(members.get()));
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(values.get()); ++i)
      if (!body(PyList_GET_ITEM(values.get(), i))) return false;
    return true;
  }
  Py_ssize_t place = 0;
  for (PyObject* value = nullptr; PyDict_Next(members.get(), &place, nullptr, &value) != 0;)
    if (!body(Object::borrow(value).get())) return false;
  return true;
}

/// How a class says what is below its modules.
struct Below {
  PyObject* name;
  PyObject* usual;  ///< what nn.Module has by that name
};

/// RecursionError where calls are nested too deeply.
class Nested {
 public:
  Nested() {
    if (Py_EnterRecursiveCall(" in the modules of a module") != 0) throw PythonError();
  }
  ~Nested() { Py_LeaveRecursiveCall(); }
  Nested(const Nested&) = delete;
  Nested& operator=(const Nested&) = delete;
};

bool find_parameters(PyObject* module, std::span<const Below> below, PyObject* found,
                     PyObject* seen) {
  const Nested nested;
  static PyObject* const parameters = interned("_parameters");
  static PyObject* const modules = interned("_modules");
  for (const Below& each : below)
    if (_PyType_Lookup(Py_TYPE(module), each.name) != each.usual) return false;
  checked(PySet_Add(seen, module));
  return for_members(module, parameters,
                     [&](PyObject* parameter) {
                       if (parameter != Py_None) checked(PyDict_SetItem(found, parameter, Py_None));
                       return true;
                     }) &&
         for_members(module, modules, [&](PyObject* child) {
           if (child == Py_None) return true;
           const int known = PySet_Contains(seen, child);
           checked(known);
           return known != 0 || find_parameters(child, below, found, seen);
         });
}

/// The parameters of the module and of all below, each once, as the keys of a dict, without making
/// their names; None where a class has its own idea of what is below.
PyObject* find_parameters(PyObject* self, PyObject* /*none*/) {
  return guarded([&] {
    static const std::array<Below, 2> below = [] {
      const Object usual = imported("flambeau.nn.modules._traversal", "Traversal");
      const auto of = [&](const char* name) {
        return Below{interned(name), checked(PyObject_GetAttrString(usual.get(), name)).release()};
      };
      return std::array{of("named_parameters"), of("named_modules")};
    }();
    Object found = checked(PyDict_New());
    const Object seen = checked(PySet_New(nullptr));
    if (!find_parameters(self, below, found.get(), seen.get())) found = Object::borrow(Py_None);
    return found.release();
  });
}

}  // namespace

void add_module_type(PyObject* module) {
  static PyMethodDef methods[] = {
      {"_find_directly", find_directly, METH_NOARGS | METH_CLASS, nullptr},
      {"_find_parameters", find_parameters, METH_NOARGS, nullptr},
      {}};
  std::array<PyType_Slot, 5> slots{{
      {Py_tp_getattro, reinterpret_cast<void*>(get_attribute)},
      {Py_tp_call, reinterpret_cast<void*>(call)},
      {Py_tp_methods, methods},
      {Py_tp_doc, const_cast<char*>("How the attributes of a module are found, and its call.")},
      {0, nullptr},
  }};
  PyType_Spec spec{"flambeau._C._ModuleBase", 0, 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                   slots.data()};
  const Object type = checked(PyType_FromSpec(&spec));
  checked(PyObject_SetAttrString(module, "_ModuleBase", type.get()));
}

}  // namespace flambeau::bind
