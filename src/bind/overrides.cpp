#include "bind/overrides.h"

#include <structmember.h>

#include <algorithm>
#include <vector>

#include "autograd/autocast.h"
#include "base/error.h"

namespace flambeau::bind {

thread_local constinit OverrideState override_state;

namespace {

/// The modes of this thread, innermost last; owned references.
std::vector<PyObject*>& modes() {
  static thread_local std::vector<PyObject*> stack;
  return stack;
}

void update_state() {
  override_state.modes = !modes().empty() && override_state.allowed != Overrides::Nobody;
}

PyObject* protocol_name() {
  static PyObject* const name = interned("__torch_function__");
  return name;
}
/// What a class has as `__torch_function__` that takes no part.
PyObject* disabled_implementation = nullptr;

bool type_overrides(PyTypeObject* type) {
  // A model's parameters are of one class; its version says that it is as it was.
  static PyTypeObject* last = nullptr;
  static unsigned int last_version = 0;
  if (type == last && type->tp_version_tag == last_version) return false;
  PyObject* const found = _PyType_Lookup(type, protocol_name());
  if (found != nullptr && found != disabled_implementation) return true;
  if (found != nullptr && type->tp_version_tag != 0) {
    last = type;
    last_version = type->tp_version_tag;
  }
  return false;
}

}  // namespace

bool overrides(PyObject* object) {
  PyTypeObject* const type = Py_TYPE(object);
  if (type == tensor_type || object == Py_None || type == &PyLong_Type || type == &PyFloat_Type ||
      type == &PyBool_Type || type == &PyUnicode_Type)
    return false;
  return type_overrides(type);
}

namespace {

bool is_sequence(PyObject* object) { return PyTuple_Check(object) || PyList_Check(object); }

bool any_overrides(PyObject* const* args, Py_ssize_t count) {
  for (Py_ssize_t i = 0; i < count; ++i) {
    if (overrides(args[i])) return true;
    if (!is_sequence(args[i])) continue;
    PyObject* const* const items = PySequence_Fast_ITEMS(args[i]);
    for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(args[i]); ++k)
      if (overrides(items[k])) return true;
  }
  return false;
}

/// One instance of each type that takes part, subclasses before their bases, else in order.
class Participants {
 public:
  void add(PyObject* object) {
    if (is_sequence(object) && !overrides(object)) {
      for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(object); ++i)
        add_one(PySequence_Fast_GET_ITEM(object, i));
      return;
    }
    add_one(object);
  }
  const std::vector<PyObject*>& objects() const { return objects_; }
  Object types() const {
    Object tuple = checked(PyTuple_New(static_cast<Py_ssize_t>(objects_.size())));
    for (size_t i = 0; i < objects_.size(); ++i)
      PyTuple_SET_ITEM(tuple.get(), static_cast<Py_ssize_t>(i),
                       Object::borrow(reinterpret_cast<PyObject*>(Py_TYPE(objects_[i]))).release());
    return tuple;
  }

 private:
  void add_one(PyObject* object) {
    if (!overrides(object)) return;
    const auto same = [&](PyObject* other) { return Py_TYPE(other) == Py_TYPE(object); };
    if (std::any_of(objects_.begin(), objects_.end(), same)) return;
    const auto base = std::find_if(objects_.begin(), objects_.end(), [&](PyObject* other) {
      return PyType_IsSubtype(Py_TYPE(object), Py_TYPE(other)) != 0;
    });
    objects_.insert(base, object);
  }

  std::vector<PyObject*> objects_;
};

/// Takes the innermost mode away while it answers.
class WithoutInnermostMode {
 public:
  WithoutInnermostMode() : mode_(Object::steal(modes().back())) {
    modes().pop_back();
    update_state();
  }
  ~WithoutInnermostMode() {
    modes().push_back(mode_.release());
    update_state();
  }
  WithoutInnermostMode(const WithoutInnermostMode&) = delete;
  WithoutInnermostMode& operator=(const WithoutInnermostMode&) = delete;
  PyObject* mode() const { return mode_.get(); }

 private:
  Object mode_;
};

/// The call as Python's values.
struct PythonCall {
  Object function, types, args, keywords;
};

PythonCall python_call(PyObject* function, const Participants& participants, PyObject* const* args,
                       Py_ssize_t count, PyObject* keywords) {
  PythonCall call{Object::borrow(function), participants.types(), checked(PyTuple_New(count)), {}};
  for (Py_ssize_t i = 0; i < count; ++i)
    PyTuple_SET_ITEM(call.args.get(), i, Object::borrow(args[i]).release());
  const Py_ssize_t named = keywords != nullptr ? PyTuple_GET_SIZE(keywords) : 0;
  if (named > 0) call.keywords = checked(PyDict_New());
  for (Py_ssize_t k = 0; k < named; ++k)
    checked(PyDict_SetItem(call.keywords.get(), PyTuple_GET_ITEM(keywords, k), args[count + k]));
  return call;
}

/// NotImplemented if `answerer` declines.
Object ask(PyObject* answerer, const PythonCall& call) {
  const Object method = checked(PyObject_GetAttr(answerer, protocol_name()));
  return checked(PyObject_CallFunctionObjArgs(method.get(), call.function.get(), call.types.get(),
                                              call.args.get(), call.keywords.get(), nullptr));
}

[[noreturn]] void all_declined(PyObject* function, const Participants& participants) {
  const Object name = checked(PyObject_Repr(function));
  std::string types;
  for (PyObject* object : participants.objects())
    types += (types.empty() ? "" : ", ") + type_name(object);
  throw TypeError(concat("no implementation found for ", text_of(name.get()),
                         " on types that implement __torch_function__: [", types, "]"));
}

PyObject* answer(PyObject* function, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  return guarded([&] {
    const Py_ssize_t named = keywords != nullptr ? PyTuple_GET_SIZE(keywords) : 0;
    Participants participants;
    if (override_state.allowed == Overrides::Everybody)
      for (Py_ssize_t i = 0; i < count + named; ++i) participants.add(args[i]);
    const PythonCall call = python_call(function, participants, args, count, keywords);
    if (override_state.modes) {
      const WithoutInnermostMode rest;
      Object result = ask(rest.mode(), call);
      if (result.get() != Py_NotImplemented) return result.release();
    }
    for (PyObject* object : participants.objects()) {
      Object result = ask(object, call);
      if (result.get() != Py_NotImplemented) return result.release();
    }
    all_declined(function, participants);
  });
}

// ---- functions of Python's that ask first

struct OverridableObject {
  PyObject_HEAD vectorcallfunc vectorcall;
  PyObject* function;
  PyObject* reported;    ///< what is asked about; null: the object itself
  bool modes_only;       ///< types are not asked (tensor() of a subclass is a Tensor)
  const char* autocast;  ///< the policy, if it is not its operations that have one
};

OverridableObject* cast(PyObject* self) { return reinterpret_cast<OverridableObject*>(self); }

/// An argument as `policy` wants it.
Object autocast_argument(PyObject* object, DType dtype) {
  if (is_tensor(object)) return checked(wrap(autocast(tensor_of(object), dtype)));
  if (!PyList_CheckExact(object) && !PyTuple_CheckExact(object)) return Object::borrow(object);
  Object list = checked(PySequence_List(object));
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list.get()); ++i) {
    Object item = autocast_argument(PyList_GET_ITEM(list.get(), i), dtype);
    checked(PyList_SetItem(list.get(), i, item.release()));
  }
  return PyTuple_CheckExact(object) ? checked(PyList_AsTuple(list.get())) : list;
}

/// The function on converted arguments; nothing in it converts again.
PyObject* call_converted(PyObject* self, PyObject* const* args, Py_ssize_t count,
                         PyObject* keywords) {
  return guarded([&] {
    const DType dtype = autocast_dtype(cast(self)->autocast, {});
    const Py_ssize_t named = keywords != nullptr ? PyTuple_GET_SIZE(keywords) : 0;
    std::vector<Object> kept;
    std::vector<PyObject*> all;
    for (Py_ssize_t i = 0; i < count + named; ++i)
      all.push_back(kept.emplace_back(autocast_argument(args[i], dtype)).get());
    autocast_state.enabled = false;
    PyObject* const result =
        PyObject_Vectorcall(cast(self)->function, all.data(), static_cast<size_t>(count), keywords);
    autocast_state.enabled = true;
    return result;
  });
}

PyObject* call_overridable(PyObject* self, PyObject* const* args, size_t flagged_count,
                           PyObject* keywords) {
  PyObject* const reported = cast(self)->reported;
  if (PyObject* result = nullptr; (!cast(self)->modes_only || override_state.modes) &&
                                  overridden(reported != nullptr ? reported : self, args,
                                             PyVectorcall_NARGS(flagged_count), keywords, result))
    return result;
  if (cast(self)->autocast != nullptr && autocast_state.enabled)
    return call_converted(self, args, PyVectorcall_NARGS(flagged_count), keywords);
  return PyObject_Vectorcall(cast(self)->function, args, flagged_count, keywords);
}

PyTypeObject* overridable_type = nullptr;

PyObject* make_overridable(PyObject* /*module*/, PyObject* function) {
  return guarded([&] {
    Object object = checked(overridable_type->tp_alloc(overridable_type, 0));
    cast(object.get())->vectorcall = call_overridable;
    cast(object.get())->function = Object::borrow(function).release();
    if (const Object policy = Object::steal(PyObject_GetAttrString(function, "_autocast")))
      cast(object.get())->autocast = PyUnicode_AsUTF8(interned(text_of(policy.get())));
    else
      PyErr_Clear();
    return object.release();
  });
}

/// _report(overridable, what): the property that an accessor belongs to; None: asks modes only.
PyObject* report(PyObject* /*module*/, PyObject* args) {
  PyObject* object = nullptr;
  PyObject* what = nullptr;
  if (PyArg_ParseTuple(args, "O!O", overridable_type, &object, &what) == 0) return nullptr;
  if (what == Py_None)
    cast(object)->modes_only = true;
  else
    Py_XSETREF(cast(object)->reported, Object::borrow(what).release());
  Py_RETURN_NONE;
}

int traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(cast(self)->function);
  Py_VISIT(cast(self)->reported);
  return 0;
}
int clear(PyObject* self) {
  Py_CLEAR(cast(self)->function);
  Py_CLEAR(cast(self)->reported);
  return 0;
}
void dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* bind_method(PyObject* self, PyObject* instance, PyObject* /*type*/) {
  if (instance != nullptr && instance != Py_None) return PyMethod_New(self, instance);
  return Object::borrow(self).release();
}
/// Everything but the call is the function's own: its name, signature, defaults.
PyObject* get_attribute(PyObject* self, PyObject* name) {
  PyObject* const own = PyObject_GenericGetAttr(self, name);
  if (own != nullptr || PyErr_ExceptionMatches(PyExc_AttributeError) == 0) return own;
  PyErr_Clear();
  return PyObject_GetAttr(cast(self)->function, name);
}
int set_attribute(PyObject* self, PyObject* name, PyObject* value) {
  return PyObject_SetAttr(cast(self)->function, name, value);
}
template <const char* name>
PyObject* of_function(PyObject* self, void* /*unused*/) {
  return PyObject_GetAttrString(cast(self)->function, name);
}
PyObject* repr(PyObject* self) { return PyObject_Repr(cast(self)->function); }
// Pickled and copied by name.
PyObject* reduce(PyObject* self, PyObject* /*unused*/) {
  return PyObject_GetAttrString(cast(self)->function, "__qualname__");
}

constexpr char kDoc[] = "__doc__";
constexpr char kModule[] = "__module__";
std::array<PyMemberDef, 3> members{{
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(OverridableObject, vectorcall), READONLY,
     nullptr},
    {"__wrapped__", T_OBJECT, offsetof(OverridableObject, function), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
}};
std::array<PyGetSetDef, 3> attributes{{
    {kDoc, of_function<kDoc>, nullptr, nullptr, nullptr},
    {kModule, of_function<kModule>, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
}};
std::array<PyMethodDef, 2> methods{{
    {"__reduce__", reduce, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
}};

void make_overridable_type() {
  const auto slot = [](auto function) { return reinterpret_cast<void*>(function); };
  std::array<PyType_Slot, 12> slots{{
      {Py_tp_call, slot(PyVectorcall_Call)},
      {Py_tp_descr_get, slot(bind_method)},
      {Py_tp_getattro, slot(get_attribute)},
      {Py_tp_setattro, slot(set_attribute)},
      {Py_tp_repr, slot(repr)},
      {Py_tp_members, members.data()},
      {Py_tp_getset, attributes.data()},
      {Py_tp_methods, methods.data()},
      {Py_tp_traverse, slot(traverse)},
      {Py_tp_clear, slot(clear)},
      {Py_tp_dealloc, slot(dealloc)},
      {0, nullptr},
  }};
  PyType_Spec spec{"flambeau.OverridableFunction", sizeof(OverridableObject), 0,
                   Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
                       Py_TPFLAGS_METHOD_DESCRIPTOR | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                   slots.data()};
  overridable_type = reinterpret_cast<PyTypeObject*>(checked(PyType_FromSpec(&spec)).release());
}

// ---- the state, for Python

PyObject* push_mode(PyObject* /*module*/, PyObject* mode) {
  modes().push_back(Object::borrow(mode).release());
  update_state();
  Py_RETURN_NONE;
}
PyObject* pop_mode(PyObject* /*module*/, PyObject* /*unused*/) {
  return guarded([&]() -> PyObject* {
    check(!modes().empty(), [] { return std::string("pop: there is no function mode"); });
    PyObject* const mode = modes().back();
    modes().pop_back();
    update_state();
    return mode;
  });
}
PyObject* count_modes(PyObject* /*module*/, PyObject* /*unused*/) {
  return PyLong_FromSize_t(modes().size());
}
PyObject* mode_at(PyObject* /*module*/, PyObject* index) {
  return guarded([&] {
    const Py_ssize_t i = PyNumber_AsSsize_t(index, PyExc_IndexError);
    if (i == -1 && PyErr_Occurred() != nullptr) throw PythonError();
    check<IndexError>(i >= 0 && static_cast<size_t>(i) < modes().size(),
                      [] { return std::string("there are fewer function modes"); });
    return Object::borrow(modes()[static_cast<size_t>(i)]).release();
  });
}
/// Who takes part (0 all, 1 modes only, 2 nobody) from now on; gives what was before.
PyObject* set_allowed(PyObject* /*module*/, PyObject* value) {
  const long allowed = PyLong_AsLong(value);
  if (allowed == -1 && PyErr_Occurred() != nullptr) return nullptr;
  const auto before = static_cast<long>(override_state.allowed);
  override_state.allowed = static_cast<Overrides>(std::clamp(allowed, 0L, 2L));
  update_state();
  return PyLong_FromLong(before);
}
PyObject* get_allowed(PyObject* /*module*/, PyObject* /*unused*/) {
  return PyLong_FromLong(static_cast<long>(override_state.allowed));
}
/// Whether one of the objects takes part, or a mode does.
PyObject* has_override(PyObject* /*module*/, PyObject* const* args, Py_ssize_t count) {
  return PyBool_FromLong(static_cast<long>(
      override_state.modes ||
      (override_state.allowed == Overrides::Everybody && any_overrides(args, count))));
}
PyObject* is_overridable(PyObject* /*module*/, PyObject* object) {
  return PyBool_FromLong(static_cast<long>(Py_TYPE(object) == overridable_type));
}

PyObject* decline(PyObject* /*self*/, PyObject* const* /*args*/, Py_ssize_t /*count*/) {
  Py_RETURN_NOTIMPLEMENTED;
}

PyCFunction fast(PyObject* (*function)(PyObject*, PyObject* const*, Py_ssize_t)) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

std::array functions{
    PyMethodDef{"_overridable", make_overridable, METH_O, "The function, asking first."},
    PyMethodDef{"_report", report, METH_VARARGS, nullptr},
    PyMethodDef{"_is_overridable", is_overridable, METH_O, nullptr},
    PyMethodDef{"_push_on_torch_function_stack", push_mode, METH_O, nullptr},
    PyMethodDef{"_pop_torch_function_stack", pop_mode, METH_NOARGS, nullptr},
    PyMethodDef{"_len_torch_function_stack", count_modes, METH_NOARGS, nullptr},
    PyMethodDef{"_get_function_stack_at", mode_at, METH_O, nullptr},
    PyMethodDef{"_set_overrides", set_allowed, METH_O, nullptr},
    PyMethodDef{"_get_overrides", get_allowed, METH_NOARGS, nullptr},
    PyMethodDef{"_has_torch_function_variadic", fast(has_override), METH_FASTCALL, nullptr},
    PyMethodDef{"_disabled_torch_function_impl", fast(decline), METH_FASTCALL,
                "A class with this as its __torch_function__ takes no part."},
    PyMethodDef{nullptr, nullptr, 0, nullptr},
};

}  // namespace

bool overridden(PyObject* function, PyObject* const* args, Py_ssize_t count, PyObject* keywords,
                PyObject*& result) {
  if (!override_state.modes) {
    if (override_state.allowed != Overrides::Everybody) return false;
    const Py_ssize_t named = keywords != nullptr ? PyTuple_GET_SIZE(keywords) : 0;
    if (!any_overrides(args, count + named)) return false;
  }
  result = answer(function, args, count, keywords);
  return true;
}

bool overridden(const char* name, const char* part, PyObject* const* args, Py_ssize_t count,
                PyObject* keywords, PyObject*& result) {
  if (!override_state.modes &&
      (override_state.allowed != Overrides::Everybody || !any_overrides(args, count)))
    return false;
  Object function =
      Object::steal(PyObject_GetAttrString(reinterpret_cast<PyObject*>(tensor_type), name));
  if (function && part != nullptr)
    function = Object::steal(PyObject_GetAttrString(function.get(), part));
  result = function ? answer(function.get(), args, count, keywords) : nullptr;
  return true;
}

void add_overrides(PyObject* module) {
  make_overridable_type();
  checked(PyModule_AddFunctions(module, functions.data()));
  disabled_implementation =
      checked(PyObject_GetAttrString(module, "_disabled_torch_function_impl")).release();
}

}  // namespace flambeau::bind
