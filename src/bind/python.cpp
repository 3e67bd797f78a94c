#include "bind/python.h"

#include <nanobind/nanobind.h>

#include <new>

#include "base/error.h"

namespace flambeau::bind {

void set_python_error() noexcept {
  try {
    throw;
  } catch (const PythonError&) {
    if (PyErr_Occurred() == nullptr)
      PyErr_SetString(PyExc_SystemError, "internal error: an exception was lost");
  } catch (nanobind::python_error& error) {
    error.restore();
  } catch (const ValueError& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
  } catch (const TypeError& error) {
    PyErr_SetString(PyExc_TypeError, error.what());
  } catch (const IndexError& error) {
    PyErr_SetString(PyExc_IndexError, error.what());
  } catch (const NotImplementedError& error) {
    PyErr_SetString(PyExc_NotImplementedError, error.what());
  } catch (const EnvironmentError& error) {
    PyErr_SetString(PyExc_OSError, error.what());
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  } catch (...) {
    PyErr_SetString(PyExc_RuntimeError, "internal error: an exception of unknown type");
  }
}

Object to_python(std::string_view text) {
  return checked(PyUnicode_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size())));
}

PyObject* interned(std::string_view text) {
  PyObject* object = to_python(text).release();
  PyUnicode_InternInPlace(&object);
  return object;
}

std::string text_of(PyObject* object) {
  Py_ssize_t size = 0;
  const char* text = PyUnicode_AsUTF8AndSize(object, &size);
  if (text == nullptr) throw PythonError();
  return {text, static_cast<size_t>(size)};
}

std::string type_name(PyObject* object) {
  const std::string_view name = Py_TYPE(object)->tp_name;
  const size_t dot = name.rfind('.');
  return std::string(dot == std::string_view::npos ? name : name.substr(dot + 1));
}

Object imported(const char* module, const char* name) {
  const Object imported_module = checked(PyImport_ImportModule(module));
  return checked(PyObject_GetAttrString(imported_module.get(), name));
}

bool clear_error(PyObject* exception_type) {
  if (PyErr_ExceptionMatches(exception_type) == 0) return false;
  PyErr_Clear();
  return true;
}

namespace {
std::string& stored_package_name() {
  static auto& name = *new std::string("flambeau");
  return name;
}
}  // namespace

const std::string& package_name() { return stored_package_name(); }

void set_package_name(PyObject* module) {
  const char* name = PyModule_GetName(module);
  if (name == nullptr) throw PythonError();
  const std::string full(name);
  stored_package_name() = full.substr(0, full.rfind('.'));
}

}  // namespace flambeau::bind
