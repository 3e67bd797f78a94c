#include "bind/operators.h"

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "bind/operation.h"
#include "bind/tensor_type.h"

namespace flambeau::bind {
namespace {

struct Operator {
  std::string_view name;
  binaryfunc PyNumberMethods::* slot;
  binaryfunc PyNumberMethods::* in_place_slot;
};

constexpr std::array kOperators{
    Operator{"__add__", &PyNumberMethods::nb_add, &PyNumberMethods::nb_inplace_add},
    Operator{"__sub__", &PyNumberMethods::nb_subtract, &PyNumberMethods::nb_inplace_subtract},
    Operator{"__mul__", &PyNumberMethods::nb_multiply, &PyNumberMethods::nb_inplace_multiply},
    Operator{"__truediv__", &PyNumberMethods::nb_true_divide,
             &PyNumberMethods::nb_inplace_true_divide},
    Operator{"__matmul__", &PyNumberMethods::nb_matrix_multiply,
             &PyNumberMethods::nb_inplace_matrix_multiply},
    Operator{"__and__", &PyNumberMethods::nb_and, &PyNumberMethods::nb_inplace_and},
    Operator{"__or__", &PyNumberMethods::nb_or, &PyNumberMethods::nb_inplace_or},
    Operator{"__xor__", &PyNumberMethods::nb_xor, &PyNumberMethods::nb_inplace_xor},
    Operator{"__lshift__", &PyNumberMethods::nb_lshift, &PyNumberMethods::nb_inplace_lshift},
    Operator{"__rshift__", &PyNumberMethods::nb_rshift, &PyNumberMethods::nb_inplace_rshift},
};
constexpr std::array<const char*, 6> kComparisons{"__lt__", "__le__", "__eq__",
                                                  "__ne__", "__gt__", "__ge__"};

/// The callables; null where the class has none.
struct Callables {
  PyObject* plain = nullptr;
  PyObject* reflected = nullptr;
  PyObject* in_place = nullptr;
};
std::array<Callables, kOperators.size()> callables;
std::array<PyObject*, kComparisons.size()> comparisons;

PyObject* call_two(PyObject* callable, PyObject* a, PyObject* b) {
  const std::array<PyObject*, 2> args{a, b};
  return call_operation(callable, args.data(), args.size(), nullptr);
}

template <size_t index>
PyObject* binary(PyObject* a, PyObject* b) {
  const Callables& c = callables[index];
  if (is_tensor(a)) {
    PyObject* result = call_two(c.plain, a, b);
    if (result != Py_NotImplemented || !is_tensor(b)) return result;
    Py_DECREF(result);
  }
  if (is_tensor(b) && c.reflected != nullptr) return call_two(c.reflected, b, a);
  Py_RETURN_NOTIMPLEMENTED;
}

template <size_t index>
PyObject* in_place(PyObject* a, PyObject* b) {
  return call_two(callables[index].in_place, a, b);
}

PyObject* compare(PyObject* a, PyObject* b, int operation) {
  PyObject* callable = comparisons[static_cast<size_t>(operation)];
  if (callable == nullptr || !is_tensor(a)) Py_RETURN_NOTIMPLEMENTED;
  return call_two(callable, a, b);
}

/// The method `name`, which lives as long as the process; null if there is none.
PyObject* find_method(const std::string& name) {
  PyObject* method = PyObject_GetAttrString(reinterpret_cast<PyObject*>(tensor_type), name.c_str());
  if (method == nullptr) PyErr_Clear();
  if (method != nullptr && !is_operation(method)) Py_CLEAR(method);
  return method;
}

template <size_t... indices>
void install(std::index_sequence<indices...> /*unused*/) {
  PyNumberMethods& numbers = *tensor_type->tp_as_number;
  const auto install_one = [&](const Operator& op, Callables& c, binaryfunc plain,
                               binaryfunc with_assignment) {
    const std::string rest(op.name.substr(2));
    c = {find_method("__" + rest), find_method("__r" + rest), find_method("__i" + rest)};
    if (c.plain != nullptr) numbers.*op.slot = plain;
    if (c.in_place != nullptr) numbers.*op.in_place_slot = with_assignment;
  };
  (install_one(kOperators[indices], callables[indices], binary<indices>, in_place<indices>), ...);
}

}  // namespace

void install_operators() {
  install(std::make_index_sequence<kOperators.size()>());
  for (size_t i = 0; i < kComparisons.size(); ++i) comparisons[i] = find_method(kComparisons[i]);
  tensor_type->tp_richcompare = compare;
}

}  // namespace flambeau::bind
