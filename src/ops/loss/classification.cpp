// Losses of class scores and probabilities.

#include <algorithm>

#include "ir/core_function.h"
#include "ops/loss/loss.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

/// The axis of classes: 1, or 0 for a single row.
int class_axis(const TensorInfo& input) { return input.dim() == 1 ? 0 : 1; }
bool has_probabilities(const Call& call) { return is_float(call.tensor("target").dtype); }

void check_classes(const Call& call, bool probabilities_allowed) {
  const TensorInfo& input = call.tensor("input");
  const TensorInfo& target = call.tensor("target");
  check(input.dim() >= 1 && is_float(input.dtype), [&] {
    return concat(call.name(), ": expected a float input of scores for classes, got ",
                  info(input.dtype).name, " of shape ", list_text(input.sizes));
  });
  const auto axis = static_cast<size_t>(class_axis(input));
  if (const TensorInfo* weight = call.optional_tensor("weight"))
    check(weight->numel() == input.sizes[axis] && weight->dim() == 1, [&] {
      return concat(
          call.name(), ": weight tensor should be defined either for all ", input.sizes[axis],
          " classes or no classes but got weight tensor of shape: ", list_text(weight->sizes));
    });
  if (has_probabilities(call) && probabilities_allowed) {
    check(target.sizes == input.sizes, [&] {
      return concat(call.name(), ": target of probabilities must have the shape of the input ",
                    list_text(input.sizes), ", got ", list_text(target.sizes));
    });
    return;
  }
  check(target.dtype == DType::Int64 || target.dtype == DType::UInt8, [&] {
    return concat(call.name(), ": expected scalar type Long for target but found ",
                  info(target.dtype).name);
  });
  check<ValueError>(input.dim() == 1 || target.dim() == 0 || input.sizes[0] == target.sizes[0],
                    [&] {
                      return concat(call.name(), ": Expected input batch_size (", input.sizes[0],
                                    ") to match target batch_size (", target.sizes[0], ").");
                    });
  Ints wanted = input.sizes;
  std::copy(wanted.begin() + axis + 1, wanted.end(), wanted.begin() + axis);
  wanted.pop_back();
  check(target.sizes == wanted, [&] {
    return concat(call.name(), ": Expected target size ", list_text(wanted), ", got ",
                  list_text(target.sizes));
  });
}
void class_loss_shape(const Call& call, ResultInfos& results, bool probabilities_allowed) {
  check_classes(call, probabilities_allowed);
  const TensorInfo& input = call.tensor("input");
  Ints sizes = input.sizes;
  const auto axis = static_cast<size_t>(class_axis(input));
  std::copy(sizes.begin() + axis + 1, sizes.end(), sizes.begin() + axis);
  sizes.pop_back();
  loss_result(call, results, input.dtype, sizes);
}
void check_targets(HostCall& host) {
  const Call& call = host.call();
  if (has_probabilities(call)) return;
  const TensorInfo& input = call.tensor("input");
  const int64_t classes = input.sizes[static_cast<size_t>(class_axis(input))];
  const std::optional<int64_t> bad =
      find_outside(host, "target", 0, classes, call.integer("ignore_index"));
  check<IndexError>(!bad, [&] {
    return concat(call.name(), ": Target ", *bad, " is out of bounds for ", classes, " classes.");
  });
}

/// A vector of one value a class along axis `axis` of arrays of rank `rank`.
Expr along_classes(const Expr& weight, int axis, int rank) {
  Expr result = weight;
  for (int i = axis + 1; i < rank; ++i) result = unsqueeze(result, result.rank());
  return result;
}

/// The loss for class indices, from log-probabilities. Which class is the target's is found by
/// comparison in the same pass over the row, so that the gradient needs no scatter.
void lower_indices(Lowering& l, const Expr& logp, int axis) {
  const Expr target = unsqueeze(convert(l["target"], DType::Int64), axis);
  const double ignored = static_cast<double>(l.call().integer("ignore_index"));
  const Expr counted = ne(target, ignored);
  const Ints axes{axis};
  const Expr chosen = logical_and(eq(iota(logp.builder(), logp.shape(), axis), target), counted);
  const bool weighted = l["weight"].valid();
  const Expr weight = weighted ? along_classes(l["weight"], axis, logp.rank())
                               : constant(logp, logp.dtype(), Scalar(1));
  const Expr row_weight = weighted
                              ? sum(select(chosen, broadcast_to(weight, logp.shape()), 0.0), axes)
                              : convert(counted, logp.dtype());
  Expr loss = -sum(select(chosen, weighted ? logp * weight : logp, 0.0), axes);
  const auto& parameters = l.call().definition().parsed.parameters;
  const bool smooths =
      parameters.back().name == "label_smoothing" &&
      !l.call().definition().is_special("label_smoothing", l.call().number("label_smoothing"));
  if (smooths) {
    const Expr amount = l["label_smoothing"];
    const Expr all_classes = -sum(weighted ? logp * weight : logp, axes);
    const Expr spread = select(counted, all_classes, 0.0) / count(logp, axes, logp.dtype());
    loss = loss * (1.0 - amount) + spread * amount;
  }
  const std::string& reduction = l.call().string("reduction");
  const Ints every = all_axes(loss.rank());
  if (reduction == "none") return l.result(squeeze(loss, axes));
  const Expr total = sum(loss, every, false);
  l.result(reduction == "sum" ? total : total / sum(row_weight, every, false));
}

const Register kCrossEntropy({
    .schema = "cross_entropy(Tensor input, Tensor target, Tensor? weight=None, bool? "
              "size_average=None, int ignore_index=-100, bool? reduce=None, str "
              "reduction=\"mean\", float label_smoothing=0.0) -> Tensor",
    .doc = "-log(softmax(input))[target] over the classes (axis 1, or 0 of a vector), for class "
           "indices or probabilities; the mean weighs each row by its class and leaves out "
           "ignore_index. label_smoothing mixes the target with the uniform distribution.",
    .variants = {.function = false, .method = false, .aliases = {"nn.functional.cross_entropy"}},
    .canonical = resolve_reduction,
    .shape = [](const Call& call, ResultInfos& r) { class_loss_shape(call, r, true); },
    .lower =
        [](Lowering& l) {
          const Expr x = l["input"];
          const int axis = class_axis(l.call().tensor("input"));
          const Expr logp = log_softmax(x, axis);
          if (!has_probabilities(l.call())) return lower_indices(l, logp, axis);
          Expr target = convert(l["target"], logp.dtype());
          const Ints axes{axis};
          const Scalar smoothing = l.call().number("label_smoothing");
          if (!l.call().definition().is_special("label_smoothing", smoothing)) {
            const Expr amount = l["label_smoothing"];
            target = target * (1.0 - amount) + amount / count(x, axes, x.dtype());
          }
          Expr terms = logp * target;
          if (l["weight"].valid()) terms = terms * along_classes(l["weight"], axis, x.rank());
          const Expr loss = -sum(terms, axes, false);
          l.result(reduced(l, loss));
        },
    .checks =
        [](HostCall& host) {
          const double smoothing = host.call().real("label_smoothing");
          check(smoothing >= 0 && smoothing <= 1, [&] {
            return concat(host.call().name(),
                          "(): label_smoothing must be between 0.0 and 1.0. Got: ", smoothing);
          });
          check_targets(host);
        },
    .special = {{"label_smoothing", {0}}},
    .autocast = "float32",
    .samples =
        [] {
          const SampleTensor w = t({4}, 0.5, 2);
          SampleTensor weight = w;
          weight.grad = false;
          return SampleList{
              {{t({3, 4}), indices({3}, 4)}},
              {{t({4}), indices({}, 4)}},
              {{t({2, 4, 3}), indices({2, 3}, 4), weight}, {{"reduction", std::string("none")}}},
              {{t({3, 4}), indices({3}, 4), weight},
               {{"label_smoothing", 0.2}, {"ignore_index", Scalar(1)}}},
              {{t({3, 4}), t({3, 4}, 0.1, 1), weight}, {{"label_smoothing", 0.2}}},
              {{t({3, 4}, 90, 100), indices({3}, 4)}, {{"reduction", std::string("sum")}}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2, 3}), typed({2}, DType::Int64, 9, 9)}}, "IndexError", "Target 9 is out of"},
              {{{t({2, 3}), indices({3}, 3)}}, "ValueError", "target batch_size (3)"},
              {{{t({2, 3}), indices({2}, 3)}, {{"label_smoothing", 2.0}}},
               "RuntimeError",
               "label_smoothing must be between"}};
        },
});
const Register kNllLoss({
    .schema = "nll_loss(Tensor input, Tensor target, Tensor? weight=None, bool? "
              "size_average=None, int ignore_index=-100, bool? reduce=None, str "
              "reduction=\"mean\") -> Tensor",
    .doc = "-input[target] over the classes (axis 1), where input holds log-probabilities.",
    .variants = {.function = false, .method = false, .aliases = {"nn.functional.nll_loss"}},
    .canonical = resolve_reduction,
    .shape = [](const Call& call, ResultInfos& r) { class_loss_shape(call, r, false); },
    .lower =
        [](Lowering& l) { lower_indices(l, l["input"], class_axis(l.call().tensor("input"))); },
    .checks = check_targets,
    .autocast = "float32",
    .samples =
        [] {
          SampleTensor weight = t({4}, 0.5, 2);
          weight.grad = false;
          return SampleList{{{t({3, 4}), indices({3}, 4)}},
                            {{t({2, 4, 3}), indices({2, 3}, 4), weight}}};
        },
});

// ---- binary
// ----------------------------------------------------------------------------------------
void same_size_shape(const Call& call, ResultInfos& results) {
  const Ints& input = call.tensor("input").sizes;
  const Ints& target = call.tensor("target").sizes;
  check<ValueError>(input == target, [&] {
    return concat(call.name(), ": Target size ", list_text(target),
                  " must be the same as input size ", list_text(input));
  });
  pairwise_loss_shape(call, results);
}
Expr weighted(Lowering& l, const Expr& loss) {
  return l["weight"].valid() ? loss * l["weight"] : loss;
}
void check_probabilities(HostCall& host, std::string_view parameter) {
  const HostTensor p = host.input(parameter);
  const DType dtype = p.info.dtype;
  if (!is_float(dtype)) return;
  const auto look = [&](const auto& value_of) {
    for (int64_t i = 0; i < p.info.numel(); ++i) {
      const auto value = value_of(i);
      check(value >= 0 && value <= 1, [&] {
        return concat(host.call().name(), ": all elements of ", parameter,
                      " should be between 0 and 1, got ", value);
      });
    }
  };
  if (dtype == DType::Float32)
    return look([&](int64_t i) { return static_cast<const float*>(p.data)[i]; });
  look([&](int64_t i) {
    const auto* const bytes = static_cast<const std::byte*>(p.data);
    return ir::to_double(dtype,
                         ir::load_element(dtype, bytes + i * static_cast<int64_t>(size_of(dtype))));
  });
}
Definition binary_definition() {
  Definition d = pairwise_loss(
      "binary_cross_entropy(Tensor input, Tensor target, Tensor? weight=None, bool? "
      "size_average=None, bool? reduce=None, str reduction=\"mean\") -> Tensor",
      "-(target * log(input) + (1 - target) * log(1 - input)), each logarithm at least -100.",
      [](Lowering& l) {
        const Expr p = l["input"];
        const Expr y = l["target"];
        const auto bounded_log = [](const Expr& x) {
          const Expr value = log(x);
          return select(lt(value, -100.0), -100.0, value);
        };
        const auto loss_of = [&](const Expr& x) {
          return (y - 1.0) * bounded_log(1.0 - x) - y * bounded_log(x);
        };
        // As in PyTorch, the gradient is (p - y) / max(p (1 - p), 1e-12).
        const Expr saturated = lt(p * (1.0 - p), 1e-12);
        const Expr offset = p - stop_gradient(y);
        const Expr slope = offset * offset * 0.5e12;
        const Expr bounded = loss_of(stop_gradient(p)) - (stop_gradient(slope) - slope);
        const Expr loss = select(saturated, bounded, loss_of(replace_where(saturated, p, 0.5)));
        l.result(reduced(l, weighted(l, loss)));
      },
      "nn.functional.binary_cross_entropy",
      [] {
        SampleTensor weight = t({2, 3}, 0.5, 2);
        weight.grad = false;
        return SampleList{
            {{t({2, 3}, 0.1, 0.9), t({2, 3}, 0, 1)}},
            {{t({2, 3}, 0.1, 0.9), t({2, 3}, 0, 1), weight}, {{"reduction", std::string("none")}}}};
      });
  d.shape = same_size_shape;
  d.checks = [](HostCall& host) {
    check_probabilities(host, "input");
    check_probabilities(host, "target");
  };
  d.errors = [] {
    return std::vector<ErrorSample>{
        {{{t({2}, 2, 3), t({2}, 0, 1)}}, "RuntimeError", "should be between 0 and 1"},
        {{{t({2, 1}, 0, 1), t({2}, 0, 1)}}, "ValueError", "must be the same as input size"}};
  };
  return d;
}
const Register kBinaryCrossEntropy(binary_definition());
Definition logits_definition() {
  Definition d = pairwise_loss(
      "binary_cross_entropy_with_logits(Tensor input, Tensor target, Tensor? weight=None, bool? "
      "size_average=None, bool? reduce=None, str reduction=\"mean\", Tensor? pos_weight=None) -> "
      "Tensor",
      "binary_cross_entropy of sigmoid(input), computed without overflow; pos_weight weighs the "
      "positive part.",
      [](Lowering& l) {
        const Expr x = l["input"];
        const Expr y = l["target"];
        const Expr log_term = softplus(-x);
        const Expr loss = l["pos_weight"].valid()
                              ? (1.0 - y) * x + ((l["pos_weight"] - 1.0) * y + 1.0) * log_term
                              : (1.0 - y) * x + log_term;
        l.result(reduced(l, weighted(l, loss)));
      },
      "nn.functional.binary_cross_entropy_with_logits",
      [] {
        SampleTensor weight = t({3}, 0.5, 2);
        weight.grad = false;
        return SampleList{{{t({2, 3}), t({2, 3}, 0, 1)}},
                          {{t({2, 3}), t({2, 3}, 0, 1), weight}, {{"pos_weight", weight}}}};
      });
  d.shape = same_size_shape;
  d.errors = [] {
    return std::vector<ErrorSample>{
        {{{t({2, 1}), t({2}, 0, 1)}}, "ValueError", "must be the same as input size"}};
  };
  return d;
}
const Register kBceWithLogits(logits_definition());

}  // namespace
}  // namespace flambeau::ops
