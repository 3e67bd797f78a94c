#pragma once
// Small tools around Python's C API: owned references, the lock, and exceptions.

#include <Python.h>
#include <cxxabi.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <utility>

#include "bind/source_line.h"

namespace flambeau::bind {

/// An owned reference to a Python object; may be null.
class Object {
 public:
  Object() = default;
  /// Takes over a new reference.
  static Object steal(PyObject* object) {
    Object result;
    result.object_ = object;
    return result;
  }
  /// Adds a reference to a borrowed one.
  static Object borrow(PyObject* object) {
    Py_XINCREF(object);
    return steal(object);
  }
  Object(const Object& other) : object_(other.object_) { Py_XINCREF(object_); }
  Object(Object&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Object& operator=(Object other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Object() { Py_XDECREF(object_); }
  PyObject* get() const { return object_; }
  PyObject* release() { return std::exchange(object_, nullptr); }
  explicit operator bool() const { return object_ != nullptr; }

 private:
  PyObject* object_ = nullptr;
};

/// A Python exception is set; it travels through C++ as this.
struct PythonError {};

/// A new reference, or PythonError if it is null.
inline Object checked(PyObject* object) {
  if (object == nullptr) throw PythonError();
  return Object::steal(object);
}
inline void checked(int status) {
  if (status < 0) throw PythonError();
}

/// bool(object).
inline bool truth(PyObject* object) {
  const int value = PyObject_IsTrue(object);
  checked(value);
  return value != 0;
}

/// What `take` gives, which takes Python's lock. A thread for which Python, about to exit, never
/// gives it back sleeps from then on: CPython before 3.14 ends it by unwinding it, which frames of
/// C++ do not stand.
template <class Take>
auto take_lock(const Take& take) noexcept {
  try {
    return take();
  } catch (const abi::__forced_unwind&) {
    while (true) pause();
  }
}

/// Lets other Python threads run while it lives. What is recorded meanwhile is of the line of
/// Python that runs now.
class ReleaseLock {
 public:
  ReleaseLock() : state_(PyEval_SaveThread()) {}
  ~ReleaseLock() {
    take_lock([this] { PyEval_RestoreThread(state_); });
  }
  ReleaseLock(const ReleaseLock&) = delete;
  ReleaseLock& operator=(const ReleaseLock&) = delete;

 private:
  LineOfCall line_;
  PyThreadState* state_;
};

/// Holds Python's lock while it lives, on any thread.
class AcquireLock {
 public:
  AcquireLock() : state_(take_lock(PyGILState_Ensure)) {}
  ~AcquireLock() { PyGILState_Release(state_); }
  AcquireLock(const AcquireLock&) = delete;
  AcquireLock& operator=(const AcquireLock&) = delete;

 private:
  PyGILState_STATE state_;
};

/// Turns the C++ exception that is being handled into the Python exception of the same name.
void set_python_error() noexcept;

/// Runs `body`, which returns a new reference; nullptr with the exception set if it throws.
template <class Body>
PyObject* guarded(const Body& body) noexcept {
  try {
    return body();
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}
/// The same for slots that return an int: -1 if it throws.
template <class Body>
int guarded_int(const Body& body) noexcept {
  try {
    return body();
  } catch (...) {
    set_python_error();
    return -1;
  }
}

/// A str object.
Object to_python(std::string_view text);
/// An interned str that lives for ever.
PyObject* interned(std::string_view text);
/// The text of a str object; PythonError otherwise.
std::string text_of(PyObject* object);
/// The name of the object's type: "int", "Tensor".
std::string type_name(PyObject* object);
/// Attribute `name` of the (imported) module `module`.
Object imported(const char* module, const char* name);
/// True, and the exception cleared, if the exception that is set matches.
bool clear_error(PyObject* exception_type);

/// The name under which Python loaded the package: "flambeau", or "torch" for programs that import
/// that. Types and functions say that they are of this module.
const std::string& package_name();
/// Is told the extension module first of all.
void set_package_name(PyObject* module);

}  // namespace flambeau::bind
