#include "bind/node_type.h"

#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>

#include <unordered_map>

#include "base/error.h"
#include "bind/casters.h"

namespace nb = nanobind;
using namespace nanobind::literals;

namespace flambeau::bind {
namespace {

/// What a node's hook gave: nothing (unchanged), a tensor or a tuple, one for each that it got.
TensorList list_of_result(const nb::object& result, const TensorList& given) {
  if (result.is_none()) return {};
  TensorList list;
  if (is_tensor(result.ptr()))
    list.push_back(tensor_of(result.ptr()));
  else
    for (const nb::handle item : result) list.push_back(nb::cast<Tensor>(item));
  check(list.size() == given.size(), [&] {
    return concat("register_hook: hook has returned an incorrect number of values (got ",
                  list.size(), ", but expected ", given.size(), ")");
  });
  for (size_t i = 0; i < list.size(); ++i) check_replaced(given[i], list[i]);
  return list;
}

/// The last word of a qualified name.
std::string class_name(const std::string& name) {
  const size_t colon = name.rfind(':');
  return colon == std::string::npos ? name : name.substr(colon + 1);
}

/// A subclass of Node for each name; they live for ever.
nb::handle type_of(const Node& node) {
  static auto& types = *new std::unordered_map<std::string, nb::object>();
  nb::object& type = types[class_name(node.name())];
  if (!type.is_valid()) {
    nb::dict attributes;
    attributes["__module__"] = nb::str((package_name() + ".autograd.graph").c_str());
    type = nb::borrow(reinterpret_cast<PyObject*>(&PyType_Type))(
        class_name(node.name()), nb::make_tuple(nb::type<Node>()), attributes);
  }
  return type;
}

nb::str repr(const nb::handle_t<Node>& self) {
  const auto address = reinterpret_cast<uintptr_t>(nb::inst_ptr<Node>(self));
  return nb::str("<{} object at {}>")
      .format(self.type().attr("__name__"), nb::str("0x{:x}").format(address));
}

nb::tuple next_functions(const Node& node) {
  nb::list list;
  for (const Edge& edge : node.edges)
    list.append(nb::make_tuple(node_object(edge.node), edge.index));
  return nb::tuple(list);
}

Tensor variable(const Node& node) {
  const auto* leaf = dynamic_cast<const AccumulateGrad*>(&node);
  if (leaf == nullptr) throw nb::attribute_error("variable");
  return leaf->variable;
}

/// A dict that lives as long as the node.
nb::object metadata(Node& node) {
  if (node.metadata == nullptr)
    node.metadata = std::shared_ptr<PyObject>(nb::dict().release().ptr(), [](PyObject* dict) {
      if (Py_IsInitialized() == 0) return;
      const AcquireLock lock;
      Py_DECREF(dict);
    });
  return nb::borrow(static_cast<PyObject*>(node.metadata.get()));
}

nb::object register_hook(Node& node, nb::object function) {
  const void* const origin = function.ptr();
  return handle_of(node.post_hooks.add(
      [call = Callable(std::move(function))](const TensorList& inputs, const TensorList& outputs) {
        const AcquireLock lock;
        return list_of_result(call(tuple_of(inputs), tuple_of(outputs)), inputs);
      },
      origin));
}

nb::object register_prehook(Node& node, nb::object function) {
  const void* const origin = function.ptr();
  return handle_of(node.pre_hooks.add(
      [call = Callable(std::move(function))](const TensorList& gradients) {
        const AcquireLock lock;
        return list_of_result(call(tuple_of(gradients)), gradients);
      },
      origin));
}

}  // namespace

Callable::Callable(nb::object function)
    : function_(new nb::object(std::move(function)), [](nb::object* object) {
        // After the interpreter has gone nothing can be freed.
        if (Py_IsInitialized() == 0) return;
        const AcquireLock lock;
        delete object;
      }) {}

nb::object handle_of(HookHandle remove) {
  return nb::module_::import_("flambeau.autograd.hooks")
      .attr("_CoreHandle")(RemovableHook{std::move(remove)});
}

nb::object node_object(const std::shared_ptr<Node>& node) {
  if (node == nullptr) return nb::none();
  nb::object found = nb::find(*node);
  if (found.is_valid()) return found;
  nb::object made = nb::inst_reference(type_of(*node), node.get());
  nb::detail::keep_alive(made.ptr(), new std::shared_ptr<Node>(node), [](void* held) noexcept {
    delete static_cast<std::shared_ptr<Node>*>(held);
  });
  return made;
}

void check_replaced(const Tensor& gradient, const Tensor& replaced) {
  if (!replaced.defined()) return;
  check(gradient.defined(), [] {
    return std::string("register_hook: a hook cannot replace a None gradient with a Tensor");
  });
  check(gradient.sizes() == replaced.sizes(), [&] {
    return concat("register_hook: a hook has changed the size of a gradient: it got ",
                  list_text(gradient.sizes()), " and returned ", list_text(replaced.sizes()));
  });
}

nb::tuple tuple_of(const TensorList& tensors) {
  nb::list list;
  for (const Tensor& tensor : tensors) list.append(tensor);
  return nb::tuple(list);
}

void add_node(nb::module_& module) {
  nb::class_<RemovableHook>(module, "_RemovableHook", "A hook that can be taken off.")
      .def("remove", [](const RemovableHook& hook) { hook.remove(); });
  nb::class_<Node>(module, "Node", nb::dynamic_attr(), nb::is_weak_referenceable(),
                   "A recorded call: turns the gradients of its outputs into those of its inputs.")
      .def("name", &Node::name, "The name, as in AddBackward0.")
      .def("__repr__", repr)
      .def_prop_ro("next_functions", next_functions,
                   "Where the gradients of the inputs go: pairs of a node and its output.")
      .def_prop_ro("variable", variable, "The leaf of an AccumulateGrad.")
      .def_prop_ro("metadata", metadata, "A dict that lives as long as the node.")
      .def_prop_ro(
          "_sequence_nr", [](const Node& node) { return node.sequence; },
          "Greater for later calls.")
      .def("register_hook", register_hook, "fn"_a,
           "fn(grad_inputs, grad_outputs) runs after the node and may return other grad_inputs.")
      .def("register_prehook", register_prehook, "fn"_a,
           "fn(grad_outputs) runs before the node and may return others.");
}

}  // namespace flambeau::bind
