#include "autograd/call.h"

#include <algorithm>
#include <cctype>

#include "autograd/autocast.h"
#include "autograd/forward.h"
#include "autograd/grad_mode.h"
#include "autograd/in_place_view.h"
#include "autograd/program_node.h"
#include "autograd/recompute.h"
#include "autograd/vmap.h"
#include "base/error.h"
#include "eager/items.h"

namespace flambeau {

using Kind = Derivative::Source::Kind;
using ops::Returns;

namespace {

/// "layer_norm" -> "LayerNormBackward0"
std::string node_name(const std::string& op) {
  std::string name;
  bool upper = true;
  for (const char c : op) {
    if (c == '_') {
      upper = true;
      continue;
    }
    name += upper ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    upper = false;
  }
  return name + "Backward0";
}

const std::string& node_name(const PreparedCall& prepared) {
  const std::string*& name = prepared.plan->node_name;
  if (name == nullptr) name = &lasting_name(node_name(prepared.op->parsed.name));
  return *name;
}

const Derivative& derivative_of(const PreparedCall& prepared, uint64_t wanted) {
  const CallPlan& plan = *prepared.plan;
  if (plan.derivative == nullptr || plan.wanted != wanted) {
    plan.derivative = &plan.recipe->derivative(wanted);
    plan.wanted = wanted;
  }
  return *plan.derivative;
}

bool returns_view(const ops::Definition& op) {
  return op.returns == Returns::View || op.returns == Returns::MaybeView;
}

uint64_t wanted_inputs(const PreparedCall& prepared) {
  uint64_t wanted = 0;
  // A view shows its first input; others give their sizes or dtype.
  const size_t count = returns_view(*prepared.op) ? std::min<size_t>(1, prepared.inputs.size())
                                                  : prepared.inputs.size();
  for (size_t i = 0; i < count; ++i)
    if (is_inexact(prepared.inputs[i].dtype()) && requires_grad(prepared.inputs[i]))
      wanted |= input_bit(i);
  return wanted;
}

/// PyTorch's refusals of in-place writes, before anything is written.
void check_written(const PreparedCall& prepared, bool records) {
  const std::string& name = prepared.op->parsed.name;
  for (const Tensor& output : prepared.outputs) {
    check(!output->is_inference || inference_mode_enabled(), [&] {
      return concat(name,
                    ": inplace update to inference tensor outside InferenceMode is not "
                    "allowed. You can make a clone to get a normal tensor before doing "
                    "inplace update.");
    });
    if (!grad_enabled()) continue;
    if (prepared.form == CallForm::Out) {
      check(!records && !requires_grad(output), [&] {
        return concat(name,
                      ": functions with out=... arguments don't support automatic "
                      "differentiation, but one of the arguments requires grad.");
      });
      continue;
    }
    // Some operations are there in place alone, and have the name of that.
    check_in_place(output, name.ends_with('_') ? name : name + "_", records);
  }
}

/// Remembers that `view` is a window of `input`.
void track_view(const PreparedCall& prepared, const Tensor& input, const Tensor& view,
                bool several) {
  if (input->is_inference || !prepared.op->differentiable ||
      (is_inexact(input.dtype()) && !is_inexact(view.dtype())))
    return;
  if (const AutogradMeta* parent = find_meta(input);
      !prepared.op->from_storage.empty() && parent != nullptr && parent->base.defined() &&
      parent->base->storage == view->storage && parent->base.dtype() == view.dtype() &&
      parent->origin == ViewOrigin::Followed) {
    // It may show what `input` does not.
    const Tensor& base = parent->base;
    const ops::Argument arguments[] = {base.impl(), view.sizes(), view.strides(),
                                       Scalar(view->offset)};
    return track_view(prepare(*prepared.op, arguments), base, view, several);
  }
  AutogradMeta& meta = autograd_meta(view);
  begin_at(meta, input);
  meta.seen_version = view.version();
  if (!is_inexact(input.dtype())) return;
  if (inference_mode_enabled())
    meta.origin = ViewOrigin::Inference;
  else if (!grad_enabled())
    meta.origin = ViewOrigin::NoGrad;
  if (several) {
    meta.origin = ViewOrigin::SeveralResults;
    return;
  }
  // The numbers of ops that give views are part of their plan's key.
  std::shared_ptr<const void>& known = prepared.plan->followed;
  if (known == nullptr) {
    const Derivative& derivative = prepared.plan->recipe->derivative(input_bit(0));
    // The step refers to a plan that is not the one that keeps it.
    const auto plan = std::make_shared<CallPlan>(*prepared.plan);
    const std::span<const int64_t> integers = backward_integers(prepared, {&view, 1});
    plan->backward_integers = Ints(integers.begin(), integers.end());
    known = std::make_shared<const ViewSteps>(ViewSteps{ViewStep{
        .plan = plan,
        .forward = on_first_input(*derivative.forward, plan->integers.size()),
        .derivative = &derivative,
        .numbers = prepared.numbers,
        .backward_integers = {plan->backward_integers.data(), plan->backward_integers.size()},
        .result = view.info(),
        .name = &node_name(prepared)}});
  }
  auto step = std::static_pointer_cast<const ViewSteps>(known);
  if (meta.steps == nullptr) {
    meta.steps = std::move(step);
  } else {
    auto steps = std::make_shared<ViewSteps>(*meta.steps);
    steps->insert(steps->end(), step->begin(), step->end());
    meta.steps = std::move(steps);
  }
}

/// The node of a recorded call. `kept` are the inputs as they were before the call wrote any.
std::shared_ptr<ProgramNode> make_node(const PreparedCall& prepared, const Derivative& derivative,
                                       std::span<const Tensor> kept, const Results& results) {
  auto node = std::allocate_shared<ProgramNode>(PoolAllocator<ProgramNode>(), node_name(prepared));
  node->owner = prepared.plan;
  node->derivative = &derivative;
  node->numbers = prepared.numbers;
  node->integers = backward_integers(prepared, {results.data(), results.size()});
  for (const int target : derivative.targets)
    node->edges.push_back(gradient_edge(prepared.inputs[static_cast<size_t>(target)]));
  for (const Tensor& result : results) node->add_output(result.info());
  if (derivative.saves()) {
    node->saved.reserve(derivative.sources.size());
    for (const Derivative::Source& source : derivative.sources)
      node->saved.push_back(source.kind == Kind::Input
                                ? SavedTensor(kept[static_cast<size_t>(source.index)], false)
                                : SavedTensor());
  }
  return node;
}

/// Stands where the derivative of an operation is missing.
class MissingDerivative final : public Node {
 public:
  explicit MissingDerivative(const std::string& op) : op_(lasting_name(op)) {}
  TensorList apply(const TensorList& /*gradients*/) override {
    throw NotImplementedError(concat("the derivative for '", op_, "' is not implemented."));
  }
  std::string name() const override { return "NotImplemented"; }

 private:
  const std::string& op_;
};

/// True if a gradient would have to be what the op cannot say.
bool misses_gradient(const PreparedCall& prepared, std::span<const ops::Argument> arguments) {
  const ops::Definition& op = *prepared.op;
  size_t next = 0;  // of the inputs: the arguments' tensors in order
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (const auto* list = std::get_if<ops::TensorRefs>(&arguments[i])) {
      next += static_cast<size_t>(std::count_if(list->begin(), list->end(),
                                                [](const auto* info) { return info != nullptr; }));
      continue;
    }
    const auto* const one = std::get_if<const TensorInfo*>(&arguments[i]);
    if (one == nullptr || *one == nullptr) continue;
    const Tensor& input = prepared.inputs[next++];
    const auto& missing = op.missing_gradients;
    if (std::find(missing.begin(), missing.end(), op.parsed.parameters[i].name) != missing.end() &&
        is_inexact(input.dtype()) && requires_grad(input))
      return true;
  }
  return false;
}

void set_missing_history(const PreparedCall& prepared, const Results& results) {
  const auto node = std::make_shared<MissingDerivative>(prepared.op->parsed.name);
  for (const Tensor& input : prepared.inputs) node->edges.push_back(gradient_edge(input));
  for (const Tensor& result : results) {
    const int output = node->add_output(result.info());
    if (is_inexact(result.dtype())) set_history(result, node, output);
  }
}

/// What the call computed and its backward needs.
void save_results(ProgramNode& node, const Results& results, const std::vector<Tensor>& saved) {
  if (node.saved.empty()) return;
  const auto& sources = node.derivative->sources;
  for (size_t i = 0; i < sources.size(); ++i) {
    const auto index = static_cast<size_t>(sources[i].index);
    if (sources[i].kind == Kind::Result) node.saved[i] = SavedTensor(results[index], true);
    if (sources[i].kind == Kind::Saved) node.saved[i] = SavedTensor(saved[index], false);
  }
}

/// Copies those of `inputs` that the call writes and `derivative` (if any) reads.
void keep_written(const PreparedCall& prepared, const Derivative* derivative,
                  SmallVector<Tensor, 4>& inputs) {
  if (derivative == nullptr) return;
  for (const Derivative::Source& source : derivative->sources) {
    if (source.kind != Kind::Input) continue;
    Tensor& input = inputs[static_cast<size_t>(source.index)];
    for (const Tensor& output : prepared.outputs)
      if (input.is_same(output)) input = clone_data(input);
  }
}

/// History of a tensor that the call wrote in place.
void rebase(const PreparedCall& prepared, const Tensor& written,
            const std::shared_ptr<ProgramNode>& node, int output) {
  int self_edge = -1;
  for (size_t i = 0; i < node->derivative->targets.size(); ++i)
    if (prepared.inputs[static_cast<size_t>(node->derivative->targets[i])].is_same(written))
      self_edge = static_cast<int>(i);
  rebase_history(written, node, output, self_edge);
}

/// Gives the results of the call their tangents; what was written in place has one in any case.
void carry_tangents(const PreparedCall& prepared, const Derivative& derivative,
                    std::span<const Tensor> kept, const Results& results,
                    const std::vector<Tensor>& saved, const TensorList& tangents) {
  const std::span<const Tensor> given(results.data(), results.size());
  const TensorList products = jacobian_product(
      derivative, kept, given, saved, tangents, {prepared.numbers.data(), prepared.numbers.size()},
      backward_integers(prepared, given), node_name(prepared));
  for (size_t i = 0; i < results.size(); ++i) {
    const Tensor& result = results[i];
    const bool same = std::any_of(prepared.inputs.begin(), prepared.inputs.end(),
                                  [&](const Tensor& input) { return input.is_same(result); });
    if (!prepared.outputs.empty())
      set_tangent(result,
                  products[i].defined() ? products[i] : filled(result.sizes(), result.dtype(), 0));
    else if (products[i].defined() && !same)
      set_result_tangent(result, products[i]);
  }
}

}  // namespace

Results call(const ops::Definition& op, std::span<const ops::Argument> arguments, CallForm form,
             std::span<const Tensor> out) {
  const RunLabel label(op.parsed.name);
  if (op.per_item) return call_items(op, arguments);
  if (autocast_state.enabled && !op.autocast.empty() && form == CallForm::Function) [[unlikely]] {
    const AutocastArguments cast(op.autocast, arguments);
    return call(op, cast.arguments());
  }
  if (vmap_depth > 0) [[unlikely]]
    if (std::optional<Results> results = call_batched(op, arguments, form, out)) return *results;
  const PreparedCall prepared = prepare(op, arguments, form, out);
  uint64_t wanted = 0;
  if (grad_enabled() && !inference_mode_enabled() && op.differentiable)
    wanted = wanted_inputs(prepared);
  if (!prepared.outputs.empty()) check_written(prepared, wanted != 0);

  TensorList tangents;
  uint64_t dual = 0;
  if (carries_tangents() && op.differentiable)
    dual = find_tangents({prepared.inputs.data(), prepared.inputs.size()}, tangents);
  check(dual == 0 || form != CallForm::Out, [&] {
    return concat(prepared.op->parsed.name,
                  ": functions with out=... arguments don't support forward mode AD");
  });
  const Derivative* forward = dual != 0 ? &prepared.plan->recipe->derivative(dual) : nullptr;

  const Derivative* derivative = nullptr;
  if (wanted != 0) derivative = &derivative_of(prepared, wanted);
  std::span<const Tensor> kept(prepared.inputs.data(), prepared.inputs.size());
  SmallVector<Tensor, 4> copies;
  if (!prepared.outputs.empty() && (derivative != nullptr || forward != nullptr)) {
    copies = prepared.inputs;
    keep_written(prepared, derivative, copies);
    keep_written(prepared, forward, copies);
    kept = {copies.data(), copies.size()};
  }
  std::vector<Tensor> saved;
  // Edges are taken before a write changes what the inputs' histories are.
  std::shared_ptr<ProgramNode> node;
  if (derivative != nullptr && !prepared.outputs.empty())
    node = make_node(prepared, *derivative, kept,
                     Results(prepared.outputs.begin(), prepared.outputs.end()));
  const bool forward_saves = forward != nullptr && forward->saved_count > 0;
  Results results = execute(prepared, forward_saves ? forward : derivative, &saved);

  if (returns_view(op) && prepared.outputs.empty() && !prepared.inputs.empty()) {
    const Tensor& input = prepared.inputs[0];
    for (const Tensor& result : results)
      if (!result.is_same(input) && result->storage == input->storage)
        track_view(prepared, input, result,
                   op.parsed.returns[0].type == ops::ArgumentType::TensorList);
  }
  if (inference_mode_enabled() && prepared.outputs.empty())
    for (const Tensor& result : results)
      if (!returns_view(op) || !(result->storage == prepared.inputs[0]->storage))
        result->is_inference = true;
  if (forward != nullptr) carry_tangents(prepared, *forward, kept, results, saved, tangents);
  if (!op.missing_gradients.empty() && prepared.outputs.empty() && grad_enabled() &&
      !inference_mode_enabled() && misses_gradient(prepared, arguments)) {
    set_missing_history(prepared, results);
    return results;
  }
  if (derivative == nullptr) return results;

  if (!prepared.outputs.empty()) {
    for (size_t i = 0; i < results.size(); ++i)
      if (is_inexact(results[i].dtype())) rebase(prepared, results[i], node, static_cast<int>(i));
  } else {
    node = make_node(prepared, *derivative, kept, results);
    for (size_t i = 0; i < results.size(); ++i) {
      Tensor& result = results[i];
      if (!is_inexact(result.dtype())) continue;
      const bool is_input = std::any_of(prepared.inputs.begin(), prepared.inputs.end(),
                                        [&](const Tensor& input) { return result.is_same(input); });
      if (is_input) continue;  // nothing happened (contiguous() of a row-major tensor)
      set_history(result, node, static_cast<int>(i));
    }
  }
  save_results(*node, results, saved);
  note_recomputation(prepared, *node, results);
  note_saved(node);
  return results;
}

}  // namespace flambeau
