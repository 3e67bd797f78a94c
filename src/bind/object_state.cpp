#include "bind/object_state.h"

#include <bit>
#include <cstdint>

#include "base/error.h"
#include "bind/tensor_type.h"

namespace flambeau::bind {
namespace {

/// A text that reads no tensor's values.
std::string short_text(PyObject* object) {
  if (is_tensor(object)) return "a Tensor";
  const Object text = Object::steal(PyObject_Repr(object));
  if (!text) {
    PyErr_Clear();
    return type_name(object);
  }
  constexpr size_t kLongest = 60;
  std::string result = text_of(text.get());
  if (result.size() > kLongest) result = result.substr(0, kLongest) + "...";
  return result;
}

/// A borrowed reference, null where there is nothing.
PyObject* named(PyObject* dict, PyObject* key) { return PyDict_GetItemWithError(dict, key); }

/// What no dict had before its last change (PEP 509), or 0 where Python has no such number.
uint64_t version_of([[maybe_unused]] PyObject* object) {
#if PY_VERSION_HEX < 0x030C0000
  if (PyDict_Check(object)) return reinterpret_cast<const PyDictObject*>(object)->ma_version_tag;
#endif
  return 0;
}

}  // namespace

bool is_same_value(PyObject* a, PyObject* b) {
  if (a == b) return true;
  if (a == nullptr || b == nullptr || Py_TYPE(a) != Py_TYPE(b)) return false;
  if (PyFloat_CheckExact(a)) {
    const double x = PyFloat_AS_DOUBLE(a);
    const double y = PyFloat_AS_DOUBLE(b);
    return std::bit_cast<uint64_t>(x) == std::bit_cast<uint64_t>(y);
  }
  if (!PyLong_CheckExact(a) && !PyUnicode_CheckExact(a) && !PyBytes_CheckExact(a)) return false;
  const int equal = PyObject_RichCompareBool(a, b, Py_EQ);
  checked(equal);
  return equal == 1;
}

ObjectState::ObjectState(PyObject* holders) {
  const Py_ssize_t count = PyList_Size(holders);
  checked(static_cast<int>(count));
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* const pair = PyList_GET_ITEM(holders, i);
    Holder& holder = holders_.emplace_back();
    PyObject* object = PyTuple_GetItem(pair, 0);
    if (object == nullptr) throw PythonError();
    holder.where = text_of(PyTuple_GetItem(pair, 1));
    if (PyTuple_CheckExact(object)) {
      holder.key = Object::borrow(PyTuple_GetItem(object, 1));
      object = PyTuple_GetItem(object, 0);
      holder.object = Object::borrow(object);
      holder.values.push_back(Object::borrow(named(object, holder.key.get())));
      continue;
    }
    holder.object = Object::borrow(object);
    if (PyDict_Check(object)) {
      PyObject* key = nullptr;
      PyObject* value = nullptr;
      Py_ssize_t position = 0;
      while (PyDict_Next(object, &position, &key, &value) != 0) {
        holder.keys.push_back(Object::borrow(key));
        holder.values.push_back(Object::borrow(value));
      }
    } else if (PyList_Check(object)) {
      for (Py_ssize_t j = 0; j < PyList_GET_SIZE(object); ++j)
        holder.values.push_back(Object::borrow(PyList_GET_ITEM(object, j)));
    } else if (PyCell_Check(object)) {
      holder.values.push_back(Object::steal(PyCell_Get(object)));
    } else {
      throw TypeError(concat("cannot watch ", type_name(object)));
    }
  }
}

bool ObjectState::differs(const Holder& holder, std::string* text) {
  const auto say = [&](PyObject* now, PyObject* then, const std::string& name) {
    if (text == nullptr) return true;
    const std::string seen = now == nullptr ? "gone" : short_text(now);
    const std::string wanted = then == nullptr ? "not there" : short_text(then);
    *text = concat(holder.where, name, " is ", seen, ", was ",
                   seen == wanted ? "another one" : wanted.c_str());
    return true;
  };
  const auto say_size = [&](Py_ssize_t now) {
    if (text != nullptr)
      *text = concat(holder.where, " has ", now, " items, had ", holder.values.size());
    return true;
  };
  PyObject* const object = holder.object.get();
  if (holder.key) {
    PyObject* const now = named(object, holder.key.get());
    return !is_same_value(now, holder.values[0].get()) && say(now, holder.values[0].get(), "");
  }
  const auto known = static_cast<Py_ssize_t>(holder.values.size());
  if (PyDict_Check(object)) {
    if (PyDict_GET_SIZE(object) != known) return say_size(PyDict_GET_SIZE(object));
    PyObject* key = nullptr;
    PyObject* value = nullptr;
    Py_ssize_t position = 0;
    for (size_t i = 0; PyDict_Next(object, &position, &key, &value) != 0; ++i) {
      if (!is_same_value(key, holder.keys[i].get()))
        return say(key, holder.keys[i].get(), ": a key");
      if (!is_same_value(value, holder.values[i].get()))
        return say(value, holder.values[i].get(),
                   text == nullptr ? std::string() : concat("[", short_text(key), "]"));
    }
    return false;
  }
  if (PyList_Check(object)) {
    if (PyList_GET_SIZE(object) != known) return say_size(PyList_GET_SIZE(object));
    for (Py_ssize_t i = 0; i < known; ++i) {
      PyObject* const then = holder.values[static_cast<size_t>(i)].get();
      if (!is_same_value(PyList_GET_ITEM(object, i), then))
        return say(PyList_GET_ITEM(object, i), then,
                   text == nullptr ? std::string() : concat("[", i, "]"));
    }
    return false;
  }
  const Object now = Object::steal(PyCell_Get(object));
  return !is_same_value(now.get(), holder.values[0].get()) &&
         say(now.get(), holder.values[0].get(), "");
}

bool ObjectState::is_unchanged() const {
  for (const Holder& holder : holders_) {
    const uint64_t version = version_of(holder.object.get());
    if (version != 0 && version == holder.version) continue;
    if (differs(holder, nullptr)) return false;
    holder.version = version;
  }
  return true;
}

std::vector<std::string> ObjectState::changes() const {
  std::vector<std::string> texts;
  for (const Holder& holder : holders_)
    if (std::string text; differs(holder, &text)) texts.push_back(std::move(text));
  return texts;
}

int ObjectState::traverse(visitproc visit, void* arg) const {
  for (const Holder& holder : holders_) {
    Py_VISIT(holder.object.get());
    Py_VISIT(holder.key.get());
    for (const Object& key : holder.keys) Py_VISIT(key.get());
    for (const Object& value : holder.values) Py_VISIT(value.get());
  }
  return 0;
}

}  // namespace flambeau::bind
