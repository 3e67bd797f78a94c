#include "bind/convert.h"

#include <complex>
#include <cstring>

#include "base/error.h"
#include "bind/tensor_type.h"

namespace flambeau::bind {
namespace {

int64_t int_of(PyObject* integer) {
  int overflow = 0;
  const long long value = PyLong_AsLongLongAndOverflow(integer, &overflow);
  if (overflow != 0) throw IntOverflow();
  if (value == -1 && PyErr_Occurred() != nullptr) throw PythonError();
  return value;
}

bool is_numpy_bool(PyObject* object) {
  const char* name = Py_TYPE(object)->tp_name;
  return std::strcmp(name, "numpy.bool") == 0 || std::strcmp(name, "numpy.bool_") == 0;
}

}  // namespace

bool is_numpy_scalar(PyObject* object) {
  const char* name = Py_TYPE(object)->tp_name;
  return std::strncmp(name, "numpy.", 6) == 0 && std::strcmp(name, "numpy.ndarray") != 0 &&
         Py_TYPE(object)->tp_as_number != nullptr;
}

bool int_from(PyObject* object, int64_t& result) {
  if (PyLong_CheckExact(object)) {
    result = int_of(object);
    return true;
  }
  if (PyBool_Check(object) || PyFloat_Check(object) || PyIndex_Check(object) == 0) return false;
  if (is_tensor(object)) {
    const Tensor tensor = tensor_of(object);
    if (!is_integer(tensor.dtype()) || tensor.numel() != 1) return false;
    result = tensor.item().to_int();
    return true;
  }
  const Object integer = Object::steal(PyNumber_Index(object));
  if (!integer) {
    if (clear_error(PyExc_TypeError)) return false;
    throw PythonError();
  }
  result = int_of(integer.get());
  return true;
}

uint64_t wide_int_from(PyObject* object) {
  const Object integer = checked(PyNumber_Index(object));
  const unsigned long long value = PyLong_AsUnsignedLongLong(integer.get());
  if (PyErr_Occurred() != nullptr) throw PythonError();
  return value;
}

bool bool_from(PyObject* object, bool& result) {
  if (!PyBool_Check(object) && !is_numpy_bool(object)) return false;
  result = truth(object);
  return true;
}

bool scalar_from(PyObject* object, Scalar& result) {
  if (PyFloat_Check(object)) {
    result = PyFloat_AS_DOUBLE(object);
    return true;
  }
  if (PyBool_Check(object)) {
    result = object == Py_True;
    return true;
  }
  if (PyLong_Check(object)) {
    result = int_of(object);
    return true;
  }
  if (PyComplex_Check(object)) {
    result = std::complex(PyComplex_RealAsDouble(object), PyComplex_ImagAsDouble(object));
    return true;
  }
  if (is_tensor(object)) {
    const Tensor tensor = tensor_of(object);
    if (tensor.dim() != 0 || tensor->requires_grad) return false;
    result = tensor.item();
    return true;
  }
  if (!is_numpy_scalar(object)) return false;
  if (is_numpy_bool(object)) {
    result = truth(object);
  } else if (PyIndex_Check(object) != 0) {
    result = int_of(checked(PyNumber_Index(object)).get());
  } else if (std::strncmp(Py_TYPE(object)->tp_name, "numpy.complex", 13) == 0) {
    const Py_complex value = PyComplex_AsCComplex(object);
    if (PyErr_Occurred() != nullptr) throw PythonError();
    result = std::complex(value.real, value.imag);
  } else {
    if (Py_TYPE(object)->tp_as_number->nb_float == nullptr) return false;
    result = PyFloat_AS_DOUBLE(checked(PyNumber_Float(object)).get());
  }
  return true;
}

bool double_from(PyObject* object, double& result) {
  Scalar value;
  if (!scalar_from(object, value) || value.is_complex()) return false;
  result = value.to_double();
  return true;
}

bool ints_from(PyObject* object, Ints& result) {
  if (!PyTuple_Check(object) && !PyList_Check(object)) return false;
  result.clear();
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(object); ++i) {
    int64_t value = 0;
    if (!int_from(PySequence_Fast_GET_ITEM(object, i), value)) return false;
    result.push_back(value);
  }
  return true;
}

Object number_object(const Scalar& value) {
  switch (value.category()) {
    case DTypeCategory::Bool:
      return checked(PyBool_FromLong(value.to_bool()));
    case DTypeCategory::Integer:
      return checked(PyLong_FromLongLong(value.to_int()));
    case DTypeCategory::Float:
      return checked(PyFloat_FromDouble(value.to_double()));
    case DTypeCategory::ComplexNumber:
      return checked(PyComplex_FromDoubles(value.to_double(), value.imag()));
  }
  throw InternalError("number_object: unknown category");
}

int64_t require_int(PyObject* object, const char* function, const char* argument) {
  int64_t value = 0;
  check<TypeError>(int_from(object, value), [&] {
    return concat(function, "(): argument '", argument, "' must be int, not ", type_name(object));
  });
  return value;
}

Ints require_ints(PyObject* const* args, Py_ssize_t count, const char* function,
                  const char* argument) {
  Ints result;
  if (count == 1 && ints_from(args[0], result)) return result;
  for (Py_ssize_t i = 0; i < count; ++i) result.push_back(require_int(args[i], function, argument));
  return result;
}

}  // namespace flambeau::bind
