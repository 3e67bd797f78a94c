#include "bind/autograd.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "autograd/engine.h"
#include "autograd/grad_mode.h"
#include "autograd/node.h"
#include "base/error.h"
#include "bind/casters.h"

namespace nb = nanobind;
using namespace nanobind::literals;

namespace flambeau::bind {
namespace {

/// A Python callable that C++ may call, copy and drop on any thread.
class Callable {
 public:
  explicit Callable(nb::object function)
      : function_(new nb::object(std::move(function)), [](nb::object* object) {
          // After the interpreter has gone nothing can be freed.
          if (Py_IsInitialized() == 0) return;
          const AcquireLock lock;
          delete object;
        }) {}
  template <class... Args>
  nb::object operator()(const Args&... args) const {
    return (*function_)(args...);
  }

 private:
  std::shared_ptr<nb::object> function_;
};

GradHook grad_hook(nb::object function) {
  return [call = Callable(std::move(function))](const Tensor& gradient) {
    const AcquireLock lock;
    const nb::object result = call(gradient);
    if (result.is_none()) return Tensor();
    check<TypeError>(is_tensor(result.ptr()), [&] {
      return concat("register_hook: hooks must return None or a Tensor, got ",
                    type_name(result.ptr()));
    });
    return tensor_of(result.ptr());
  };
}

nb::tuple tuple_of(const TensorList& tensors) {
  nb::list list;
  for (const Tensor& tensor : tensors) list.append(tensor);
  return nb::tuple(list);
}

/// What a node's hook gave: nothing, a tensor or a tuple of them.
TensorList list_of_result(const nb::object& result) {
  if (result.is_none()) return {};
  if (is_tensor(result.ptr())) return {tensor_of(result.ptr())};
  TensorList list;
  for (const nb::handle item : result) list.push_back(nb::cast<Tensor>(item));
  return list;
}

TensorList backward(const TensorList& roots, const TensorList& gradients,
                    const BackwardOptions& options) {
  const nb::gil_scoped_release others_may_run;
  return run_backward(roots, gradients, options);
}

void add_node(nb::module_& module) {
  nb::class_<Node>(module, "Node", nb::dynamic_attr(), nb::is_weak_referenceable(),
                   "A recorded call: turns the gradients of its outputs into those of its inputs.")
      .def("name", &Node::name)
      .def("__repr__",
           [](nb::handle_t<Node> self) {
             const auto address = reinterpret_cast<uintptr_t>(nb::inst_ptr<Node>(self));
             return nb::str("<{} object at {}>")
                 .format(nb::inst_ptr<Node>(self)->name(), nb::str("0x{:x}").format(address));
           })
      .def_prop_ro("next_functions",
                   [](const Node& node) {
                     nb::list list;
                     for (const Edge& edge : node.edges)
                       list.append(nb::make_tuple(edge.node, edge.index));
                     return nb::tuple(list);
                   })
      .def_prop_ro("variable",
                   [](const Node& node) {
                     const auto* leaf = dynamic_cast<const AccumulateGrad*>(&node);
                     if (leaf == nullptr) throw nb::attribute_error("variable");
                     return leaf->variable;
                   })
      .def("_add_hook",
           [](Node& node, nb::object function) {
             return node.post_hooks.add([call = Callable(std::move(function))](
                                            const TensorList& inputs, const TensorList& outputs) {
               const AcquireLock lock;
               return list_of_result(call(tuple_of(inputs), tuple_of(outputs)));
             });
           })
      .def("_remove_hook", [](Node& node, int64_t handle) { node.post_hooks.remove(handle); })
      .def("_add_pre_hook",
           [](Node& node, nb::object function) {
             return node.pre_hooks.add(
                 [call = Callable(std::move(function))](const TensorList& gradients) {
                   const AcquireLock lock;
                   return list_of_result(call(tuple_of(gradients)));
                 });
           })
      .def("_remove_pre_hook", [](Node& node, int64_t handle) { node.pre_hooks.remove(handle); });
}

}  // namespace

void add_autograd(nb::module_& module) {
  add_node(module);
  module.def("is_grad_enabled", grad_enabled, "True if calls are recorded.");
  module.def("_set_grad_enabled", set_grad_enabled);
  module.def("is_inference_mode_enabled", inference_mode_enabled);
  module.def("_set_inference_mode", set_inference_mode);
  module.def("is_anomaly_enabled", anomaly_enabled);
  module.def("is_anomaly_check_nan_enabled", anomaly_checks_nan);
  module.def("_set_anomaly_enabled", set_anomaly_enabled, "enabled"_a, "check_nan"_a = true);
  module.def("_grad_fn", [](const Tensor& tensor) { return grad_fn(tensor); });
  module.def("_gradient_edge", [](const Tensor& tensor) {
    const Edge edge = gradient_edge(tensor);
    return nb::make_tuple(edge.node, edge.index);
  });
  module.def("_base", [](const Tensor& tensor) {
    const AutogradMeta* meta = find_meta(tensor);
    return meta != nullptr ? meta->base : Tensor();
  });
  module.def("_retains_grad", [](const Tensor& tensor) {
    const AutogradMeta* meta = find_meta(tensor);
    return meta != nullptr && meta->retains_grad;
  });
  module.def("_output_number", [](const Tensor& tensor) {
    const AutogradMeta* meta = find_meta(tensor);
    return meta != nullptr ? meta->output : 0;
  });
  module.def("_register_hook", [](const Tensor& tensor, nb::object function) {
    return register_hook(tensor, grad_hook(std::move(function)));
  });
  module.def("_remove_hook", remove_hook);
  module.def("_register_post_accumulate_hook", [](const Tensor& tensor, nb::object function) {
    return register_post_accumulate_hook(
        tensor, [call = Callable(std::move(function))](const Tensor& variable) {
          const AcquireLock lock;
          call(variable);
        });
  });
  module.def("_remove_post_accumulate_hook", remove_post_accumulate_hook);
  module.def(
      "_backward",
      [](const TensorList& roots, const TensorList& gradients, bool retain_graph, bool create_graph,
         const TensorList& inputs) {
        backward(roots, gradients,
                 {.retain_graph = retain_graph, .create_graph = create_graph, .inputs = inputs});
      },
      "Runs the tape from the roots; gradients are added to the leaves' (or inputs') grad.");
  module.def(
      "_grad",
      [](const TensorList& roots, const TensorList& gradients, bool retain_graph, bool create_graph,
         const TensorList& inputs, bool allow_unused, bool materialize) {
        return tuple_of(backward(roots, gradients,
                                 {.retain_graph = retain_graph,
                                  .create_graph = create_graph,
                                  .inputs = inputs,
                                  .accumulate = false,
                                  .allow_unused = allow_unused,
                                  .materialize = materialize}));
      },
      "The gradients of the roots with respect to the inputs.");
}

}  // namespace flambeau::bind
