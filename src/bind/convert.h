#pragma once
// Python values as C++ ones and back. A function `..._from` returns false, without a Python
// exception, when the object is not of the kind.

#include <vector>

#include "base/error.h"
#include "base/scalar.h"
#include "base/small_vector.h"
#include "bind/python.h"

namespace flambeau::bind {

/// A Python int that int64 cannot hold.
class IntOverflow : public RuntimeError {
 public:
  IntOverflow() : RuntimeError("Overflow when unpacking long") {}
};

/// int, and what has __index__ (NumPy's integers, integer tensors of one element); no bool, no
/// float. RuntimeError for numbers outside int64.
bool int_from(PyObject* object, int64_t& result);
/// bool and NumPy's.
bool bool_from(PyObject* object, bool& result);
/// float, int, NumPy's scalars, 0-dim tensors that need no gradient; bool too.
bool double_from(PyObject* object, double& result);
/// The same, keeping the kind of number.
bool scalar_from(PyObject* object, Scalar& result);
/// A Python int of [2^63, 2^64), which is a number where int64 is too narrow. OverflowError for
/// any other that int64 cannot hold.
uint64_t wide_int_from(PyObject* object);
/// A tuple or list of ints.
bool ints_from(PyObject* object, Ints& result);
/// True for NumPy's scalars ("numpy.float32").
bool is_numpy_scalar(PyObject* object);

/// bool, int or float.
Object number_object(const Scalar& value);
/// An int; TypeError that names `function` and `argument` otherwise.
int64_t require_int(PyObject* object, const char* function, const char* argument);
/// The ints of one list or of several arguments: size(2, 3), size((2, 3)).
Ints require_ints(PyObject* const* args, Py_ssize_t count, const char* function,
                  const char* argument);

}  // namespace flambeau::bind
