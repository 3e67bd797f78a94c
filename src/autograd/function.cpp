#include "autograd/function.h"

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "autograd/forward.h"
#include "autograd/grad_mode.h"
#include "autograd/in_place_view.h"
#include "autograd/program_node.h"
#include "base/error.h"

namespace flambeau {
namespace {

bool contains(std::span<const Tensor> tensors, const Tensor& tensor) {
  return std::any_of(tensors.begin(), tensors.end(),
                     [&](const Tensor& other) { return other.defined() && other.is_same(tensor); });
}

bool is_view(const Tensor& tensor) {
  const AutogradMeta* meta = find_meta(tensor);
  return meta != nullptr && meta->base.defined();
}

/// A view of the whole tensor, made without history.
Tensor view_of(const Tensor& tensor) {
  Tensor view = tensor.detach();
  if (tensor->is_inference) return view;
  AutogradMeta& meta = autograd_meta(view);
  begin_at(meta, tensor);
  meta.seen_version = view.version();
  meta.origin = ViewOrigin::NoGrad;
  return view;
}

}  // namespace

TensorList FunctionNode::apply(const TensorList& gradients) {
  TensorList given = gradients;
  given.resize(is_tensor_output_.size());
  if (materialize_)
    for (size_t i = 0; i < given.size(); ++i)
      if (is_tensor_output_[i] && !given[i].defined())
        given[i] = filled(outputs[i].sizes, outputs[i].dtype, 0);
  const TensorList all = backward(given);
  // More than there are arguments may come, if there is nothing in them.
  size_t count = all.size();
  while (count > is_tensor_.size() && !all[count - 1].defined()) --count;
  check(count == is_tensor_.size(), [&] {
    return concat(name(), ": returned an incorrect number of gradients (expected ",
                  is_tensor_.size(), ", got ", all.size(), ")");
  });
  TensorList result;
  for (size_t i = 0; i < is_tensor_.size(); ++i) {
    check(is_tensor_[i] || !all[i].defined(), [&] {
      return concat(name(), ": returned a gradient different from None at position ", i + 1,
                    ", but the corresponding forward input was not a Variable");
    });
    if (is_tensor_[i]) result.push_back(all[i]);
  }
  return result;
}

void FunctionNode::release() { release_all(saved_, mutex_); }

TensorList FunctionNode::saved_tensors() {
  SmallVector<Tensor, 6> tensors;
  const size_t count = [&] {
    const std::lock_guard lock(mutex_);
    return saved_.size();
  }();
  unpack_all(saved_, count, mutex_, shared_from_this(), tensors);
  return {tensors.begin(), tensors.end()};
}

bool FunctionNode::begin(std::span<const Tensor> arguments) {
  bool any = false;
  for (const Tensor& argument : arguments) {
    is_tensor_.push_back(argument.defined());
    needs_.push_back(argument.defined() && requires_grad(argument));
    any |= needs_.back();
  }
  if (carries_tangents()) {
    bool dual = false;
    for (const Tensor& argument : arguments) {
      tangents_.push_back(argument.defined() ? tangent(argument) : Tensor());
      dual |= tangents_.back().defined();
    }
    if (!dual) tangents_.clear();
  }
  const bool recorded = any && grad_enabled() && !inference_mode_enabled();
  if (recorded)
    for (const Tensor& argument : arguments)
      if (argument.defined()) edges.push_back(gradient_edge(argument));
  return recorded;
}

void FunctionNode::add_outputs(const TensorList& outputs) {
  for (const Tensor& output : outputs) {
    is_tensor_output_.push_back(output.defined());
    if (output.defined())
      add_output(output.info());
    else
      this->outputs.emplace_back();
  }
}

TensorList FunctionNode::finish(std::span<const Tensor> arguments, TensorList outputs,
                                const FunctionMarks& marks, bool recorded) {
  for (const Tensor& tensor : marks.dirty)
    check(contains(outputs, tensor), [&] {
      return concat(name(),
                    ": some elements marked as dirty during the forward method were not returned "
                    "as output. The inputs that are modified inplace must all be outputs of the "
                    "Function.");
    });
  materialize_ = marks.materialize;
  add_outputs(outputs);
  std::vector<Tensor> views;
  size_t differentiable_count = 0;
  for (size_t i = 0; i < outputs.size(); ++i) {
    Tensor& output = outputs[i];
    if (!output.defined()) continue;
    const bool is_input = contains(arguments, output);
    const bool is_dirty = contains(marks.dirty, output);
    const bool differentiable =
        recorded && !contains(marks.non_differentiable, output) && is_inexact(output.dtype());
    output = finish_output(output, static_cast<int>(i), is_input, is_dirty, differentiable,
                           outputs.size(), arguments);
    if (differentiable) ++differentiable_count;
    if (is_view(output) && !(is_input && is_dirty)) {
      find_meta(output)->origin = ViewOrigin::CustomFunction;
      views.push_back(output);
    }
  }
  if (differentiable_count > 1)
    for (const Tensor& view : views) find_meta(view)->origin = ViewOrigin::SeveralResults;
  if (!tangents_.empty()) {
    const TensorList given = std::exchange(tangents_, {});
    const TensorList products = jvp(given);
    check(products.size() == outputs.size(), [&] {
      return concat(name(), ": jvp returned an incorrect number of tangents (expected ",
                    outputs.size(), ", got ", products.size(), ")");
    });
    for (size_t i = 0; i < outputs.size(); ++i)
      if (outputs[i].defined() && products[i].defined())
        contains(marks.dirty, outputs[i]) ? set_tangent(outputs[i], products[i])
                                          : set_result_tangent(outputs[i], products[i]);
  }
  if (recorded)
    for (const Tensor& tensor : marks.to_save) {
      if (!tensor.defined()) {
        saved_.emplace_back();
        continue;
      }
      const AutogradMeta* meta = find_meta(tensor);
      saved_.emplace_back(tensor, meta != nullptr && meta->grad_fn.get() == this);
    }
  return outputs;
}

Tensor FunctionNode::finish_output(const Tensor& output, int number, bool is_input, bool is_dirty,
                                   bool differentiable, size_t output_count,
                                   std::span<const Tensor> arguments) {
  if (is_dirty) output.bump_version("mark_dirty");
  if (!differentiable) {
    if (is_input && !is_dirty && !requires_grad(output)) return view_of(output);
    if (is_input && requires_grad(output)) return output.detach();
    if (!is_view(output)) clear_history(output);
    return output;
  }
  const std::shared_ptr<Node> self = shared_from_this();
  if (is_dirty) {
    const AutogradMeta* meta = find_meta(output);
    const bool leaf = is_leaf(output) && requires_grad(output);
    check(!leaf && !(is_view(output) && meta->base->requires_grad && is_leaf(meta->base)), [&] {
      return concat(name(), is_view(output) ? ": a view of" : ":",
                    " a leaf Variable that requires grad has been used in an in-place operation.");
    });
    if (!is_input)
      warn(
          "Only input Tensors should be given to ctx.mark_dirty(). If a Tensor is not an input, "
          "there is no need to pass it to mark_dirty().");
    check(!is_view(output) || output_count == 1, [&] {
      return concat(name(),
                    ": a Function that modifies an input in place, which is a view of another "
                    "Tensor, cannot return more than one Tensor");
    });
    check(!is_view(output) || meta->origin == ViewOrigin::Followed,
          [&] { return concat(name(), ": ", view_refusal(output, false)); });
    int self_edge = -1;
    int edge = 0;
    for (const Tensor& argument : arguments) {
      if (!argument.defined()) continue;
      if (argument.is_same(output)) self_edge = edge;
      ++edge;
    }
    rebase_history(output, self, number, self_edge);
    return output;
  }
  Tensor result = is_input ? view_of(output) : output;
  set_history(result, self, number);
  return result;
}

TensorList FunctionNode::jvp(const TensorList& /*tangents*/) {
  throw NotImplementedError(
      concat(name(), ": forward mode AD needs a jvp, which this function does not define"));
}

std::string function_name(const std::type_info& type) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(
      abi::__cxa_demangle(type.name(), nullptr, nullptr, &status), &std::free);
  std::string name = status == 0 ? text.get() : type.name();
  const size_t colon = name.rfind(':');
  return colon == std::string::npos ? name : name.substr(colon + 1);
}

}  // namespace flambeau
