#include "bind/operation.h"

#include <structmember.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <optional>

#include "base/error.h"
#include "bind/arguments.h"
#include "bind/constants.h"
#include "bind/operators.h"
#include "bind/overrides.h"
#include "bind/results.h"
#include "bind/tensor_type.h"

namespace flambeau::bind {
namespace {

/// What one Python callable does; lives for ever.
struct Operation {
  std::string path;  ///< "Tensor.add", "nn.functional.gelu"
  std::string name;  ///< the last part of the path
  std::vector<Overload> overloads;
  bool method = false;
  bool is_operator = false;  ///< gives NotImplemented for operands of foreign types
  /// The callable that overrides are asked about: an operator's is the method of its name.
  PyObject* reported = nullptr;
  /// Of a reflected operator: what the plain one is reported as.
  PyObject* plain = nullptr;
};

struct OperationObject {
  PyObject_HEAD vectorcallfunc vectorcall;
  const Operation* operation;
};

PyTypeObject* function_type = nullptr;
PyTypeObject* method_type = nullptr;

const Operation& operation_of(PyObject* self) {
  return *reinterpret_cast<OperationObject*>(self)->operation;
}

[[noreturn]] void no_overload_fits(const Operation& operation, PyObject* const* args,
                                   Py_ssize_t count, PyObject* keywords) {
  if (operation.overloads.size() == 1) {
    Mismatch mismatch{true, {}};
    BoundArguments bound;
    if (!bind_arguments(operation.overloads[0], args, count, keywords, bound, mismatch))
      throw TypeError(mismatch.text);
  }
  const Py_ssize_t self = operation.method ? 1 : 0;
  std::string text =
      concat(operation.name, "() received an invalid combination of arguments - got (",
             given_types(args + self, count - self, keywords), "), but expected one of:");
  for (const Overload& overload : operation.overloads) text += "\n * " + overload.signature();
  throw TypeError(text);
}

/// Gives meta tensors memory, for calls that make tensors elsewhere and read no values of theirs.
void give_memory(const Overload& overload, BoundArguments& bound) {
  for (ops::Argument& argument : bound.arguments) {
    auto* const one = std::get_if<const TensorInfo*>(&argument);
    if (one == nullptr || *one == nullptr) continue;
    const TensorInfo& info = **one;
    if (!static_cast<const TensorImpl&>(info).storage->is_meta()) continue;
    check<NotImplementedError>(!overload.op->differentiable, [] {
      return std::string("Cannot copy out of meta tensor; no data!");
    });
    const MemoryDeferral at_first_use(true);
    const Tensor twin = Tensor::empty_strided(info.sizes, info.strides, info.dtype);
    *one = bound.twins.emplace_back(twin).impl();
  }
}

Object run(const Overload& overload, BoundArguments& bound) {
  const Results results = [&] {
    const ReleaseLock others_may_run;
    std::optional<WithoutMemory> place;
    if (overload.takes_device) {
      const bool said = !bound.device.empty();
      if (said && bound.device != "meta") give_memory(overload, bound);
      if (said || bound.alive.empty())
        place.emplace((said ? bound.device : default_device()) == "meta");
    }
    Results made = call(*overload.op, {bound.arguments.data(), bound.arguments.size()},
                        bound.out.empty() ? overload.form : CallForm::Out,
                        {bound.out.data(), bound.out.size()});
    if (bound.requires_grad) {
      check(is_inexact(made[0].dtype()), [&] {
        return concat(
            overload.op->parsed.name,
            ": only Tensors of floating point and complex dtype can require gradients, got ",
            info(made[0].dtype()).name);
      });
      made[0]->requires_grad = true;
    }
    return made;
  }();
  return results_object(*overload.op, results);
}

}  // namespace

PyObject* call_operation(PyObject* self, PyObject* const* args, size_t flagged_count,
                         PyObject* keywords) {
  const Operation& operation = operation_of(self);
  const Py_ssize_t count = PyVectorcall_NARGS(flagged_count);
  return guarded([&]() -> PyObject* {
    if (operation.method && (count == 0 || !is_tensor(args[0])))
      throw TypeError(concat("descriptor '", operation.name,
                             "' for 'Tensor' objects needs a Tensor, got ",
                             count == 0 ? "nothing" : type_name(args[0])));
    PyObject* answer = nullptr;
    const auto answered = [&] {
      if (operation.plain != nullptr && count == 2 && is_tensor(args[1])) {
        // Python asks a subclass on the right first; the call is that of the left operand.
        const std::array<PyObject*, 2> in_order{args[1], args[0]};
        return overridden(operation.plain, in_order.data(), 2, nullptr, answer);
      }
      return overridden(operation.reported != nullptr ? operation.reported : self, args, count,
                        keywords, answer);
    };
    BoundArguments bound;
    Mismatch mismatch;
    for (const Overload& overload : operation.overloads) {
      if (bind_arguments(overload, args, count, keywords, bound, mismatch)) {
        if ((bound.subclass || override_state.modes) && answered()) return answer;
        return run(overload, bound).release();
      }
      bound.clear();
    }
    if (answered()) return answer;
    if (operation.is_operator) Py_RETURN_NOTIMPLEMENTED;
    no_overload_fits(operation, args, count, keywords);
  });
}

namespace {

std::string documentation(const Operation& operation) {
  std::string text;
  for (const Overload& overload : operation.overloads)
    text += concat(operation.name, overload.signature(), " -> ", return_text(*overload.op), "\n");
  return concat(text, "\n", operation.overloads[0].op->doc, "\n");
}

PyObject* get_doc(PyObject* self, void* /*unused*/) {
  return guarded([&] { return to_python(documentation(operation_of(self))).release(); });
}
PyObject* get_name(PyObject* self, void* /*unused*/) {
  return guarded([&] { return to_python(operation_of(self).name).release(); });
}
PyObject* get_qualified_name(PyObject* self, void* /*unused*/) {
  return guarded([&] {
    const Operation& operation = operation_of(self);
    return to_python(operation.method ? operation.path : operation.name).release();
  });
}
PyObject* get_module(PyObject* self, void* /*unused*/) {
  return guarded([&] {
    const Operation& operation = operation_of(self);
    const size_t dot = operation.path.rfind('.');
    if (operation.method || dot == std::string::npos) return to_python(package_name()).release();
    return to_python(concat(package_name(), ".", operation.path.substr(0, dot))).release();
  });
}
PyObject* repr(PyObject* self) {
  return guarded([&] {
    const Operation& operation = operation_of(self);
    const char* kind = operation.method ? "method" : "function";
    return to_python(concat("<", kind, " ", package_name(), ".", operation.path, ">")).release();
  });
}
// Pickled and copied by name.
PyObject* reduce(PyObject* self, PyObject* /*unused*/) { return get_qualified_name(self, nullptr); }

PyObject* bind_method(PyObject* self, PyObject* instance, PyObject* /*type*/) {
  if (instance != nullptr && instance != Py_None) return PyMethod_New(self, instance);
  Py_INCREF(self);
  return self;
}
PyObject* bind_nothing(PyObject* self, PyObject* /*instance*/, PyObject* /*type*/) {
  Py_INCREF(self);
  return self;
}

std::array<PyMemberDef, 2> members{{
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(OperationObject, vectorcall), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
}};
std::array<PyGetSetDef, 5> attributes{{
    {"__doc__", get_doc, nullptr, nullptr, nullptr},
    {"__name__", get_name, nullptr, nullptr, nullptr},
    {"__qualname__", get_qualified_name, nullptr, nullptr, nullptr},
    {"__module__", get_module, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
}};
std::array<PyMethodDef, 2> methods{{
    {"__reduce__", reduce, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
}};

PyTypeObject* make_type(const char* name, descrgetfunc get, unsigned long flags) {
  const auto slot = [](auto function) { return reinterpret_cast<void*>(function); };
  std::array<PyType_Slot, 7> slots{{
      {Py_tp_call, slot(PyVectorcall_Call)},
      {Py_tp_descr_get, slot(get)},
      {Py_tp_repr, slot(repr)},
      {Py_tp_members, members.data()},
      {Py_tp_getset, attributes.data()},
      {Py_tp_methods, methods.data()},
      {0, nullptr},
  }};
  PyType_Spec spec{
      name, sizeof(OperationObject), 0,
      static_cast<unsigned int>(Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | flags),
      slots.data()};
  return reinterpret_cast<PyTypeObject*>(checked(PyType_FromSpec(&spec)).release());
}

Object make_callable(const Operation* operation) {
  PyTypeObject* type = operation->method ? method_type : function_type;
  Object object = checked(type->tp_alloc(type, 0));
  auto* self = reinterpret_cast<OperationObject*>(object.get());
  self->vectorcall = call_operation;
  self->operation = operation;
  return object;
}

// ---- paths
// ---------------------------------------------------------------------------------------

/// Python's binary operators. "__add__" has a reflected form "__radd__" and an in-place form
/// "__iadd__".
constexpr std::array<std::string_view, 13> kOperators{
    "__add__", "__sub__", "__mul__", "__truediv__", "__floordiv__", "__mod__",   "__pow__",
    "__and__", "__or__",  "__xor__", "__lshift__",  "__rshift__",   "__matmul__"};
/// The comparisons, which Python reflects itself.
constexpr std::array<std::string_view, 6> kComparisons{"__eq__", "__ne__", "__lt__",
                                                       "__le__", "__gt__", "__ge__"};

constexpr std::string_view kMethodPrefix = "Tensor.";

bool contains(std::span<const std::string_view> names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// "__radd__" of "__add__" for the letter 'r'.
std::string operator_form(std::string_view plain, char letter) {
  return concat("__", letter, plain.substr(2));
}

/// "relu_", "__iadd__"
bool names_in_place(std::string_view name) {
  if (!name.ends_with("__")) return name.ends_with('_');
  return std::any_of(kOperators.begin(), kOperators.end(),
                     [&](std::string_view plain) { return name == operator_form(plain, 'i'); });
}

/// "absolute", "Tensor.absolute": other names have no in-place form of their own.
bool has_in_place_form(std::string_view path) {
  if (path.starts_with(kMethodPrefix)) path.remove_prefix(kMethodPrefix.size());
  return path.find('.') == std::string_view::npos && !path.ends_with('_');
}

bool is_reflected(std::string_view name) {
  return std::any_of(kOperators.begin(), kOperators.end(),
                     [&](std::string_view plain) { return name == operator_form(plain, 'r'); });
}

bool is_operator(std::string_view name) {
  if (contains(kComparisons, name) || contains(kOperators, name) || is_reflected(name)) return true;
  return std::any_of(kOperators.begin(), kOperators.end(),
                     [&](std::string_view plain) { return name == operator_form(plain, 'i'); });
}

/// Operators that PyTorch reports as themselves; the others are reported as the method that they
/// call: a + b as Tensor.add.
constexpr std::array<std::string_view, 8> kReportedAsThemselves{
    "__eq__", "__and__", "__or__", "__xor__", "__lshift__", "__pow__", "__rshift__", "__floordiv__",
};
constexpr std::array<std::string_view, 5> kCommutative{"__radd__", "__rmul__", "__rand__",
                                                       "__ror__", "__rxor__"};

/// The name of the method that the operator `operation` is reported as; empty: itself.
std::string reported_name(const Operation& operation) {
  if (!operation.method || !operation.name.starts_with("__")) return {};
  const std::string& method = operation.overloads[0].op->parsed.name;
  const std::string& name = operation.name;
  if (is_reflected(name)) return contains(kCommutative, name) ? method : "";
  if (names_in_place(name)) {
    const std::string plain = "__" + name.substr(3);
    const bool itself = contains(kReportedAsThemselves, plain) && plain != "__floordiv__";
    return itself ? "" : method + "_";
  }
  return contains(kReportedAsThemselves, name) ? "" : method;
}

using Paths = std::map<std::string, Operation, std::less<>>;

void add_overload(Paths& paths, const std::string& path, const ops::Definition& op, CallForm form,
                  bool reflected = false) {
  Operation& operation = paths[path];
  operation.path = path;
  operation.name = path.substr(path.rfind('.') + 1);
  operation.method = path.starts_with(kMethodPrefix);
  operation.overloads.emplace_back(op, form, operation.method, reflected);
}

bool has_self(const ops::Definition& op) {
  for (const ops::Parameter& parameter : op.parsed.parameters)
    if (parameter.name == "self") return true;
  return false;
}

void add_paths(Paths& paths, Paths& reflected, const ops::Definition& op) {
  const std::string& name = op.parsed.name;
  const ops::Variants& variants = op.variants;
  // What only writes its parameters has no other form.
  const CallForm form = op.returns == ops::Returns::Self ? CallForm::InPlace : CallForm::Function;
  std::vector<std::string> own;
  if (variants.function) own.push_back(name);
  if (variants.method && has_self(op)) own.push_back(std::string(kMethodPrefix) + name);
  for (const std::string& path : own) {
    add_overload(paths, path, op, form);
    if (variants.in_place) add_overload(paths, path + "_", op, CallForm::InPlace);
  }
  for (const std::string& path : variants.aliases) {
    const std::string last = path.substr(path.rfind('.') + 1);
    add_overload(paths, path, op, names_in_place(last) ? CallForm::InPlace : form);
    const auto named = [&](const std::string& other) {
      return std::find(variants.aliases.begin(), variants.aliases.end(), other) !=
             variants.aliases.end();
    };
    if (variants.in_place && has_in_place_form(path) && !named(path + "_"))
      add_overload(paths, path + "_", op, CallForm::InPlace);
    if (path.starts_with(kMethodPrefix) && contains(kOperators, last))
      add_overload(reflected, std::string(kMethodPrefix) + operator_form(last, 'r'), op, form,
                   true);
  }
  // Operations and forms that are nobody's function are for the package itself.
  if (own.empty() && variants.in_place)
    add_overload(paths, "_ops." + name + "_", op, CallForm::InPlace);
  if (own.empty() && variants.aliases.empty()) add_overload(paths, "_ops." + name, op, form);
}

}  // namespace

bool is_operation(PyObject* object) {
  return Py_TYPE(object) == method_type || Py_TYPE(object) == function_type;
}

void add_operations(PyObject* module) {
  function_type = make_type("flambeau.Function", bind_nothing, 0);
  method_type = make_type("flambeau.Method", bind_method, Py_TPFLAGS_METHOD_DESCRIPTOR);
  auto* paths = new Paths();
  Paths reflected;
  for (const ops::Definition* op : ops::all_definitions()) add_paths(*paths, reflected, *op);
  paths->merge(reflected);  // Only where no definition names the reflected operator itself.
  const Object functions = checked(PyDict_New());
  for (auto& [path, operation] : *paths) {
    operation.is_operator = operation.method && is_operator(operation.name);
    const Object callable = make_callable(&operation);
    if (operation.method)
      checked(PyObject_SetAttrString(reinterpret_cast<PyObject*>(tensor_type),
                                     operation.name.c_str(), callable.get()));
    else
      checked(PyDict_SetItemString(functions.get(), path.c_str(), callable.get()));
  }
  auto* const type = reinterpret_cast<PyObject*>(tensor_type);
  for (auto& [path, operation] : *paths) {
    const std::string name = reported_name(operation);
    if (!name.empty() && PyObject_HasAttrString(type, name.c_str()) != 0)
      operation.reported = PyObject_GetAttrString(type, name.c_str());
  }
  for (auto& [path, operation] : *paths) {
    if (!operation.method || !is_reflected(operation.name)) continue;
    const auto plain = paths->find(concat(kMethodPrefix, "__", operation.name.substr(3)));
    if (plain == paths->end()) continue;
    operation.plain = plain->second.reported != nullptr
                          ? plain->second.reported
                          : PyObject_GetAttrString(type, plain->second.name.c_str());
  }
  checked(PyObject_SetAttrString(module, "_functions", functions.get()));
  install_operators();
}

}  // namespace flambeau::bind
