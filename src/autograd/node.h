#pragma once
// The tape: a graph of nodes, each of which turns the gradients of what a call returned into those
// of what it was given.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace flambeau {

class Node;

/// "Input `index` of `node`": where the gradient of a tensor goes. A null node: nowhere.
struct Edge {
  std::shared_ptr<Node> node;
  int index = 0;
};

/// What a node knows of a tensor that its call returned.
struct OutputInfo {
  Ints sizes;
  DType dtype = DType::Float32;
};

/// Sees and may replace gradients. Hooks run in the order in which they were added.
using GradHook = std::function<Tensor(const Tensor&)>;
/// Before a node runs: gets the gradients of its outputs, may return others (empty: unchanged).
using NodePreHook = std::function<TensorList(const TensorList&)>;
/// After a node ran: gets the gradients of its inputs and outputs, may return other inputs'.
using NodePostHook = std::function<TensorList(const TensorList& inputs, const TensorList& outputs)>;

/// Hooks with the handles by which they are removed.
template <class Hook>
class HookList {
 public:
  int64_t add(Hook hook) {
    entries_.emplace_back(++last_, std::move(hook));
    return last_;
  }
  void remove(int64_t handle) {
    std::erase_if(entries_, [&](const auto& entry) { return entry.first == handle; });
  }
  bool empty() const { return entries_.empty(); }
  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }

 private:
  std::vector<std::pair<int64_t, Hook>> entries_;
  int64_t last_ = 0;
};

class Node : public std::enable_shared_from_this<Node> {
 public:
  Node();
  virtual ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  /// Gradients of the inputs, one per edge, from those of the outputs (undefined: zero). Runs in
  /// grad mode where create_graph is set; what it calls is recorded then.
  virtual TensorList apply(const TensorList& gradients) = 0;
  /// "AddBackward0"
  virtual std::string name() const = 0;
  /// Frees what was saved; a later apply() raises RuntimeError.
  virtual void release() {}

  std::vector<Edge> edges;
  std::vector<OutputInfo> outputs;
  HookList<NodePreHook> pre_hooks;
  HookList<NodePostHook> post_hooks;
  /// Hooks of output i's tensor, run before pre_hooks. Pairs of output number and hook.
  struct TensorHook {
    int output;
    GradHook hook;
  };
  HookList<TensorHook> tensor_hooks;
  /// Where the call was made, if anomaly mode was on.
  std::string made_at;
  /// Greater for later calls: backward runs the latest first. Leaves come first of all.
  uint64_t sequence;
  /// A wrapper that the bindings keep for identity; freed by them.
  std::shared_ptr<void> python;

  int add_output(const TensorInfo& info) {
    outputs.push_back({info.sizes, info.dtype});
    return static_cast<int>(outputs.size()) - 1;
  }
};

/// Adds the incoming gradient to a leaf's `grad`.
class AccumulateGrad final : public Node {
 public:
  explicit AccumulateGrad(Tensor variable);
  TensorList apply(const TensorList& gradients) override;
  std::string name() const override { return "AccumulateGrad"; }
  Tensor variable;
  HookList<std::function<void(const Tensor&)>> after;  ///< post-accumulate hooks
};

/// The tape's side of a tensor.
struct ViewStep;
struct AutogradMeta final : AutogradMetaBase {
  std::shared_ptr<Tensor> grad = std::make_shared<Tensor>();  ///< shared with a retain_grad hook
  std::shared_ptr<Node> grad_fn;                              ///< null for leaves
  int output = 0;                                             ///< which output of grad_fn this is
  std::weak_ptr<Node> accumulate;  ///< a leaf's AccumulateGrad, while a graph holds it
  HookList<GradHook> leaf_hooks;
  HookList<std::function<void(const Tensor&)>> after_accumulate;
  bool retains_grad = false;

  // Of a view:
  Tensor base;                  ///< the tensor that is no view; undefined if this is none
  std::vector<ViewStep> steps;  ///< how the view is made from the base
  uint32_t seen_version = 0;    ///< of the version counter, when grad_fn was set
  /// Why in-place writes to this view are refused, or empty.
  std::string in_place_refusal;
};

/// The meta of a tensor, or nullptr.
inline AutogradMeta* find_meta(const Tensor& tensor) {
  return static_cast<AutogradMeta*>(tensor->autograd.get());
}
/// The meta of a tensor, made if it has none.
AutogradMeta& autograd_meta(const Tensor& tensor);

/// PyTorch's requires_grad: of a leaf as set; of others, true if they have a grad_fn.
bool requires_grad(const Tensor& tensor);
/// RuntimeError for dtypes that are not floating, and for tensors that are no leaves.
void set_requires_grad(const Tensor& tensor, bool value);
bool is_leaf(const Tensor& tensor);

/// The node that made the tensor; null for leaves. Views whose base was written since get a new
/// one.
std::shared_ptr<Node> grad_fn(const Tensor& tensor);
/// Where the gradient of the tensor goes; a null edge if it needs none.
Edge gradient_edge(const Tensor& tensor);
/// The gradient, or undefined.
Tensor grad(const Tensor& tensor);
void set_grad(const Tensor& tensor, const Tensor& gradient);

/// Hooks of a tensor, by PyTorch's rules; the handle removes them.
int64_t register_hook(const Tensor& tensor, GradHook hook);
void remove_hook(const Tensor& tensor, int64_t handle);
int64_t register_post_accumulate_hook(const Tensor& tensor,
                                      std::function<void(const Tensor&)> hook);
void remove_post_accumulate_hook(const Tensor& tensor, int64_t handle);
void retain_grad(const Tensor& tensor);

}  // namespace flambeau
