#include "bind/function.h"

#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>

#include "autograd/forward.h"
#include "autograd/function.h"
#include "autograd/grad_mode.h"
#include "base/error.h"
#include "bind/casters.h"
#include "bind/node_type.h"

namespace nb = nanobind;
using namespace nanobind::literals;

namespace flambeau::bind {
namespace {

Tensor tensor_or_nothing(nb::handle object) {
  return is_tensor(object.ptr()) ? tensor_of(object.ptr()) : Tensor();
}

/// The tensors that `attribute` of a context lists; none where it is None.
TensorList marked(nb::handle context, const char* attribute, const char* method,
                  bool none_allowed) {
  const nb::object value = context.attr(attribute);
  if (value.is_none()) return {};
  check<TypeError>(nb::isinstance<nb::tuple>(value), [&] {
    return concat(method, ": ", attribute, " is expected to be a tuple but is ",
                  type_name(value.ptr()));
  });
  TensorList list;
  for (const nb::handle item : value) {
    check<TypeError>(is_tensor(item.ptr()) || (none_allowed && item.is_none()), [&] {
      return concat(method, ": expects Tensors, but argument ", list.size(), " is of type ",
                    type_name(item.ptr()));
    });
    list.push_back(tensor_or_nothing(item));
  }
  return list;
}

/// The node of a custom function: it lives in its Python object, the context.
class PythonFunction final : public FunctionNode {
 public:
  std::string name() const override { return name_; }
  /// What save_for_backward kept; in jvp, save_for_forward.
  TensorList kept_tensors() { return in_jvp_ ? for_forward_ : saved_tensors(); }
  void set_object(PyObject* self) {
    self_ = self;
    name_ = type_name(self);
  }

 private:
  TensorList backward(const TensorList& gradients) override {
    const AcquireLock lock;
    const nb::object result = nb::handle(self_).attr("apply")(*tuple_of(gradients));
    const nb::tuple all =
        nb::isinstance<nb::tuple>(result) ? nb::borrow<nb::tuple>(result) : nb::make_tuple(result);
    TensorList list;
    for (const nb::handle item : all) {
      check(item.is_none() || is_tensor(item.ptr()), [&] {
        return concat(name_, ": backward must return Tensors or None, got ", type_name(item.ptr()));
      });
      list.push_back(tensor_or_nothing(item));
    }
    return list;
  }
  TensorList jvp(const TensorList& tangents) override {
    const nb::handle self(self_);
    const nb::object saved = self.attr("saved_for_forward");
    for_forward_ = saved.is_none() ? TensorList() : marked(self, "saved_for_forward", "jvp", true);
    in_jvp_ = true;
    const nb::object result = self.attr("apply_jvp")(*tuple_of(tangents));
    in_jvp_ = false;
    for_forward_.clear();
    const nb::tuple all =
        nb::isinstance<nb::tuple>(result) ? nb::borrow<nb::tuple>(result) : nb::make_tuple(result);
    TensorList list;
    for (const nb::handle item : all) list.push_back(tensor_or_nothing(item));
    return list;
  }
  void warn(const char* text) override { checked(PyErr_WarnEx(PyExc_UserWarning, text, 1)); }

  TensorList for_forward_;
  bool in_jvp_ = false;
  PyObject* self_ = nullptr;  // the object that this is part of
  std::string name_;
};

/// Runs `function.forward` and, in the split form, setup_context.
nb::object run_forward(nb::handle function, nb::handle context, const nb::tuple& arguments,
                       bool split) {
  const GradModeGuard no_grad(false);
  const NoTangentsGuard no_tangents;
  if (!split) return function.attr("forward")(context, *arguments);
  nb::object output = function.attr("forward")(*arguments);
  function.attr("setup_context")(context, arguments, output);
  return output;
}

nb::object apply_function(nb::handle function, const nb::tuple& arguments, bool split) {
  const nb::object context = function.attr("_backward_cls")();
  nb::inst_ptr<PythonFunction>(context)->set_object(context.ptr());
  const auto node = nb::cast<std::shared_ptr<PythonFunction>>(context);
  TensorList inputs;
  for (const nb::handle argument : arguments) inputs.push_back(tensor_or_nothing(argument));
  const bool recorded = node->begin(inputs);
  nb::object returned = run_forward(function, context, arguments, split);

  const bool several = nb::isinstance<nb::tuple>(returned);
  const nb::tuple all =
      several ? nb::borrow<nb::tuple>(returned) : nb::make_tuple(std::move(returned));
  TensorList outputs;
  for (const nb::handle item : all) outputs.push_back(tensor_or_nothing(item));
  FunctionMarks marks;
  marks.dirty = marked(context, "dirty_tensors", "mark_dirty", false);
  marks.non_differentiable =
      marked(context, "non_differentiable", "mark_non_differentiable", false);
  marks.materialize = nb::cast<bool>(context.attr("materialize_grads"));
  if (recorded) marks.to_save = marked(context, "to_save", "save_for_backward", true);
  outputs = node->finish(inputs, std::move(outputs), marks, recorded);
  for (const char* attribute : {"to_save", "dirty_tensors", "non_differentiable"})
    context.attr(attribute) = nb::none();

  nb::list results;
  for (size_t i = 0; i < outputs.size(); ++i)
    results.append(outputs[i].defined() ? nb::cast(outputs[i]) : nb::object(all[i]));
  return several ? nb::object(nb::tuple(results)) : nb::object(results[0]);
}

nb::tuple needs_input_grad(const PythonFunction& node) {
  nb::list list;
  for (size_t i = 0; i < node.argument_count(); ++i) list.append(node.needs_input_grad(i));
  return nb::tuple(list);
}

/// A Python object that C++ may drop on any thread.
std::shared_ptr<void> shared_object(nb::object object) {
  return {object.release().ptr(), [](void* held) {
            if (Py_IsInitialized() == 0) return;
            const AcquireLock lock;
            Py_DECREF(static_cast<PyObject*>(held));
          }};
}

std::shared_ptr<const SavedTensorHooks> hooks_of(nb::object pack, nb::object unpack) {
  auto hooks = std::make_shared<SavedTensorHooks>();
  hooks->pack = [call = Callable(std::move(pack))](const Tensor& tensor) {
    const AcquireLock lock;
    return shared_object(call(tensor));
  };
  hooks->unpack = [call = Callable(std::move(unpack))](const std::shared_ptr<void>& packed) {
    const AcquireLock lock;
    const nb::object result = call(nb::handle(static_cast<PyObject*>(packed.get())));
    check<TypeError>(is_tensor(result.ptr()), [&] {
      return concat(
          "saved_tensors_hooks: the output of an unpack hook is expected to be a Tensor "
          "but is ",
          type_name(result.ptr()));
    });
    return tensor_of(result.ptr());
  };
  return hooks;
}

/// One saved tensor of a node.
struct SavedHandle {
  std::shared_ptr<PythonFunction> node;
  size_t index;
};

}  // namespace

void add_function(nb::module_& module) {
  nb::class_<PythonFunction, Node>(module, "_FunctionBase", nb::dynamic_attr(),
                                   nb::is_weak_referenceable(),
                                   "The context and node of a custom function.")
      .def(nb::init<>())
      .def_prop_ro(
          "saved_tensors",
          [](const std::shared_ptr<PythonFunction>& node) {
            return tuple_of(node->kept_tensors());
          },
          "What save_for_backward kept.")
      .def_prop_ro("_raw_saved_tensors",
                   [](const std::shared_ptr<PythonFunction>& node) {
                     nb::list list;
                     for (size_t i = 0; i < node->saved().size(); ++i)
                       list.append(nb::cast(SavedHandle{node, i}));
                     return nb::tuple(list);
                   })
      .def_prop_ro("needs_input_grad", needs_input_grad,
                   "For each argument of forward, whether it needs a gradient.");
  module.def("_apply_function", apply_function);
}

void add_saved_tensor_hooks(nb::module_& module) {
  nb::class_<SavedHandle>(module, "SavedTensor", "A tensor that a node keeps for its backward.")
      .def(
          "register_hooks",
          [](const SavedHandle& saved, nb::object pack, nb::object unpack) {
            saved.node->saved()[saved.index].register_hooks(
                hooks_of(std::move(pack), std::move(unpack)));
          },
          "pack_hook"_a, "unpack_hook"_a, "Packs it now; it is unpacked when it is used.");
  module.def("_push_saved_tensors_hooks", [](nb::object pack, nb::object unpack) {
    check(saved_tensor_hooks_refusal().empty(),
          [] { return concat("saved_tensors_hooks: ", saved_tensor_hooks_refusal()); });
    saved_tensor_hooks().push_back(hooks_of(std::move(pack), std::move(unpack)));
  });
  module.def("_pop_saved_tensors_hooks", [] { saved_tensor_hooks().pop_back(); });
  module.def("_saved_tensors_hooks_refusal", [] { return saved_tensor_hooks_refusal(); });
  module.def("_refuse_saved_tensors_hooks",
             [](const std::string& reason) { set_saved_tensor_hooks_refusal(reason); });
}

}  // namespace flambeau::bind
