#pragma once
// Arguments of the hand-written functions: positional and keyword ones in one array.

#include <array>
#include <string_view>

#include "base/error.h"
#include "bind/python.h"

namespace flambeau::bind {

/// The values of a call of `function` by parameter; null where not given (None counts as given).
/// TypeError for too many, unknown or repeated arguments.
template <size_t N>
std::array<PyObject*, N> parameters(const char* function,
                                    const std::array<std::string_view, N>& names,
                                    PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  std::array<PyObject*, N> values{};
  check<TypeError>(count <= static_cast<Py_ssize_t>(N), [&] {
    return concat(function, "() takes at most ", N, " arguments (", count, " given)");
  });
  for (Py_ssize_t i = 0; i < count; ++i) values[static_cast<size_t>(i)] = args[i];
  const Py_ssize_t named = keywords != nullptr ? PyTuple_GET_SIZE(keywords) : 0;
  for (Py_ssize_t k = 0; k < named; ++k) {
    const std::string name = text_of(PyTuple_GET_ITEM(keywords, k));
    size_t i = 0;
    while (i < N && names[i] != name) ++i;
    check<TypeError>(i < N, [&] {
      return concat(function, "() got an unexpected keyword argument '", name, "'");
    });
    check<TypeError>(values[i] == nullptr, [&] {
      return concat(function, "() got multiple values for argument '", name, "'");
    });
    values[i] = args[count + k];
  }
  return values;
}

/// True if the argument was given and is not None.
inline bool given(PyObject* value) { return value != nullptr && value != Py_None; }

}  // namespace flambeau::bind
