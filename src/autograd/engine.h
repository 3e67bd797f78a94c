#pragma once
// Running the tape backwards.

#include <functional>
#include <span>

#include "autograd/node.h"

namespace flambeau {

struct BackwardOptions {
  bool retain_graph = false;
  bool create_graph = false;
  /// Where not empty: only the gradients of these tensors are computed. With `accumulate` they are
  /// added to their `grad` (Tensor.backward(inputs=...)), else returned (autograd.grad).
  TensorList inputs = {};
  bool accumulate = true;
  bool allow_unused = false;
  bool materialize = false;  ///< zeros instead of nothing for unused inputs
  /// All gradients have one more axis in front, of one extent: that many backwards at once. Only
  /// where gradients are returned.
  bool batched = false;
};

/// Runs from `roots` with their gradients (undefined: one, for tensors of one element). Returns
/// the gradients of options.inputs unless they are accumulated. PyTorch's errors.
TensorList run_backward(std::span<const Tensor> roots, std::span<const Tensor> gradients,
                        const BackwardOptions& options = {});

/// The extent of the axis in front of gradients in a batched backward, while a node runs on this
/// thread that takes them all at once; -1 otherwise.
int64_t gradient_batch();

/// The number of the backward that runs on this thread, the innermost; -1 outside.
int64_t current_graph_task();
/// Whether it runs all nodes, because no inputs were given. RuntimeError outside.
bool runs_whole_graph();
/// The node that runs on this thread; null outside of backward.
std::shared_ptr<Node> current_node();
/// Whether the backward that runs on this thread will run `node`, or has. RuntimeError outside.
bool will_execute(const Node& node);
/// `callback` runs on this thread when the backward that runs here has run all nodes. RuntimeError
/// outside.
void queue_callback(std::function<void()> callback);

}  // namespace flambeau
