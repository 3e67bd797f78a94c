// Updates of parameters by optimisers: in place, over lists of tensors in one launch.

#include "ops/functions.h"
#include "ops/reduce/reduce.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

/// Every tensor has the shape of the first; one that is only read may be 0-dim instead.
void check_shapes(const Call& call, ResultInfos&) {
  const Ints& sizes = call.tensor("self").sizes;
  for (size_t i = 0; i < call.arguments().size(); ++i) {
    const auto* one = std::get_if<const TensorInfo*>(&call.arguments()[i]);
    if (one == nullptr || *one == nullptr) continue;
    const bool written = call.definition().parsed.parameters[i].written;
    check((*one)->sizes == sizes || ((*one)->dim() == 0 && !written), [&] {
      return concat(call.name(), ": expected tensors of one shape, got ", list_text(sizes), " and ",
                    list_text((*one)->sizes));
    });
  }
}

/// An update of lists: written for one tensor, results written to those that the schema marks.
Definition update(std::string_view schema, std::string_view doc, void (*lower)(Lowering&),
                  std::function<SampleList()> samples) {
  return {.schema = schema,
          .doc = doc,
          .variants = {.method = false},
          .accepts = Accepts::Floats,
          .returns = Returns::Self,
          .broadcasts = true,
          .shape = check_shapes,
          .lower = lower,
          .differentiable = false,
          .per_item = true,
          .samples = std::move(samples)};
}
std::vector<SampleTensor> two(double low = -2, double high = 2) {
  return {t({2, 3}, low, high), t({4}, low, high)};
}

/// Adam (Kingma and Ba, 2014), with the decay of the weights apart from the gradient in AdamW
/// (Loshchilov and Hutter, 2017). Corrections of the bias are computed in float64.
void lower_adam(Lowering& l, bool decoupled) {
  // 1 - beta in float32 would lose the digits in which beta differs from 1.
  const auto wide = [&](const char* name) { return convert(l.number(name), DType::Float64); };
  const auto narrow = [&](const Expr& value) { return convert(value, l.compute()); };
  Expr p = l["self"];
  Expr g = l["grads"];
  if (l.call().boolean("maximize")) g = -g;
  if (!l.call().definition().is_special("weight_decay", l.call().number("weight_decay"))) {
    if (decoupled)
      p = p * narrow(1.0 - wide("lr") * wide("weight_decay"));
    else
      g = g + p * l["weight_decay"];
  }
  const Expr m = l["exp_avgs"] + (g - l["exp_avgs"]) * narrow(1.0 - wide("beta1"));
  const Expr v = l["exp_avg_sqs"] * l["beta2"] + g * g * narrow(1.0 - wide("beta2"));
  const Expr step = convert(l["state_steps"], DType::Float64);
  // 1 - beta^step, which as a difference would lose digits where it is small.
  const auto correction = [&](const char* beta) { return -expm1(step * log(wide(beta))); };
  const Expr correction1 = correction("beta1");
  const Expr correction2 = sqrt(correction("beta2"));
  // m / (sqrt(v) / correction2 + eps), with one division less.
  const Expr size = narrow(wide("lr") / correction1 * correction2);
  // AMSGrad (Reddi, Kale and Kumar, 2018) divides by the largest second moment so far.
  const bool largest = l.call().definition().parsed.overload == "amsgrad";
  const Expr scale = largest ? maximum(l["max_exp_avg_sqs"], v) : v;
  const Expr denominator = sqrt(scale) + narrow(wide("eps") * correction2);
  l.result(p - size * (m / denominator));
  l.result(m);
  l.result(v);
  if (largest) l.result(scale);
}
template <bool kAmsgrad, bool kTensorRate>
SampleList adam_samples() {
  const SampleValue rate = kTensorRate ? SampleValue(t({}, 0.1, 0.2)) : SampleValue(0.1);
  const std::vector<std::pair<std::string, SampleValue>> options = {
      {"lr", rate}, {"beta1", 0.9}, {"beta2", 0.999}, {"weight_decay", 0.1}, {"eps", 1e-8}};
  const std::vector<SampleTensor> steps = {t({}, 1, 9), t({}, 1, 9)};
  if (kAmsgrad) return {{{two(), two(), two(), two(0, 1), two(0, 1), steps}, options}};
  return {{{two(), two(), two(), two(0, 1), steps}, options}};
}
template <bool kDecoupled, bool kAmsgrad, bool kTensorRate = false>
Definition adam_definition(std::string_view schema) {
  Definition d = update(
      schema,
      kDecoupled
          ? "One step of AdamW on every parameter; its count in `state_steps`, a 0-dim float, "
            "begins with 1."
          : "One step of Adam on every parameter; its count in `state_steps`, a 0-dim float, "
            "begins with 1.",
      [](Lowering& l) { lower_adam(l, kDecoupled); }, adam_samples<kAmsgrad, kTensorRate>);
  d.special = {{"weight_decay", {0}}};
  return d;
}
#define FLAMBEAU_ADAM_OPTIONS(Rate)                           \
  "Tensor[] state_steps, *, " Rate                            \
  " lr, float beta1, float beta2, float weight_decay, float " \
  "eps, bool maximize=False) -> ()"
#define FLAMBEAU_ADAM_LISTS \
  "(Tensor(a!)[] self, Tensor[] grads, Tensor(b!)[] exp_avgs, Tensor(c!)[] exp_avg_sqs, "
#define FLAMBEAU_ADAM_LARGEST "Tensor(d!)[] max_exp_avg_sqs, "
// The learning rate as a 0-dim tensor may change without being read.
const Register kFusedAdamw[] = {
    Register(adam_definition<true, false>(
        "_fused_adamw_" FLAMBEAU_ADAM_LISTS FLAMBEAU_ADAM_OPTIONS("float"))),
    Register(adam_definition<true, false, true>(
        "_fused_adamw_tensor_lr_" FLAMBEAU_ADAM_LISTS FLAMBEAU_ADAM_OPTIONS("Tensor"))),
    Register(adam_definition<true, true>(
        "_fused_adamw_.amsgrad" FLAMBEAU_ADAM_LISTS FLAMBEAU_ADAM_LARGEST FLAMBEAU_ADAM_OPTIONS(
            "float"))),
    Register(adam_definition<true, true, true>(
        "_fused_adamw_tensor_lr_.amsgrad" FLAMBEAU_ADAM_LISTS FLAMBEAU_ADAM_LARGEST
            FLAMBEAU_ADAM_OPTIONS("Tensor")))};
const Register kFusedAdam[] = {
    Register(adam_definition<false, false>(
        "_fused_adam_" FLAMBEAU_ADAM_LISTS FLAMBEAU_ADAM_OPTIONS("float"))),
    Register(adam_definition<false, false, true>(
        "_fused_adam_tensor_lr_" FLAMBEAU_ADAM_LISTS FLAMBEAU_ADAM_OPTIONS("Tensor"))),
    Register(adam_definition<false, true>(
        "_fused_adam_.amsgrad" FLAMBEAU_ADAM_LISTS FLAMBEAU_ADAM_LARGEST FLAMBEAU_ADAM_OPTIONS(
            "float"))),
    Register(adam_definition<false, true, true>(
        "_fused_adam_tensor_lr_.amsgrad" FLAMBEAU_ADAM_LISTS FLAMBEAU_ADAM_LARGEST
            FLAMBEAU_ADAM_OPTIONS("Tensor")))};
#undef FLAMBEAU_ADAM_OPTIONS
#undef FLAMBEAU_ADAM_LISTS
#undef FLAMBEAU_ADAM_LARGEST

/// The gradient with decay; a 0-dim one is every element's.
Expr decayed(Lowering& l) {
  Expr g = broadcast_to(l["grads"], l["self"].shape());
  if (l.call().boolean("maximize")) g = -g;
  if (l.call().definition().is_special("weight_decay", l.call().number("weight_decay"))) return g;
  return g + l["self"] * l["weight_decay"];
}
#define FLAMBEAU_SGD(name, Rate)                      \
  name "(Tensor(a!)[] self, Tensor[] grads, *, " Rate \
       " lr, float weight_decay, bool maximize=False) -> ()"
#define FLAMBEAU_SGD_MOMENTUM(name, Rate)                                               \
  name "(Tensor(a!)[] self, Tensor[] grads, Tensor(b!)[] momentum_buffers, *, " Rate    \
       " lr, float weight_decay, float momentum, float dampening, bool nesterov, bool " \
       "is_first_step, bool maximize=False) -> ()"
Definition sgd_definition(std::string_view schema, const SampleValue& rate) {
  Definition d = update(
      schema, "self -= lr * (grad + weight_decay * self) for every parameter of the list.",
      [](Lowering& l) { l.result(l["self"] - l["lr"] * decayed(l)); },
      [rate] { return SampleList{{{two(), two()}, {{"lr", rate}, {"weight_decay", 0.1}}}}; });
  d.special = {{"weight_decay", {0}}};
  return d;
}
Definition momentum_definition(std::string_view schema, const SampleValue& rate) {
  Definition d = update(
      schema,
      "buffer = momentum * buffer + (1 - dampening) * grad (grad at the first step), self -= lr * "
      "(buffer, or with Nesterov grad + momentum * buffer).",
      [](Lowering& l) {
        const Expr g = decayed(l);
        const Expr momentum = l["momentum"];
        const Expr buffer =
            l.call().boolean("is_first_step")
                ? g
                : l["momentum_buffers"] * momentum +
                      g * convert(1.0 - convert(l.number("dampening"), DType::Float64),
                                  l.compute());
        const Expr direction = l.call().boolean("nesterov") ? g + buffer * momentum : buffer;
        l.result(l["self"] - l["lr"] * direction);
        l.result(buffer);
      },
      [rate] {
        return SampleList{{{two(), two(), two()},
                           {{"lr", rate},
                            {"weight_decay", 0.0},
                            {"momentum", 0.9},
                            {"dampening", 0.0},
                            {"nesterov", Scalar(true)},
                            {"is_first_step", Scalar(false)}}}};
      });
  d.special = {{"weight_decay", {0}}};
  return d;
}
const Register kFusedSgd[] = {
    Register(sgd_definition(FLAMBEAU_SGD("_fused_sgd_", "float"), 0.1)),
    Register(sgd_definition(FLAMBEAU_SGD("_fused_sgd_tensor_lr_", "Tensor"), t({}, 0.1, 0.2))),
    Register(momentum_definition(FLAMBEAU_SGD_MOMENTUM("_fused_sgd_.momentum", "float"), 0.1)),
    Register(momentum_definition(FLAMBEAU_SGD_MOMENTUM("_fused_sgd_tensor_lr_.momentum", "Tensor"),
                                 t({}, 0.1, 0.2)))};
#undef FLAMBEAU_SGD
#undef FLAMBEAU_SGD_MOMENTUM

const Register kForeachMul(update(
    "_foreach_mul_(Tensor(a!)[] self, Tensor factor) -> ()",
    "Multiplies every tensor of the list by one 0-dim tensor.",
    [](Lowering& l) { l.result(l["self"] * convert(l["factor"], l["self"].dtype())); },
    [] { return SampleList{{{two(), t({})}}}; }));
const Register kForeachAdd(update(
    "_foreach_add_(Tensor(a!)[] self, Scalar scalar) -> ()",
    "Adds a number to every tensor of the list.",
    [](Lowering& l) { l.result(l["self"] + l["scalar"]); },
    [] { return SampleList{{{two(), 0.5}}}; }));
const Register kForeachZero(update(
    "_foreach_zero_(Tensor(a!)[] self) -> ()", "Writes 0 to every tensor of the list.",
    [](Lowering& l) { l.result(full_like(l["self"], 0.0)); },
    [] { return SampleList{{{two()}}}; }));
const Register kForeachNorm({
    .schema = "_foreach_norm(Tensor[] self) -> Tensor[]",
    .doc = "The square root of the sum of squares of every tensor of the list.",
    .variants = {.method = false},
    .accepts = Accepts::Floats,
    .shape = [](const Call& call,
                ResultInfos& results) { results.push_back({call.tensor("self").dtype, {}, {}}); },
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          l.result(safe_sqrt(sum(x * x, all_axes(x.rank()), false)));
        },
    .per_item = true,
    .samples = [] { return SampleList{{{two()}}}; },
});

}  // namespace
}  // namespace flambeau::ops
