#pragma once
// The Python objects that name things: dtypes, devices, layouts, memory formats; and Size.

#include <optional>
#include <string>

#include "base/dtype.h"
#include "base/small_vector.h"
#include "bind/python.h"

namespace flambeau::bind {

/// Makes the classes `dtype`, `device`, `layout`, `memory_format`, `Size` and their constants
/// ("float32", "strided", "contiguous_format").
void add_constants(PyObject* module);

/// The one object of a dtype (borrowed); it lives for ever.
PyObject* dtype_object(DType dtype);
bool is_dtype(PyObject* object);
DType dtype_of(PyObject* object);
/// Also Python's own types: float is float64, int is int64, bool is bool. False if it is no dtype.
/// NotImplementedError for a dtype of which there are no tensors.
bool dtype_from(PyObject* object, DType& result);
/// True for what dtype_from takes or raises for.
bool names_dtype(PyObject* object);
/// The dtype given to a function of nanobind's, whose casters may not raise.
struct DTypeArgument {
  PyObject* object = nullptr;
  DType dtype() const;
};
/// The dtype given, if any.
inline std::optional<DType> dtype_of(const std::optional<DTypeArgument>& argument) {
  return argument ? std::optional(argument->dtype()) : std::nullopt;
}

/// A new device object.
Object device_object(const std::string& type, int64_t index = -1);
bool is_device(PyObject* object);
/// The type of a device given as object or text ("cpu"). False if `object` is neither;
/// RuntimeError for a text that names no device and for a device that this build does not have.
bool device_from(PyObject* object, std::string& type);
/// Where factories of this thread make tensors unless they are told: "cpu" or "meta".
const std::string& default_device();

/// The word of a layout or memory format object ("strided"); false if it is none.
bool layout_from(PyObject* object, std::string& word);
bool memory_format_from(PyObject* object, std::string& word);
/// The object of this word (borrowed).
PyObject* layout_object();

/// A new flambeau.Size.
Object size_object(const Ints& sizes);
bool is_size(PyObject* object);

}  // namespace flambeau::bind
