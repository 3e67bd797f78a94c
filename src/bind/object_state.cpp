#include "bind/object_state.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

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

/// The dict of a dict or of a class, or null.
PyObject* dict_of(PyObject* object) {
  if (PyDict_Check(object)) return object;
  return PyType_Check(object) ? reinterpret_cast<PyTypeObject*>(object)->tp_dict : nullptr;
}

/// What no dict had before its last change (PEP 509), or 0 where Python has no such number.
uint64_t version_of([[maybe_unused]] PyObject* dict) {
#if PY_VERSION_HEX < 0x030C0000
  if (dict != nullptr) return reinterpret_cast<const PyDictObject*>(dict)->ma_version_tag;
#endif
  return 0;
}

/// What `object` holds under the name `key`, null if nothing: of a dict an item, else an attribute.
Object named(PyObject* object, PyObject* key) {
  if (PyDict_Check(object)) return Object::borrow(PyDict_GetItemWithError(object, key));
  PyObject* const value = PyObject_GetAttr(object, key);
  if (value == nullptr && PyErr_ExceptionMatches(PyExc_AttributeError) != 0) PyErr_Clear();
  if (value == nullptr && PyErr_Occurred() != nullptr) throw PythonError();
  return Object::steal(value);
}

/// Of threading.local, whose dict is another one on each thread.
bool is_thread_local(PyObject* object) {
  static const PyObject* const type =
      checked(PyObject_GetAttrString(checked(PyImport_ImportModule("threading")).get(), "local"))
          .release();
  return PyObject_TypeCheck(object, reinterpret_cast<PyTypeObject*>(const_cast<PyObject*>(type)));
}

/// Calls take(key or null, value or null) for all parts until it returns false.
template <class Take>
void for_parts(PyObject* object, const Take& take) {
  Object copy;
  PyObject* dict = dict_of(object);
  if (Py_TYPE(object) == &PyDictProxy_Type) {
    copy = checked(PyDict_New());
    checked(PyDict_Update(copy.get(), object));
    dict = copy.get();
  } else if (is_thread_local(object)) {
    copy = checked(PyObject_GetAttrString(object, "__dict__"));
    dict = copy.get();
  }
  if (dict != nullptr) {
    PyObject* key = nullptr;
    PyObject* value = nullptr;
    Py_ssize_t position = 0;
    while (PyDict_Next(dict, &position, &key, &value) != 0)
      if (!take(key, value)) return;
  } else if (PyCell_Check(object)) {
    take(nullptr, Object::steal(PyCell_Get(object)).get());
  } else if (PyFunction_Check(object)) {
    if (take(nullptr, PyFunction_GetCode(object)) && take(nullptr, PyFunction_GetDefaults(object)))
      take(nullptr, PyFunction_GetKwDefaults(object));
  } else if (PyContextVar_CheckExact(object)) {
    PyObject* value = nullptr;
    checked(PyContextVar_Get(object, nullptr, &value));
    take(nullptr, Object::steal(value).get());
  } else if (PyWeakref_Check(object)) {  // whether the object lives: it is never another one
    take(nullptr, PyWeakref_GetObject(object) == Py_None ? Py_False : Py_True);
  } else if (PyCallable_Check(object) != 0) {  // functools.lru_cache
    const Object info = checked(PyObject_CallMethod(object, "cache_info", nullptr));
    for (const char* const name : {"misses", "currsize"})
      if (!take(nullptr, checked(PyObject_GetAttrString(info.get(), name)).get())) return;
  } else if (PyAnySet_Check(object) && PySet_GET_SIZE(object) == 0) {
    return;
  } else {  // lists, sets and deques
    if (!PyList_Check(object)) copy = checked(PySequence_List(object));
    PyObject* const list = copy ? copy.get() : object;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); ++i)
      if (!take(nullptr, PyList_GET_ITEM(list, i))) return;
  }
}

/// The bytes of NumPy's arrays and the like while it lives.
class Buffer {
 public:
  explicit Buffer(PyObject* object) { checked(PyObject_GetBuffer(object, &view_, PyBUF_FULL_RO)); }
  ~Buffer() { PyBuffer_Release(&view_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  std::string bytes() const {
    std::string bytes(static_cast<size_t>(view_.len), '\0');
    checked(PyBuffer_ToContiguous(bytes.data(), const_cast<Py_buffer*>(&view_), view_.len, 'C'));
    return bytes;
  }
  bool holds(const std::string& bytes) const {
    if (static_cast<size_t>(view_.len) != bytes.size()) return false;
    if (PyBuffer_IsContiguous(&view_, 'C') == 0) return this->bytes() == bytes;
    return std::memcmp(view_.buf, bytes.data(), bytes.size()) == 0;
  }

 private:
  Py_buffer view_{};
};

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
    PyObject* const object = PyTuple_GetItem(pair, 0);
    if (object == nullptr) throw PythonError();
    holder.where = text_of(PyTuple_GetItem(pair, 1));
    holder.object = Object::borrow(object);
    if (PyTuple_CheckExact(object)) {
      holder.object = Object::borrow(PyTuple_GetItem(object, 0));
      holder.key = Object::borrow(PyTuple_GetItem(object, 1));
      holder.values.push_back(named(holder.object.get(), holder.key.get()));
    } else if (PyObject_CheckBuffer(object) != 0) {
      holder.has_buffer = true;
      holder.bytes = Buffer(object).bytes();
    } else {
      for_parts(object, [&](PyObject* key, PyObject* value) {
        if (key != nullptr) holder.keys.push_back(Object::borrow(key));
        holder.values.push_back(Object::borrow(value));
        return true;
      });
    }
    if (version_of(dict_of(holder.object.get())) == 0) unversioned_.push_back(holders_.size() - 1);
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
  PyObject* const object = holder.object.get();
  if (holder.key) {
    const Object now = named(object, holder.key.get());
    return !is_same_value(now.get(), holder.values[0].get()) &&
           say(now.get(), holder.values[0].get(), "");
  }
  if (holder.has_buffer) {
    if (Buffer(object).holds(holder.bytes)) return false;
    if (text != nullptr) *text = concat(holder.where, " has other values");
    return true;
  }
  size_t i = 0;
  bool found = false;
  for_parts(object, [&](PyObject* key, PyObject* value) {
    if (i < holder.values.size()) {
      PyObject* const then = holder.values[i].get();
      if (key != nullptr && !is_same_value(key, holder.keys[i].get()))
        found = say(key, holder.keys[i].get(), ": a key");
      else if (!is_same_value(value, then))
        found = say(value, then,
                    text == nullptr        ? std::string()
                    : key != nullptr       ? concat("[", short_text(key), "]")
                    : PyCell_Check(object) ? std::string()
                                           : concat("[", i, "]"));
    }
    ++i;
    return !found;
  });
  if (found || i == holder.values.size()) return found;
  if (text != nullptr)
    *text = concat(holder.where, " has ", i, " items, had ", holder.values.size());
  return true;
}

bool ObjectState::is_unchanged() const {
  const bool known = !versions_.empty() &&
                     std::all_of(versions_.begin(), versions_.end(), [](const Version& seen) {
                       return version_of(seen.dict) == seen.version;
                     });
  if (known)
    return std::none_of(unversioned_.begin(), unversioned_.end(),
                        [&](size_t i) { return differs(holders_[i], nullptr); });
  versions_.clear();
  for (const Holder& holder : holders_)
    if (differs(holder, nullptr)) return false;
  for (const Holder& holder : holders_) {
    PyObject* const dict = dict_of(holder.object.get());
    const uint64_t version = version_of(dict);
    if (version != 0) versions_.push_back({dict, version});
  }
  const auto by_dict = [](const Version& a, const Version& b) { return a.dict < b.dict; };
  std::sort(versions_.begin(), versions_.end(), by_dict);
  const auto same = [](const Version& a, const Version& b) { return a.dict == b.dict; };
  versions_.erase(std::unique(versions_.begin(), versions_.end(), same), versions_.end());
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
