#include "bind/generator_type.h"
namespace flambeau::bind {
void* generator_from(PyObject* /*object*/) { return nullptr; }
}  // namespace flambeau::bind
