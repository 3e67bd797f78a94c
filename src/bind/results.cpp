#include "bind/results.h"

#include <unordered_map>

#include "bind/convert.h"
#include "bind/tensor_type.h"

namespace flambeau::bind {
namespace {

using ops::ArgumentType;
using ops::ReturnType;

Object one_result(const ReturnType& type, std::span<const Tensor> results) {
  if (type.type == ArgumentType::Tensor) return checked(wrap(results[0]));
  if (type.type != ArgumentType::TensorList) return number_object(results[0].item());
  Object tuple = checked(PyTuple_New(static_cast<Py_ssize_t>(results.size())));
  for (size_t i = 0; i < results.size(); ++i)
    PyTuple_SET_ITEM(tuple.get(), static_cast<Py_ssize_t>(i), wrap(results[i]));
  return tuple;
}

/// The class of named results, like torch.return_types.max; null if the schema names none.
PyTypeObject* result_type(const ops::Definition& op) {
  static auto* types = new std::unordered_map<const ops::Definition*, PyTypeObject*>();
  const auto found = types->find(&op);
  if (found != types->end()) return found->second;
  std::vector<PyStructSequence_Field> fields;
  for (const ReturnType& type : op.parsed.returns)
    if (!type.name.empty()) fields.push_back({type.name.c_str(), nullptr});
  PyTypeObject* type = nullptr;
  if (fields.size() == op.parsed.returns.size()) {
    const auto count = static_cast<int>(fields.size());
    fields.push_back({nullptr, nullptr});
    // CPython keeps the pointer to the name.
    auto* name = new std::string("torch.return_types." + op.parsed.name);
    PyStructSequence_Desc description{name->c_str(), nullptr, fields.data(), count};
    type = PyStructSequence_NewType(&description);
    if (type == nullptr) throw PythonError();
  }
  types->emplace(&op, type);
  return type;
}

}  // namespace

Object results_object(const ops::Definition& op, const Results& results) {
  const std::vector<ReturnType>& returns = op.parsed.returns;
  if (returns.empty()) return Object::borrow(Py_None);
  const std::span<const Tensor> all(results.data(), results.size());
  if (returns.size() == 1) return one_result(returns[0], all);
  // Several lists are of one length, one after the other.
  const size_t each = all.size() / returns.size();
  PyTypeObject* type = result_type(op);
  Object tuple = checked(type != nullptr ? PyStructSequence_New(type)
                                         : PyTuple_New(static_cast<Py_ssize_t>(returns.size())));
  for (size_t i = 0; i < returns.size(); ++i) {
    PyObject* item = one_result(returns[i], all.subspan(i * each, each)).release();
    if (type != nullptr)
      PyStructSequence_SetItem(tuple.get(), static_cast<Py_ssize_t>(i), item);
    else
      PyTuple_SET_ITEM(tuple.get(), static_cast<Py_ssize_t>(i), item);
  }
  return tuple;
}

}  // namespace flambeau::bind
