#pragma once
// Nodes of the tape as Python objects, and what else hooks need.

#include <nanobind/nanobind.h>

#include <memory>

#include "autograd/node.h"
#include "bind/python.h"

namespace flambeau::bind {

/// A Python callable that C++ may call, copy and drop on any thread.
class Callable {
 public:
  explicit Callable(nanobind::object function);
  /// Holding Python's lock.
  template <class... Args>
  nanobind::object operator()(const Args&... args) const {
    return (*function_)(args...);
  }

 private:
  std::shared_ptr<nanobind::object> function_;
};

/// Takes a hook off.
struct RemovableHook {
  HookHandle remove;
};
/// A RemovableHandle, which does that.
nanobind::object handle_of(HookHandle remove);

/// The Python object of a node: one as long as Python holds it, of a class that has the node's
/// name. None if null.
nanobind::object node_object(const std::shared_ptr<Node>& node);

/// RuntimeError unless a hook may put `replaced` in the place of `gradient`.
void check_replaced(const Tensor& gradient, const Tensor& replaced);

/// Undefined tensors become None.
nanobind::tuple tuple_of(const TensorList& tensors);

void add_node(nanobind::module_& module);

}  // namespace flambeau::bind
