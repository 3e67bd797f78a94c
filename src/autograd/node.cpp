#include "autograd/node.h"

#include <atomic>

#include "autograd/engine.h"
#include "autograd/grad_mode.h"
#include "autograd/in_place_view.h"
#include "autograd/program_node.h"
#include "base/error.h"
#include "base/object_pool.h"
#include "ops/registry.h"

namespace flambeau {
namespace {

std::atomic<uint64_t> next_sequence{0};

std::string shape_text(const TensorInfo& tensor) { return list_text(tensor.sizes); }

using Orphans = SmallVector<Edge, 16>;
/// While a node dies on this thread: where those that die with it hand their edges.
thread_local constinit Orphans* pending = nullptr;

}  // namespace

Node::Node() : sequence(next_sequence++) {
  if (!anomaly_enabled()) return;
  anomaly = std::make_unique<Anomaly>();
  if (anomaly_reports.where) anomaly->made_at = anomaly_reports.where();
  anomaly->parent = current_node();
}

Node::~Node() {
  // A long chain of nodes must not be freed by recursion: nodes that die meanwhile hand their edges
  // to the outermost.
  if (pending != nullptr) {
    for (Edge& edge : edges)
      if (edge.node != nullptr) pending->push_back(std::move(edge));
    return;
  }
  Orphans orphans;
  pending = &orphans;
  for (Edge& edge : edges) edge.node.reset();
  while (!orphans.empty()) {
    const Edge edge = std::move(orphans.back());
    orphans.pop_back();
  }
  pending = nullptr;
}

AccumulateGrad::AccumulateGrad(Tensor v) : variable(std::move(v)) {
  sequence = UINT64_MAX;
  add_output(variable.info());
}

namespace {

GradCell& grad_cell(AutogradMeta& meta) {
  const std::lock_guard lock(meta.mutex);
  if (meta.grad == nullptr) meta.grad = std::make_shared<GradCell>();
  return *meta.grad;
}

/// Makes the cell's value its sum with `gradient`. That may be recorded, for which Python may run:
/// so no lock is held meanwhile, and another thread may be first.
void keep_gradient(GradCell& cell, const Tensor& gradient) {
  while (true) {
    Tensor present;
    {
      const std::lock_guard lock(cell.mutex);
      present = cell.value;
    }
    Tensor sum =
        present.defined() ? add_gradients(present, as_addend(gradient, present)) : gradient;
    const std::lock_guard lock(cell.mutex);
    if (!cell.value.is_same(present)) continue;
    std::swap(cell.value, sum);
    return;
  }
}

/// Adds to a leaf's gradient. The first one has the strides of a dense leaf, else it is row-major
/// (PyTorch's "default gradient layouts"); one that nobody else holds may be kept as it is.
void accumulate(GradCell& cell, const Tensor& gradient, const Tensor& leaf) {
  if (!grad_enabled()) {
    const std::lock_guard lock(cell.mutex);
    if (cell.value.defined()) {
      add_in_place(cell.value, as_addend(gradient, cell.value));
      return;
    }
    const bool mine = gradient->wrapper() == nullptr && gradient->use_count() == 1 &&
                      gradient->storage->owners() == 1;
    const bool is_row_major =
        leaf.is_contiguous() || !ops::is_dense(leaf.info()) || leaf.sizes() != gradient.sizes();
    const bool fits =
        is_row_major ? gradient.is_contiguous() : gradient.strides() == leaf.strides();
    if (mine && fits)
      cell.value = gradient;
    else
      cell.value = is_row_major ? clone_data(gradient) : clone_data(gradient, leaf.strides());
    return;
  }
  keep_gradient(cell, gradient);
}

}  // namespace

TensorList AccumulateGrad::apply(const TensorList& gradients) {
  // A leaf may have been frozen since the graph was made.
  if (!gradients[0].defined() || !requires_grad(variable)) return {};
  AutogradMeta& meta = autograd_meta(variable);
  accumulate(grad_cell(meta), gradients[0], variable);
  for (const auto& hook : meta.after_accumulate.snapshot()) hook(variable);
  return {};
}

AutogradMeta& autograd_meta(const Tensor& tensor) {
  if (AutogradMeta* meta = find_meta(tensor)) return *meta;
  return static_cast<AutogradMeta&>(tensor->set_autograd(std::make_unique<AutogradMeta>()));
}

bool requires_grad(const Tensor& tensor) {
  if (tensor->requires_grad) return true;
  const AutogradMeta* meta = find_meta(tensor);
  if (meta == nullptr) return false;
  if (!meta->base.defined()) return meta->grad_fn != nullptr;
  if (requires_grad(meta->base)) return true;
  const std::lock_guard lock(meta->mutex);
  return meta->grad_fn != nullptr;
}

bool is_leaf(const Tensor& tensor) { return grad_fn(tensor) == nullptr; }

void set_requires_grad(const Tensor& tensor, bool value) {
  check(!value || is_inexact(tensor.dtype()), [&] {
    return concat(
        "requires_grad: only Tensors of floating point and complex dtype can require gradients, "
        "got ",
        info(tensor.dtype()).name);
  });
  check(is_leaf(tensor), [&] {
    return concat("requires_grad: you can only change requires_grad flags of leaf variables.",
                  value ? ""
                        : " If you want to use a computed variable in a subgraph that doesn't "
                          "require differentiation use var_no_grad = var.detach().");
  });
  check(!value || !tensor->is_inference || inference_mode_enabled(), [] {
    return std::string(
        "requires_grad: setting requires_grad=True on an inference tensor outside "
        "InferenceMode is not allowed.");
  });
  tensor->requires_grad = value;
}

std::string view_refusal(const Tensor& view, bool indirect) {
  const AutogradMeta& meta = *find_meta(view);
  const char* written = indirect ? "its base or another view of its base has been modified inplace"
                                 : "is being modified inplace";
  if (meta.origin == ViewOrigin::NoGrad || meta.origin == ViewOrigin::Inference) {
    const char* mode = meta.origin == ViewOrigin::NoGrad ? "no_grad" : "inference";
    return concat("a view was created in ", mode, " mode and ", written,
                  " with grad mode enabled. Such an operation is forbidden because it is "
                  "ambiguous: make both the view and the write inside ",
                  mode, " mode, or both outside.");
  }
  const std::string name = meta.grad_fn == nullptr ? "a function" : meta.grad_fn->name();
  const std::string subject =
      concat("output ", meta.output, " of ", name, " is a view and ", written, ". ");
  if (meta.origin == ViewOrigin::SeveralResults)
    return concat(subject,
                  "It is the output of a function that returns multiple views, and such functions "
                  "do not allow the output views to be modified inplace. You should replace the "
                  "inplace operation by an out-of-place one.");
  return concat(subject,
                "It was created inside a custom Function (or an input was returned as-is), whose "
                "backward an in-place write of the view would bypass, giving incorrect gradients. "
                "Clone the output of the custom Function.");
}

std::shared_ptr<Node> grad_fn(const Tensor& tensor) {
  AutogradMeta* meta = find_meta(tensor);
  if (meta == nullptr) return nullptr;
  if (!meta->base.defined()) return meta->grad_fn;
  const uint32_t version = tensor.version();
  {
    const std::lock_guard lock(meta->mutex);
    if (meta->seen_version == version) return meta->grad_fn;
    if (meta->grad_fn == nullptr && !requires_grad(meta->base)) return nullptr;
    check(meta->origin == ViewOrigin::Followed, [&] { return view_refusal(tensor, true); });
  }
  // The base, or another view of it, was written since: the history goes through the base now.
  Edge edge;
  if (requires_grad(meta->base) && !is_leaf(meta->base))
    edge = chain_edge(*steps_from_base(*meta), gradient_edge(meta->base));
  const std::lock_guard lock(meta->mutex);
  if (meta->seen_version != version) {
    if (edge.node != nullptr) {
      meta->grad_fn = edge.node;
      meta->output = edge.index;
    }
    meta->seen_version = version;
  }
  return meta->grad_fn;
}

Edge gradient_edge(const Tensor& tensor) {
  if (std::shared_ptr<Node> node = grad_fn(tensor)) return {node, find_meta(tensor)->output};
  if (!tensor->requires_grad) return {};
  AutogradMeta& meta = autograd_meta(tensor);
  {
    const std::lock_guard lock(meta.mutex);
    if (std::shared_ptr<Node> node = meta.accumulate.lock()) return {std::move(node), 0};
  }
  auto fresh = std::allocate_shared<AccumulateGrad>(PoolAllocator<AccumulateGrad>(), tensor);
  const std::lock_guard lock(meta.mutex);
  std::shared_ptr<Node> node = meta.accumulate.lock();
  if (node == nullptr) meta.accumulate = node = std::move(fresh);
  return {std::move(node), 0};
}

void forget_old_accumulate(const Tensor& leaf) {
  AutogradMeta* meta = find_meta(leaf);
  if (meta == nullptr) return;
  std::shared_ptr<Node> node;  // ends after the lock: hooks of Python's may end with it
  const std::lock_guard lock(meta->mutex);
  node = meta->accumulate.lock();
  if (node == nullptr) return;
  const OutputInfo& expected = node->outputs[0];
  if (expected.dtype != leaf.dtype() || expected.sizes != leaf.sizes()) meta->accumulate.reset();
}

void set_history(const Tensor& tensor, const std::shared_ptr<Node>& node, int output) {
  AutogradMeta& meta = autograd_meta(tensor);
  meta.grad_fn = node;
  meta.output = output;
  meta.seen_version = tensor.version();
  tensor->requires_grad = false;
  if (!meta.retained) return;
  // The gradient that is kept is that of the tensor as it is now.
  meta.retained();
  meta.retained = nullptr;
  retain_grad(tensor);
}

void clear_history(const Tensor& tensor) {
  tensor->requires_grad = false;
  AutogradMeta* meta = find_meta(tensor);
  if (meta == nullptr) return;
  meta->grad_fn = nullptr;
  meta->output = 0;
}

Tensor grad(const Tensor& tensor) {
  const AutogradMeta* meta = find_meta(tensor);
  if (meta == nullptr) return {};
  const std::lock_guard lock(meta->mutex);
  if (meta->grad == nullptr) return {};
  const std::lock_guard cell_lock(meta->grad->mutex);
  return meta->grad->value;
}

void set_grad(const Tensor& tensor, const Tensor& gradient) {
  if (gradient.defined()) {
    check<RuntimeError>(gradient.sizes() == tensor.sizes(), [&] {
      return concat("grad: assigned grad has data of a different size: got ",
                    shape_text(gradient.info()), ", expected ", shape_text(tensor.info()));
    });
    check<RuntimeError>(gradient.dtype() == tensor.dtype(), [&] {
      return concat("grad: assigned grad has data of a different type: got ",
                    info(gradient.dtype()).name, ", expected ", info(tensor.dtype()).name);
    });
    check<RuntimeError>(!gradient.is_same(tensor),
                        [] { return std::string("grad: can't assign Variable as its own grad"); });
  }
  if (!gradient.defined() && find_meta(tensor) == nullptr) return;
  GradCell& cell = grad_cell(autograd_meta(tensor));
  Tensor previous = gradient;  // Dies after the lock.
  const std::lock_guard lock(cell.mutex);
  std::swap(cell.value, previous);
}

HookHandle register_hook(const Tensor& tensor, GradHook hook, const void* origin) {
  check(requires_grad(tensor), [] {
    return std::string(
        "register_hook: cannot register a hook on a tensor that doesn't require "
        "gradient");
  });
  if (std::shared_ptr<Node> node = grad_fn(tensor))
    return node->tensor_hooks.add({find_meta(tensor)->output, std::move(hook)});
  return autograd_meta(tensor).leaf_hooks.add(std::move(hook), origin);
}

HookHandle register_post_accumulate_hook(const Tensor& tensor,
                                         std::function<void(const Tensor&)> hook,
                                         const void* origin) {
  check(requires_grad(tensor), [] {
    return std::string(
        "register_post_accumulate_grad_hook: cannot register a hook on a tensor that doesn't "
        "require gradient");
  });
  check(is_leaf(tensor), [] {
    return std::string(
        "register_post_accumulate_grad_hook: post accumulate grad hooks cannot be "
        "registered on non-leaf tensors");
  });
  return autograd_meta(tensor).after_accumulate.add(std::move(hook), origin);
}

int64_t next_hook_id() {
  static std::atomic<int64_t> last{0};
  return ++last;
}

namespace {

/// Calls visit(list) for each list of hooks that a backward runs at the leaf.
template <class Visit>
void for_hooks_of_leaf(const Tensor& leaf, const Visit& visit) {
  const AutogradMeta* const meta = find_meta(leaf);
  if (meta == nullptr) return;
  visit(meta->leaf_hooks);
  visit(meta->after_accumulate);
  std::shared_ptr<Node> node;
  {
    const std::lock_guard lock(meta->mutex);
    if (!meta->accumulate.expired()) node = meta->accumulate.lock();
  }
  if (node == nullptr) return;
  visit(node->pre_hooks);
  visit(node->post_hooks);
}

}  // namespace

std::vector<const void*> origins_of_hooks(const Tensor& leaf) {
  std::vector<const void*> origins;
  for_hooks_of_leaf(leaf, [&](const auto& hooks) {
    for (const void* origin : hooks.origins()) origins.push_back(origin);
  });
  return origins;
}

std::vector<int64_t> hooks_of_leaf(const Tensor& tensor) {
  std::vector<int64_t> numbers;
  for_hooks_of_leaf(tensor, [&](const auto& hooks) {
    if (hooks.is_unused()) return;
    for (const int64_t id : hooks.ids()) numbers.push_back(id);
  });
  return numbers;
}

void retain_grad(const Tensor& tensor) {
  check(requires_grad(tensor), [] {
    return std::string("retain_grad: can't retain_grad on Tensor that has requires_grad=False");
  });
  const std::shared_ptr<Node> node = grad_fn(tensor);
  AutogradMeta& meta = autograd_meta(tensor);
  if (node == nullptr || meta.retained) return;
  grad_cell(meta);
  meta.retained = node->retain_hooks.add({meta.output, [cell = meta.grad](const Tensor& gradient) {
                                            keep_gradient(*cell, gradient);
                                            return Tensor();
                                          }});
}

bool retains_grad(const Tensor& tensor) {
  const AutogradMeta* meta = find_meta(tensor);
  return meta != nullptr && meta->retained;
}

}  // namespace flambeau
