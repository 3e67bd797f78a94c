#pragma once
// Calls that somebody else answers: PyTorch's `__torch_function__` protocol. A subclass of Tensor,
// or any class with that attribute, is asked before an operation runs on its instances; so is the
// innermost function mode. Where all tensors are of the class Tensor itself (or of a class that
// opted out, such as Parameter) and there is no mode, this costs a comparison an argument.

#include <array>
#include <cstddef>

#include "bind/tensor_type.h"

namespace flambeau::bind {

/// What this thread lets take part.
enum class Overrides : uint8_t { Everybody, ModesOnly, Nobody };
struct OverrideState {
  Overrides allowed = Overrides::Everybody;
  bool modes = false;  ///< there is a mode, and modes take part
};
extern thread_local constinit OverrideState override_state;

/// A quick look: false where a call on `self` is certainly nobody else's.
inline bool may_be_overridden(PyObject* self) {
  return Py_TYPE(self) != tensor_type || override_state.modes;
}

/// Asks the modes and the types among the arguments (those inside of lists and tuples included).
/// True if `function(*args, **keywords)` was answered: `result` is then the answer, null with the
/// exception set if it raised. TypeError if all who were asked declined.
bool overridden(PyObject* function, PyObject* const* args, Py_ssize_t count, PyObject* keywords,
                PyObject*& result);
/// The same for Tensor's attribute `name`; with `part`, for its "__get__" or "__set__".
bool overridden(const char* name, const char* part, PyObject* const* args, Py_ssize_t count,
                PyObject* keywords, PyObject*& result);

/// Whether the object's type has a `__torch_function__` that takes part.
bool overrides(PyObject* object);

/// Adds `_overridable(function, reported=None)`, the modes' stack and what disables the protocol.
void add_overrides(PyObject* module);

// ---- tables of methods and attributes, made overridable as a whole

template <auto& table, size_t i>
PyObject* overridable_method(PyObject* self, PyObject* const* args, Py_ssize_t count,
                             PyObject* keywords) {
  constexpr Py_ssize_t kMost = 16;
  const Py_ssize_t named = keywords != nullptr ? PyTuple_GET_SIZE(keywords) : 0;
  if (may_be_overridden(self) && count + named < kMost) {
    std::array<PyObject*, kMost> all{self};
    std::copy(args, args + count + named, all.begin() + 1);
    if (PyObject* result = nullptr;
        overridden(table[i].ml_name, nullptr, all.data(), count + 1, keywords, result))
      return result;
  }
  const auto function = reinterpret_cast<_PyCFunctionFastWithKeywords>(
      reinterpret_cast<void (*)()>(table[i].ml_meth));
  return function(self, args, count, keywords);
}

template <auto& table, size_t i>
PyObject* overridable_no_arguments(PyObject* self, PyObject* unused) {
  if (PyObject* result = nullptr;
      may_be_overridden(self) && overridden(table[i].ml_name, nullptr, &self, 1, nullptr, result))
    return result;
  return table[i].ml_meth(self, unused);
}

template <auto& table, size_t i>
PyObject* overridable_get(PyObject* self, void* closure) {
  if (PyObject* result = nullptr;
      may_be_overridden(self) && overridden(table[i].name, "__get__", &self, 1, nullptr, result))
    return result;
  return table[i].get(self, closure);
}

template <auto& table, size_t i>
int overridable_set(PyObject* self, PyObject* value, void* closure) {
  if (value != nullptr && may_be_overridden(self)) {
    const std::array<PyObject*, 2> args{self, value};
    if (PyObject* result = nullptr;
        overridden(table[i].name, "__set__", args.data(), 2, nullptr, result)) {
      Py_XDECREF(result);
      return result == nullptr ? -1 : 0;
    }
  }
  return table[i].set(self, value, closure);
}

/// `table` (a static array that ends with an empty entry) with every method asking first.
template <auto& table>
PyMethodDef* overridable_methods() {
  static auto guarded = table;
  [&]<size_t... i>(std::index_sequence<i...> /*unused*/) {
    const auto guard = [](PyMethodDef& method, PyCFunction plain, auto* fast) {
      if ((method.ml_flags & METH_STATIC) != 0 || method.ml_name == nullptr) return;
      method.ml_meth = (method.ml_flags & METH_NOARGS) != 0
                           ? plain
                           : reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(fast));
    };
    (guard(guarded[i], overridable_no_arguments<table, i>, overridable_method<table, i>), ...);
  }(std::make_index_sequence<std::tuple_size_v<std::remove_reference_t<decltype(table)>>>());
  return guarded.data();
}

/// The same for attributes; names with leading underscores twice (`__dict__`) are Python's own.
template <auto& table>
PyGetSetDef* overridable_attributes() {
  static auto guarded = table;
  [&]<size_t... i>(std::index_sequence<i...> /*unused*/) {
    const auto guard = [](PyGetSetDef& attribute, getter get, setter set) {
      if (attribute.name == nullptr || std::string_view(attribute.name).starts_with("__")) return;
      attribute.get = get;
      if (attribute.set != nullptr) attribute.set = set;
    };
    (guard(guarded[i], overridable_get<table, i>, overridable_set<table, i>), ...);
  }(std::make_index_sequence<std::tuple_size_v<std::remove_reference_t<decltype(table)>>>());
  return guarded.data();
}

}  // namespace flambeau::bind
