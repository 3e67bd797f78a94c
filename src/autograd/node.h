#pragma once
// The tape: a graph of nodes, each of which turns the gradients of what a call returned into those
// of what it was given.

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "autograd/hook_list.h"
#include "base/small_vector.h"
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

/// Where a call was made, kept in anomaly mode.
struct Anomaly {
  std::string made_at;           ///< the user's lines; empty where nobody knows
  std::shared_ptr<Node> parent;  ///< the node whose backward made the call, if one did
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
  /// The only gradient of apply() added to `sum`, in its memory if `in_place`; undefined if the
  /// node does not do that better than its caller. Not for batches.
  virtual Tensor apply_onto(const TensorList& /*gradients*/, const Tensor& /*sum*/,
                            bool /*in_place*/) {
    return {};
  }
  /// "AddBackward0"
  virtual std::string name() const = 0;
  /// Whether apply() heeds gradient_batch(). Of others, it is called for each member of a batch.
  virtual bool takes_batches() const { return false; }
  /// Frees what was saved; a later apply() raises RuntimeError.
  virtual void release() {}

  SmallVector<Edge, 2> edges;
  SmallVector<OutputInfo, 1> outputs;
  /// Hooks of the tensor that is output i run first, then those that keep its gradient
  /// (retain_grad), then pre_hooks.
  struct TensorHook {
    int output;
    GradHook hook;
  };
  HookList<TensorHook> tensor_hooks;
  HookList<TensorHook> retain_hooks;
  HookList<NodePreHook> pre_hooks;
  HookList<NodePostHook> post_hooks;
  std::unique_ptr<Anomaly> anomaly;  ///< null unless anomaly mode was on
  /// Greater for later calls: backward runs the latest first. Leaves come first of all.
  uint64_t sequence;
  /// What a front end hangs on the node.
  std::shared_ptr<void> metadata;

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
  std::string name() const override { return "torch::autograd::AccumulateGrad"; }
  Tensor variable;
};

/// A gradient that any thread may read and write. `mutex` is never held while Python can run.
struct GradCell {
  std::mutex mutex;
  Tensor value;
};

/// How a view came to be, where that forbids to follow in-place writes.
enum class ViewOrigin : uint8_t {
  Followed,        ///< it does not
  NoGrad,          ///< made in no_grad mode
  Inference,       ///< made in inference mode
  SeveralResults,  ///< by a function that returns several views
  CustomFunction,  ///< by a custom function, whose backward must not be bypassed
};

/// What forward mode hangs on a tensor (autograd/forward.h).
struct Tangent {
  Tensor value;
  uint64_t level = 0;    ///< that it was made in; it does not count in others
  uint32_t version = 0;  ///< of a view, when it was made
};

/// What a tensor has been in turn, by in-place forms of views.
struct BaseGeometries {
  struct Window {
    TensorInfo info;
    int64_t offset;  ///< in elements of the storage
  };
  std::vector<Window> known;  ///< all different, the first one from the beginning
  uint32_t current = 0;
};

/// The tape's side of a tensor.
struct ViewStep;
using ViewSteps = std::vector<ViewStep>;
struct AutogradMeta final : AutogradMetaBase {
  /// Guards `grad`, `accumulate`, and what grad_fn() makes anew.
  mutable std::mutex mutex;
  std::shared_ptr<GradCell> grad;  ///< null until a gradient comes or is waited for
  std::shared_ptr<Node> grad_fn;   ///< null for leaves
  int output = 0;                  ///< which output of grad_fn this is
  std::weak_ptr<Node> accumulate;  ///< a leaf's AccumulateGrad, while a graph holds it
  HookList<GradHook> leaf_hooks;
  HookList<std::function<void(const Tensor&)>> after_accumulate;
  std::shared_ptr<const Tangent> tangent;  ///< guarded by the mutex
  HookHandle retained;  ///< not null after retain_grad: takes the hook off grad_fn

  // Of a view:
  Tensor base;  ///< the tensor that is no view; undefined if this is none
  std::shared_ptr<const ViewSteps> steps;  ///< how the view is made from the base
  uint32_t geometry = 0;                   ///< of the base, when the steps began there
  uint32_t seen_version = 0;               ///< of the version counter, when grad_fn was set
  ViewOrigin origin = ViewOrigin::Followed;

  // Of a base:
  std::unique_ptr<BaseGeometries> geometries;  ///< null: it never became another window
};

/// The meta of a tensor, or nullptr.
inline AutogradMeta* find_meta(const Tensor& tensor) {
  return static_cast<AutogradMeta*>(tensor->autograd());
}
/// The meta of a tensor, made if it has none.
AutogradMeta& autograd_meta(const Tensor& tensor);

/// PyTorch's requires_grad: of a leaf as set, of others true if they have a grad_fn; of a view,
/// also if its base requires it.
bool requires_grad(const Tensor& tensor);
/// RuntimeError for dtypes that are not floating, and for tensors that are no leaves.
void set_requires_grad(const Tensor& tensor, bool value);
bool is_leaf(const Tensor& tensor);

/// The node that made the tensor; null for leaves. Views whose base was written since get a new
/// one; RuntimeError for those that cannot be followed.
std::shared_ptr<Node> grad_fn(const Tensor& tensor);
/// Where the gradient of the tensor goes; a null edge if it needs none.
Edge gradient_edge(const Tensor& tensor);
/// Of a leaf that was given other data: graphs from now on have a node that expects its dtype and
/// sizes, though older ones still hold the one that expected others.
void forget_old_accumulate(const Tensor& leaf);
/// The gradient, or undefined.
Tensor grad(const Tensor& tensor);
void set_grad(const Tensor& tensor, const Tensor& gradient);

/// The call of node `node` gave `tensor` as its output number `output`.
void set_history(const Tensor& tensor, const std::shared_ptr<Node>& node, int output);
/// Forgets how the tensor came to be.
void clear_history(const Tensor& tensor);
/// Why an in-place write of a view, or (`indirect`) of its base, cannot be followed.
std::string view_refusal(const Tensor& view, bool indirect);

/// Hooks of a tensor, by PyTorch's rules; `origin` is what a front end made the hook of.
HookHandle register_hook(const Tensor& tensor, GradHook hook, const void* origin = nullptr);
HookHandle register_post_accumulate_hook(const Tensor& tensor,
                                         std::function<void(const Tensor&)> hook,
                                         const void* origin = nullptr);
/// What a leaf's hooks of both kinds were made of.
std::vector<const void*> origins_of_hooks(const Tensor& leaf);
/// The numbers of a leaf's hooks of both kinds: others whenever its hooks are others.
std::vector<int64_t> hooks_of_leaf(const Tensor& tensor);
void retain_grad(const Tensor& tensor);
bool retains_grad(const Tensor& tensor);

}  // namespace flambeau
