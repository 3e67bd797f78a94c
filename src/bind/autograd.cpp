#include "bind/autograd.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <array>

#include "autograd/autocast.h"
#include "autograd/engine.h"
#include "autograd/forward.h"
#include "autograd/grad_mode.h"
#include "autograd/in_place_view.h"
#include "autograd/node.h"
#include "autograd/vmap.h"
#include "base/error.h"
#include "bind/casters.h"
#include "bind/function.h"
#include "bind/node_type.h"
#include "bind/tensor_type.h"
#include "compile/recorder.h"

namespace nb = nanobind;
using namespace nanobind::literals;

namespace flambeau::bind {
namespace {

GradHook grad_hook(nb::object function) {
  return [call = Callable(std::move(function))](const Tensor& gradient) {
    const AcquireLock lock;
    const nb::object result = call(gradient);
    if (result.is_none()) return Tensor();
    check<TypeError>(is_tensor(result.ptr()), [&] {
      return concat("register_hook: hooks must return None or a Tensor, got ",
                    type_name(result.ptr()));
    });
    check_replaced(gradient, tensor_of(result.ptr()));
    return tensor_of(result.ptr());
  };
}

/// The Python lines that are running on this thread.
std::string running_lines() {
  const AcquireLock lock;
  const nb::object lines = nb::module_::import_("traceback").attr("format_stack")();
  return nb::cast<std::string>(nb::str("").attr("join")(lines));
}

/// A UserWarning; the exception that is under way, if any, stays what it is.
void warn_user(const std::string& text) {
  const AcquireLock lock;
  PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  if (PyErr_WarnEx(PyExc_UserWarning, text.c_str(), 1) < 0) PyErr_Clear();
  PyErr_Restore(type, value, traceback);
}

/// References that others than the Python object hold, but for that of a graph that accumulates the
/// gradient.
uint64_t held_elsewhere(const TensorImpl& impl) {
  const auto* const meta = static_cast<const AutogradMeta*>(impl.autograd());
  const bool accumulates = meta != nullptr && !meta->accumulate.expired();
  return impl.use_count() - (accumulates ? 1 : 0);
}

/// Exchanges what two Python objects stand for.
void swap_tensors(nb::handle first, nb::handle second) {
  const std::array<nb::handle, 2> objects{first, second};
  for (size_t i = 0; i < 2; ++i) {
    check<TypeError>(is_tensor(objects[i].ptr()), [&] {
      return concat("swap_tensors: t", i + 1, " must be a Tensor, got ",
                    type_name(objects[i].ptr()));
    });
    const uint64_t held = held_elsewhere(*reinterpret_cast<TensorObject*>(objects[i].ptr())->impl);
    check(held == 0, [&] {
      return concat("Expected use_count of t", i + 1,
                    " to be 1 or 2 with an AccumulateGrad node but got ", held + 1,
                    " make sure you are not holding references to the tensor in other places.");
    });
  }
  if (first.is(second)) return;
  auto& one = reinterpret_cast<TensorObject*>(first.ptr())->impl;
  auto& other = reinterpret_cast<TensorObject*>(second.ptr())->impl;
  std::swap(one, other);
  one->set_wrapper(first.ptr());
  other->set_wrapper(second.ptr());
  // The references of a tensor hold one to its object, all together.
  const bool held_by_second = one->use_count() != 0;
  const bool held_by_first = other->use_count() != 0;
  if (held_by_second == held_by_first) return;
  const nb::handle gains = held_by_second ? first : second;
  gains.inc_ref();
  (held_by_second ? second : first).dec_ref();
}

TensorList backward(const TensorList& roots, const TensorList& gradients,
                    const BackwardOptions& options) {
  const ReleaseLock others_may_run;
  return run_backward(roots, gradients, options);
}

}  // namespace

void add_autograd(nb::module_& module) {
  anomaly_reports = {.where = running_lines, .warn = warn_user};
  add_node(module);
  add_function(module);
  add_saved_tensor_hooks(module);
  module.def("is_grad_enabled", grad_enabled, "True if calls are recorded.");
  module.def("_set_grad_enabled", [](bool enabled) {
    const bool before = grad_enabled();
    set_grad_enabled(enabled);
    return before;
  });
  module.def("is_inference_mode_enabled", inference_mode_enabled);
  module.def("_set_inference_mode", set_inference_mode);
  module.def("_enter_vmap", [](int64_t extent, int randomness) {
    return enter_vmap(extent, static_cast<VmapRandomness>(randomness));
  });
  module.def("_leave_vmap", leave_vmap);
  module.def("_vmap_levels", [] {
    nb::list levels;
    for (const int level : vmap_levels()) levels.append(nb::make_tuple(level, vmap_extent(level)));
    return levels;
  });
  module.def("_vmap_randomness",
             [](int level) { return static_cast<int>(vmap_randomness(level)); });
  // The tensor behind one of vmap, and the levels of its first axes; the tensor itself and none.
  module.def("_unbatched", [](const Tensor& tensor) {
    const Batched* batched = find_batched(tensor);
    nb::list levels;
    if (batched != nullptr)
      for (const int level : batched->levels) levels.append(level);
    return nb::make_tuple(batched == nullptr ? tensor : batched->physical, levels);
  });
  module.def("_batched", [](const Tensor& physical, const nb::list& levels) {
    SmallVector<int, 2> hidden;
    for (const nb::handle level : levels) hidden.push_back(nb::cast<int>(level));
    const Tensor tensor = make_batched(physical, {hidden.data(), hidden.size()});
    if (!hidden.empty()) note_seen(tensor);
    return tensor;
  });
  module.def("_autocast_state", [] {
    const AutocastState& state = autocast_state;
    return nb::make_tuple(state.enabled, state.dtype, state.caches);
  });
  module.def("_set_autocast_state", [](bool enabled, DTypeArgument dtype, bool caches) {
    autocast_state = {.enabled = enabled, .caches = caches, .dtype = dtype.dtype()};
  });
  module.def("clear_autocast_cache", clear_autocast_cache,
             "Forgets the parameters that autocast has converted on this thread.");
  nb::class_<FreshAutocastCache>(module, "_FreshAutocastCache")
      .def(nb::init<>())
      .def("close", &FreshAutocastCache::close);
  module.def("is_anomaly_enabled", anomaly_enabled);
  module.def("is_anomaly_check_nan_enabled", anomaly_checks_nan);
  module.def("_set_anomaly_enabled", set_anomaly_enabled, "enabled"_a, "check_nan"_a = true);
  module.def("_grad_fn", [](const Tensor& tensor) { return node_object(grad_fn(tensor)); });
  module.def("_gradient_edge", [](const Tensor& tensor) {
    const Edge edge = gradient_edge(tensor);
    return nb::make_tuple(node_object(edge.node), edge.index);
  });
  module.def("_increment_version",
             [](const Tensor& tensor) { tensor.bump_version("increment_version"); });
  module.def("_base", [](const Tensor& tensor) {
    compiler::Recorder::of_thread().note_offset(tensor);
    const AutogradMeta* meta = find_meta(tensor);
    return meta != nullptr ? meta->base : Tensor();
  });
  // The Python functions give the views; `op` is for messages.
  module.def("_become_view", [](const Tensor& self, const Tensor& view, const std::string& op) {
    become_view(self, view, op.c_str());
  });
  module.def("_become_window", [](const Tensor& self, const Tensor& source, const std::string& op) {
    compiler::Recorder::of_thread().note_offset(source);
    become_window(self, source, op.c_str());
  });
  module.def("_detach_in_place", detach_in_place);
  module.def("_swap_tensors", swap_tensors);
  module.def("_retains_grad", retains_grad);
  module.def("_output_number", [](const Tensor& tensor) {
    const AutogradMeta* meta = find_meta(tensor);
    return meta != nullptr ? meta->output : 0;
  });
  module.def("_register_hook", [](const Tensor& tensor, nb::object function) {
    const void* const origin = function.ptr();
    return handle_of(register_hook(tensor, grad_hook(std::move(function)), origin));
  });
  module.def("_register_post_accumulate_hook", [](const Tensor& tensor, nb::object function) {
    const void* const origin = function.ptr();
    return handle_of(register_post_accumulate_hook(
        tensor,
        [call = Callable(std::move(function))](const Tensor& variable) {
          const AcquireLock lock;
          check(call(variable).is_none(), [] {
            return std::string("Tensor post accumulate grad hooks should return None.");
          });
        },
        origin));
  });
  module.def(
      "_hooks_of",
      [](const Tensor& leaf) {
        nb::list functions;
        for (const void* origin : origins_of_hooks(leaf))
          if (origin != nullptr)
            functions.append(nb::borrow(static_cast<PyObject*>(const_cast<void*>(origin))));
        return functions;
      },
      "The functions that were registered as hooks of a leaf.");
  module.def("_enter_dual_level", enter_dual_level);
  module.def("_exit_dual_level", exit_dual_level);
  module.def("_make_dual", make_dual, "The tensor with a tangent, or without if that is None.",
             nb::arg(), nb::arg().none());
  module.def("_tangent", tangent);
  module.def("_current_graph_task_id", current_graph_task,
             "The number of the backward that runs on this thread; -1 outside.");
  module.def("_runs_whole_graph", runs_whole_graph,
             "Whether the backward that runs on this thread was given no inputs.");
  module.def("_current_autograd_node", [] { return node_object(current_node()); });
  module.def(
      "_will_engine_execute_node", [](const Node& node) { return will_execute(node); },
      "Whether the backward that runs on this thread runs the node.");
  module.def("_queue_callback", [](nb::object function) {
    queue_callback([call = Callable(std::move(function))] {
      const AcquireLock lock;
      call();
    });
  });
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
         const TensorList& inputs, bool allow_unused, bool materialize, bool batched) {
        return tuple_of(backward(roots, gradients,
                                 {.retain_graph = retain_graph,
                                  .create_graph = create_graph,
                                  .inputs = inputs,
                                  .accumulate = false,
                                  .allow_unused = allow_unused,
                                  .materialize = materialize,
                                  .batched = batched}));
      },
      "The gradients of the roots with respect to the inputs.");
}

}  // namespace flambeau::bind
