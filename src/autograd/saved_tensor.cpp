#include "autograd/saved_tensor.h"

#include "base/error.h"

namespace flambeau {

std::vector<std::shared_ptr<SavedTensorHooks>>& saved_tensor_hooks() {
  // NOLINTNEXTLINE(misc-use-internal-linkage): a local variable has no linkage
  thread_local std::vector<std::shared_ptr<SavedTensorHooks>> hooks;
  return hooks;
}

SavedTensor::SavedTensor(const Tensor& tensor, bool is_output) : is_output_(is_output) {
  check(!tensor->is_inference, [] {
    return std::string(
        "backward: inference tensors cannot be saved for backward. To work around "
        "you can make a clone to get a normal tensor and use it in autograd.");
  });
  version_ = tensor.version();
  is_leaf_ = !is_output && is_leaf(tensor);
  if (!is_output) {
    grad_fn_ = flambeau::grad_fn(tensor);
    origin_ = grad_fn_;
    output_ = tensor->autograd == nullptr ? 0 : find_meta(tensor)->output;
  }
  auto& hooks = saved_tensor_hooks();
  if (!hooks.empty()) {
    hooks_ = hooks.back();
    packed_ = hooks_->pack(is_output ? tensor.detach() : tensor);
    return;
  }
  data_ = is_output ? tensor.detach() : tensor;
  if (is_output) output_ = tensor->autograd == nullptr ? 0 : find_meta(tensor)->output;
}

Tensor SavedTensor::unpack(const std::shared_ptr<Node>& owner) const {
  check(!released_, [] {
    return std::string(
        "backward: trying to backward through the graph a second time (or directly access saved "
        "tensors after they have already been freed). Saved intermediate values of the graph are "
        "freed when you call .backward() or autograd.grad(). Specify retain_graph=True if you need "
        "to backward through the graph a second time or if you need to access saved tensors after "
        "calling backward.");
  });
  if (hooks_ != nullptr) {
    Tensor tensor = hooks_->unpack(packed_);
    if (is_leaf_ || (grad_fn_ == nullptr && !is_output_)) return tensor;
    const Tensor fresh = tensor.detach();
    AutogradMeta& meta = autograd_meta(fresh);
    meta.grad_fn = is_output_ ? owner : grad_fn_;
    meta.output = output_;
    return fresh;
  }
  if (data_.version() != version_) {
    const std::shared_ptr<Node> origin = is_output_ ? owner : origin_.lock();
    throw RuntimeError(concat(
        "backward: one of the variables needed for gradient computation has been modified by an "
        "inplace operation: [",
        info(data_.dtype()).name, " ", list_text(data_.sizes()), "]",
        origin == nullptr ? std::string()
                          : concat(", which is output ", output_, " of ", origin->name(), ","),
        " is at version ", data_.version(), "; expected version ", version_,
        " instead. Hint: enable anomaly detection to find the operation that failed to compute its "
        "gradient, with autograd.set_detect_anomaly(True)."));
  }
  if (!is_output_) return data_;
  const Tensor result = data_.detach();
  AutogradMeta& meta = autograd_meta(result);
  meta.grad_fn = owner;
  meta.output = output_;
  return result;
}

}  // namespace flambeau
