#include "autograd/saved_tensor.h"

#include <algorithm>

#include "autograd/forward.h"
#include "autograd/grad_mode.h"
#include "base/error.h"

namespace flambeau {
namespace {

thread_local std::vector<std::shared_ptr<const SavedTensorHooks>> hooks_here;
thread_local std::string refusal;

/// `data` under the history of what was saved.
Tensor with_history(const Tensor& data, const std::shared_ptr<Node>& node, int output) {
  Tensor result = detach_with_tangent(data);
  if (dynamic_cast<AccumulateGrad*>(node.get()) != nullptr) {
    result->requires_grad = true;
    autograd_meta(result).accumulate = node;
  } else {
    set_history(result, node, output);
  }
  return result;
}

}  // namespace

std::vector<std::shared_ptr<const SavedTensorHooks>>& saved_tensor_hooks() { return hooks_here; }

const std::string& saved_tensor_hooks_refusal() { return refusal; }

void set_saved_tensor_hooks_refusal(std::string reason) {
  check(reason.empty() || saved_tensor_hooks().empty(),
        [&] { return concat("saved_tensors_hooks: ", reason); });
  refusal = std::move(reason);
}

SavedTensor::SavedTensor(const Tensor& tensor, bool is_output) : is_output_(is_output) {
  check(!tensor->is_inference, [] {
    return std::string(
        "backward: inference tensors cannot be saved for backward. To work around "
        "you can make a clone to get a normal tensor and use it in autograd.");
  });
  version_ = tensor.version();
  const AutogradMeta* meta = find_meta(tensor);
  output_ = meta == nullptr ? 0 : meta->output;
  if (!is_output && meta != nullptr) origin_ = flambeau::grad_fn(tensor);
  data_ = is_output ? detach_with_tangent(tensor) : tensor;
  const auto& hooks = saved_tensor_hooks();
  if (!hooks.empty()) pack(std::shared_ptr(hooks.back()));
}

void SavedTensor::register_hooks(const std::shared_ptr<const SavedTensorHooks>& hooks) {
  check(!released_, [] {
    return std::string("register_hooks: cannot set hooks on a saved tensor that has been released");
  });
  check(!has_hooks(), [] {
    return std::string("register_hooks: hooks have been registered on this saved tensor already");
  });
  check(data_.defined(),
        [] { return std::string("register_hooks: nothing was saved: the tensor is None"); });
  pack(hooks);
}

void SavedTensor::pack(const std::shared_ptr<const SavedTensorHooks>& hooks) {
  auto packed = std::make_shared<Packed>();
  packed->hooks = hooks;
  if (!is_output_) packed->history = gradient_edge(data_).node;
  const uint32_t version = data_.version();
  {
    const GradModeGuard no_grad(false);
    packed->value = hooks->pack(data_);
  }
  check(data_.version() == version, [] {
    return std::string(
        "saved_tensors_hooks: a pack hook modified its input in place. Tensors provided as input "
        "to pack hooks must not be modified by in-place operations.");
  });
  data_ = Tensor();
  packed_ = std::move(packed);
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
  if (packed_ != nullptr) return unpack_value(owner);
  if (!data_.defined()) return {};
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
  return is_output_ ? with_history(data_, owner, output_) : data_;
}

Tensor SavedTensor::unpack_value(const std::shared_ptr<Node>& owner) const {
  Tensor data = packed_->hooks->unpack(packed_->value);
  if (is_output_) return with_history(data, owner, output_);
  return packed_->history == nullptr ? data : with_history(data, packed_->history, output_);
}

void unpack_all(const SavedTensors& saved, size_t count, std::mutex& mutex,
                const std::shared_ptr<Node>& owner, SmallVector<Tensor, 6>& tensors) {
  tensors.resize(count);
  std::vector<std::pair<size_t, SavedTensor>> packed;
  {
    const std::lock_guard lock(mutex);
    for (size_t i = 0; i < std::min(count, saved.size()); ++i) {
      if (saved[i].has_hooks())
        packed.emplace_back(i, saved[i]);
      else
        tensors[i] = saved[i].unpack(owner);
    }
  }
  for (const auto& [i, tensor] : packed) tensors[i] = tensor.unpack(owner);
}

void release_all(SavedTensors& saved, std::mutex& mutex) {
  SavedTensors freed;  // memory goes without the lock
  const std::lock_guard lock(mutex);
  freed.resize(saved.size());
  for (SavedTensor& tensor : freed) tensor.release();
  std::swap(saved, freed);
}

}  // namespace flambeau
