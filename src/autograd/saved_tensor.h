#pragma once
// A tensor kept for the backward, guarded against in-place changes.

#include <memory>
#include <mutex>

#include "autograd/node.h"
#include "base/object_pool.h"
#include "base/small_vector.h"

namespace flambeau {

/// Pack and unpack hooks (torch.autograd.graph.saved_tensors_hooks): what is stored instead of a
/// tensor, and how the tensor comes back.
struct SavedTensorHooks {
  std::function<std::shared_ptr<void>(const Tensor&)> pack;
  std::function<Tensor(const std::shared_ptr<void>&)> unpack;
};
/// The hooks of this thread, innermost last: that one is used.
std::vector<std::shared_ptr<const SavedTensorHooks>>& saved_tensor_hooks();
/// While not empty: why this thread may not use such hooks. Setting it refuses if there are some.
const std::string& saved_tensor_hooks_refusal();
void set_saved_tensor_hooks_refusal(std::string reason);

class SavedTensor {
 public:
  SavedTensor() = default;
  /// `is_output`: the tensor is a result of the node that saves it, so only its data is kept and
  /// the node is put back when it is unpacked. RuntimeError for inference tensors.
  SavedTensor(const Tensor& tensor, bool is_output);

  /// The tensor (undefined if nothing was saved); RuntimeError if it was written since or has been
  /// released. `owner` saved it.
  Tensor unpack(const std::shared_ptr<Node>& owner) const;
  void release() {
    *this = SavedTensor();
    released_ = true;
  }

  /// Packs the tensor from now on; RuntimeError if it is packed, released or was never there.
  void register_hooks(const std::shared_ptr<const SavedTensorHooks>& hooks);
  bool has_hooks() const { return packed_ != nullptr; }

  /// True if the memory can be computed again.
  bool is_derived() const { return data_.defined() && data_->storage->is_derived(); }
  /// The tensor as it is, unchecked; undefined if it is not there.
  const Tensor& peek() const { return data_; }

 private:
  struct Packed {
    std::shared_ptr<const SavedTensorHooks> hooks;
    std::shared_ptr<void> value;
    std::shared_ptr<Node> history;  // the tensor's grad_fn, or a leaf's AccumulateGrad
  };
  void pack(const std::shared_ptr<const SavedTensorHooks>& hooks);
  Tensor unpack_value(const std::shared_ptr<Node>& owner) const;

  Tensor data_;                 // the tensor itself; without its history if is_output_
  std::weak_ptr<Node> origin_;  // what made it, for the message
  std::shared_ptr<const Packed> packed_;
  int output_ = 0;
  uint32_t version_ = 0;
  bool is_output_ = false;
  bool released_ = false;
};

using SavedTensors = std::vector<SavedTensor, PoolAllocator<SavedTensor>>;

/// The first `count` of `saved` unpacked, undefined where there is nothing or no entry. `mutex`
/// guards `saved`, and is not held while hooks run.
void unpack_all(const SavedTensors& saved, size_t count, std::mutex& mutex,
                const std::shared_ptr<Node>& owner, SmallVector<Tensor, 6>& tensors);
/// Frees them all; what they held dies after the lock.
void release_all(SavedTensors& saved, std::mutex& mutex);

}  // namespace flambeau
