#include "autograd/node.h"

#include <atomic>
#include <mutex>

#include "autograd/grad_mode.h"
#include "autograd/program_node.h"
#include "base/error.h"

namespace flambeau {
namespace {

std::atomic<uint64_t> next_sequence{0};

std::string shape_text(const TensorInfo& tensor) { return list_text(tensor.sizes); }

}  // namespace

Node::Node() : sequence(next_sequence++) {}

Node::~Node() {
  // A long chain of nodes must not be freed by recursion: take over the edges of nodes that only
  // this one holds.
  std::vector<std::shared_ptr<Node>> doomed;
  const auto take = [&](std::vector<Edge>& from) {
    for (Edge& edge : from)
      if (edge.node != nullptr && edge.node.use_count() == 1)
        doomed.push_back(std::move(edge.node));
    from.clear();
  };
  take(edges);
  while (!doomed.empty()) {
    const std::shared_ptr<Node> node = std::move(doomed.back());
    doomed.pop_back();
    if (node.use_count() == 1) take(node->edges);
  }
}

AccumulateGrad::AccumulateGrad(Tensor v) : variable(std::move(v)) {
  sequence = UINT64_MAX;
  add_output(variable.info());
}

TensorList AccumulateGrad::apply(const TensorList& gradients) {
  const Tensor& gradient = gradients[0];
  if (!gradient.defined()) return {};
  static std::mutex mutex;
  {
    const std::lock_guard lock(mutex);
    Tensor& grad = *autograd_meta(variable).grad;
    if (!grad.defined()) {
      const bool mine = gradient->wrapper() == nullptr && gradient->use_count() == 1 &&
                        gradient->storage->use_count() == 1 && gradient.is_contiguous();
      if (grad_enabled())
        grad = gradient;
      else
        grad = mine ? gradient : clone_data(gradient);
    } else if (grad_enabled()) {
      grad = add_gradients(grad, gradient);
    } else {
      add_in_place(grad, gradient);
    }
  }
  for (const auto& [handle, hook] : autograd_meta(variable).after_accumulate) hook(variable);
  return {};
}

AutogradMeta& autograd_meta(const Tensor& tensor) {
  if (tensor->autograd == nullptr) tensor->autograd = std::make_unique<AutogradMeta>();
  return *find_meta(tensor);
}

bool requires_grad(const Tensor& tensor) {
  if (tensor->requires_grad) return true;
  const AutogradMeta* meta = find_meta(tensor);
  if (meta == nullptr) return false;
  return meta->grad_fn != nullptr || (meta->base.defined() && grad_fn(tensor) != nullptr);
}

bool is_leaf(const Tensor& tensor) { return grad_fn(tensor) == nullptr; }

void set_requires_grad(const Tensor& tensor, bool value) {
  check(!value || is_float(tensor.dtype()), [&] {
    return concat("requires_grad: only Tensors of floating point dtype can require gradients, got ",
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

std::shared_ptr<Node> grad_fn(const Tensor& tensor) {
  AutogradMeta* meta = find_meta(tensor);
  if (meta == nullptr) return nullptr;
  if (meta->base.defined() && meta->seen_version != tensor.version()) {
    // The base, or another view of it, was written since: the history goes through the base now.
    const Edge base = requires_grad(meta->base) ? gradient_edge(meta->base) : Edge{};
    if (base.node != nullptr && !is_leaf(meta->base)) {
      const Edge edge = chain_edge(meta->steps, base);
      meta->grad_fn = edge.node;
      meta->output = edge.index;
    }
    meta->seen_version = tensor.version();
  }
  return meta->grad_fn;
}

Edge gradient_edge(const Tensor& tensor) {
  if (std::shared_ptr<Node> node = grad_fn(tensor)) return {node, find_meta(tensor)->output};
  if (!tensor->requires_grad) return {};
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  AutogradMeta& meta = autograd_meta(tensor);
  std::shared_ptr<Node> node = meta.accumulate.lock();
  if (node == nullptr) {
    node = std::make_shared<AccumulateGrad>(tensor);
    meta.accumulate = node;
  }
  return {node, 0};
}

Tensor grad(const Tensor& tensor) {
  return tensor->autograd == nullptr ? Tensor() : *find_meta(tensor)->grad;
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
  if (gradient.defined() || tensor->autograd != nullptr) *autograd_meta(tensor).grad = gradient;
}

int64_t register_hook(const Tensor& tensor, GradHook hook) {
  check(requires_grad(tensor), [] {
    return std::string(
        "register_hook: cannot register a hook on a tensor that doesn't require "
        "gradient");
  });
  if (std::shared_ptr<Node> node = grad_fn(tensor))
    return node->tensor_hooks.add({find_meta(tensor)->output, std::move(hook)});
  return autograd_meta(tensor).leaf_hooks.add(std::move(hook));
}

void remove_hook(const Tensor& tensor, int64_t handle) {
  if (std::shared_ptr<Node> node = grad_fn(tensor))
    node->tensor_hooks.remove(handle);
  else
    autograd_meta(tensor).leaf_hooks.remove(handle);
}

int64_t register_post_accumulate_hook(const Tensor& tensor,
                                      std::function<void(const Tensor&)> hook) {
  check(requires_grad(tensor) && is_leaf(tensor), [] {
    return std::string(
        "register_post_accumulate_grad_hook: post accumulate grad hooks cannot be "
        "registered on non-leaf tensors");
  });
  return autograd_meta(tensor).after_accumulate.add(std::move(hook));
}

void remove_post_accumulate_hook(const Tensor& tensor, int64_t handle) {
  autograd_meta(tensor).after_accumulate.remove(handle);
}

void retain_grad(const Tensor& tensor) {
  check(requires_grad(tensor), [] {
    return std::string("retain_grad: can't retain_grad on Tensor that has requires_grad=False");
  });
  const std::shared_ptr<Node> node = grad_fn(tensor);
  AutogradMeta& meta = autograd_meta(tensor);
  if (node == nullptr || meta.retains_grad) return;
  meta.retains_grad = true;
  node->tensor_hooks.add({meta.output, [cell = meta.grad](const Tensor& gradient) {
                            *cell = cell->defined() ? add_gradients(*cell, gradient) : gradient;
                            return Tensor();
                          }});
}

}  // namespace flambeau
