// Losses between numbers.

#include <cmath>
#include <numbers>

#include "ops/loss/loss.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

const Register kMse(pairwise_loss(
    "mse_loss(Tensor input, Tensor target, bool? size_average=None, bool? reduce=None, str "
    "reduction=\"mean\") -> Tensor",
    "(input - target)^2.",
    [](Lowering& l) { l.result(reduced(l, square(l["input"] - l["target"]))); },
    "nn.functional.mse_loss", pair_samples));
Definition l1_definition() {
  Definition d = pairwise_loss(
      "l1_loss(Tensor input, Tensor target, bool? size_average=None, bool? reduce=None, str "
      "reduction=\"mean\") -> Tensor",
      "|input - target|.", [](Lowering& l) { l.result(reduced(l, abs(l["input"] - l["target"]))); },
      "nn.functional.l1_loss", pair_samples);
  d.real_result = true;
  return d;
}
const Register kL1(l1_definition());
/// The shape of a loss whose number between d^2 and |d| must not be negative, nor 0 unless
/// kMayVanish.
template <bool kMayVanish>
void bent_loss_shape(const Call& call, ResultInfos& results) {
  const char* const name = kMayVanish ? "beta" : "delta";
  const double bend = call.real(name);
  check(bend > 0 || (kMayVanish && bend == 0), [&] {
    return concat(call.name(), ": does not support ", kMayVanish ? "negative" : "non-positive",
                  " values for ", name, ", got ", bend);
  });
  pairwise_loss_shape(call, results);
}
template <bool kMayVanish>
Definition bent_loss(Definition d) {
  d.shape = bent_loss_shape<kMayVanish>;
  d.errors = [samples = d.samples, errors = d.errors] {
    const Sample good = samples().front();
    std::vector<ErrorSample> all = errors();
    all.push_back({{good.positional, {{kMayVanish ? "beta" : "delta", Scalar(-1.0)}}},
                   "RuntimeError",
                   kMayVanish ? "negative values for beta" : "non-positive values for delta"});
    return all;
  };
  return d;
}
const Register kSmoothL1(bent_loss<true>(pairwise_loss(
    "smooth_l1_loss(Tensor input, Tensor target, bool? size_average=None, bool? reduce=None, str "
    "reduction=\"mean\", float beta=1.0) -> Tensor",
    "d^2 / (2 beta) where |d| < beta, |d| - beta / 2 elsewhere, for d = input - target.",
    [](Lowering& l) {
      const Expr d = abs(l["input"] - l["target"]);
      const Expr beta = l["beta"];
      const Expr none = eq(beta, 0.0);
      const Expr is_outer = ge(d, beta);
      const Expr near = select(is_outer, 0.0, d);  // no infinity has a slope of 0 times itself
      const Expr inner = square(near) * 0.5 / select(none, full_like(beta, 1.0), beta);
      l.result(reduced(l, select(is_outer, d - beta * 0.5, inner)));
    },
    "nn.functional.smooth_l1_loss", pair_samples)));
const Register kHuber(bent_loss<false>(pairwise_loss(
    "huber_loss(Tensor input, Tensor target, str reduction=\"mean\", float delta=1.0) -> Tensor",
    "d^2 / 2 where |d| <= delta, delta * (|d| - delta / 2) elsewhere, for d = input - target. "
    "Huber, 1964.",
    [](Lowering& l) {
      const Expr d = abs(l["input"] - l["target"]);
      const Expr delta = l["delta"];
      const Expr is_outer = gt(d, delta);
      const Expr inner = square(select(is_outer, 0.0, d)) * 0.5;
      l.result(reduced(l, select(is_outer, delta * (d - delta * 0.5), inner)));
    },
    "nn.functional.huber_loss", pair_samples)));

/// t * log(t), 0 at 0.
Expr entropy_term(const Expr& x) {
  const Expr zero = eq(x, 0.0);
  return select(zero, 0.0, x * log(replace_where(zero, x, 1.0)));
}
const Register kKlDiv(pairwise_loss(
    "kl_div(Tensor input, Tensor target, bool? size_average=None, bool? reduce=None, str "
    "reduction=\"mean\", bool log_target=False) -> Tensor",
    "target * (log(target) - input), where input (and with log_target the target) are logarithms.",
    [](Lowering& l) {
      const Expr x = l["input"];
      const Expr target = l["target"];
      if (l.call().boolean("log_target")) return l.result(reduced(l, exp(target) * (target - x)));
      l.result(reduced(l, entropy_term(target) - target * x));
    },
    "nn.functional.kl_div",
    [] {
      return SampleList{
          {{t({2, 3}), t({2, 3}, 0.1, 1)}},
          {{t({2, 3}), t({2, 3})}, {{"log_target", Scalar(true)}}},
          {{t({2, 3}), t({2, 3}, 0.1, 1)}, {{"reduction", std::string("batchmean")}}}};
    }));

// Integers become floats.
const Register kPoissonNll([] {
  Definition d = pairwise_loss(
      "poisson_nll_loss(Tensor input, Tensor target, bool log_input=True, bool full=False, bool? "
      "size_average=None, float eps=1e-08, bool? reduce=None, str reduction=\"mean\") -> Tensor",
      "exp(input) - target * input, or input - target * log(input + eps) without log_input; `full` "
      "adds Stirling's term for targets above 1.",
      [](Lowering& l) {
        const Expr x = l["input"];
        const Expr y = l["target"];
        Expr loss = l.call().boolean("log_input") ? exp(x) - y * x : x - y * log(x + l["eps"]);
        if (l.call().boolean("full")) {
          const Expr small = le(y, 1.0);
          const Expr safe = replace_where(small, y, 2.0);
          const Expr term = safe * log(safe) - safe + log(safe * (2 * std::numbers::pi)) * 0.5;
          loss = loss + select(small, 0.0, term);
        }
        l.result(reduced(l, loss));
      },
      "nn.functional.poisson_nll_loss",
      [] {
        return SampleList{{{t({2, 3}), t({2, 3}, 0, 4)}},
                          {{t({2, 3}, 0.5, 2), t({2, 3}, 1.5, 4), Scalar(false), Scalar(true)}}};
      });
  d.promotion = Promotion::ToFloat;
  d.accepts = Accepts::All;
  return d;
}());
const Register kSoftMargin(pairwise_loss(
    "soft_margin_loss(Tensor input, Tensor target, bool? size_average=None, bool? reduce=None, str "
    "reduction=\"mean\") -> Tensor",
    "log(1 + exp(-target * input)) for targets 1 and -1.",
    [](Lowering& l) { l.result(reduced(l, softplus(-(l["target"] * l["input"])))); },
    "nn.functional.soft_margin_loss", pair_samples));

Definition hinge_definition() {
  Definition d = pairwise_loss(
      "hinge_embedding_loss(Tensor input, Tensor target, float margin=1.0, bool? "
      "size_average=None, bool? reduce=None, str reduction=\"mean\") -> Tensor",
      "input where the target is 1, max(0, margin - input) where it is -1.",
      [](Lowering& l) {
        const Expr x = l["input"];
        const Expr y = l["target"];
        const Expr away = l["margin"] - x;
        const Expr negative = select(lt(away, 0.0), 0.0, away);
        l.result(reduced(l, select(eq(y, 1.0), 0.0, negative) + select(eq(y, -1.0), 0.0, x)));
      },
      "nn.functional.hinge_embedding_loss", pair_samples);
  return d;
}
const Register kHinge(hinge_definition());

Definition margin_ranking_definition() {
  Definition d = pairwise_loss(
      "margin_ranking_loss(Tensor input1, Tensor input2, Tensor target, float margin=0, bool? "
      "size_average=None, bool? reduce=None, str reduction=\"mean\") -> Tensor",
      "max(0, -target * (input1 - input2) + margin).",
      [](Lowering& l) {
        const Expr x = l["margin"] - l["target"] * (l["input1"] - l["input2"]);
        l.result(reduced(l, select(lt(x, 0.0), 0.0, x)));
      },
      "nn.functional.margin_ranking_loss",
      [] { return SampleList{{{t({4}), t({4}), t({4}), 0.5}}}; });
  d.promotion = Promotion::ToFloat;
  d.accepts = Accepts::Real;
  return d;
}
const Register kMarginRanking(margin_ranking_definition());
Definition gaussian_definition() {
  Definition d = pairwise_loss(
      "gaussian_nll_loss(Tensor input, Tensor target, Tensor var, bool full=False, float "
      "eps=1e-06, "
      "str reduction=\"mean\") -> Tensor",
      "(log(v) + (input - target)^2 / v) / 2 for v = max(var, eps), whose clamp has no slope; "
      "`full` "
      "adds log(2 pi) / 2.",
      [](Lowering& l) {
        const Expr var = l["var"];
        const Expr low = lt(var, l["eps"]);
        // The clamp changes the value alone.
        const Expr v = var + stop_gradient(select(low, l["eps"] - var, 0.0));
        Expr loss = (log(v) + square(l["input"] - l["target"]) / v) * 0.5;
        if (l.call().boolean("full")) loss = loss + 0.5 * std::log(2 * std::numbers::pi);
        l.result(reduced(l, loss));
      },
      "nn.functional.gaussian_nll_loss",
      [] {
        return SampleList{{{t({2, 3}), t({2, 3}), t({2, 3}, 0.5, 2)}},
                          {{t({2, 3}), t({2, 3}), t({2, 1}, 0.5, 2), Scalar(true)}}};
      });
  d.autocast = "";  // PyTorch composes it of what is not in its list.
  return d;
}
const Register kGaussianNll(gaussian_definition());

}  // namespace
}  // namespace flambeau::ops
