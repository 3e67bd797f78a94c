#pragma once
// Running the tape backwards.

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
};

/// Runs from `roots` with their gradients (undefined: one, for tensors of one element). Returns
/// the gradients of options.inputs unless they are accumulated. PyTorch's errors.
TensorList run_backward(std::span<const Tensor> roots, std::span<const Tensor> gradients,
                        const BackwardOptions& options = {});

}  // namespace flambeau
