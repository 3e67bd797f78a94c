#pragma once
// A tensor kept for the backward, guarded against in-place changes.

#include <memory>

#include "autograd/node.h"

namespace flambeau {

/// Pack and unpack hooks (torch.autograd.graph.saved_tensors_hooks): what is stored instead of a
/// tensor, and how the tensor comes back.
struct SavedTensorHooks {
  std::function<std::shared_ptr<void>(const Tensor&)> pack;
  std::function<Tensor(const std::shared_ptr<void>&)> unpack;
};
/// The hooks of this thread, innermost last.
std::vector<std::shared_ptr<SavedTensorHooks>>& saved_tensor_hooks();

class SavedTensor {
 public:
  SavedTensor() = default;
  /// `is_output`: the tensor is a result of the node that saves it, so only its data is kept and
  /// the node is put back when it is unpacked.
  SavedTensor(const Tensor& tensor, bool is_output);

  /// The tensor; RuntimeError if it was written since or has been released. `owner` saved it.
  Tensor unpack(const std::shared_ptr<Node>& owner) const;
  void release() {
    *this = SavedTensor();
    released_ = true;
  }

 private:
  Tensor data_;
  std::weak_ptr<Node> origin_;  // what made it, for the message
  std::shared_ptr<Node> grad_fn_;
  std::shared_ptr<SavedTensorHooks> hooks_;
  std::shared_ptr<void> packed_;
  int output_ = 0;
  uint32_t version_ = 0;
  bool is_output_ = false;
  bool is_leaf_ = false;
  bool released_ = false;
};

}  // namespace flambeau
