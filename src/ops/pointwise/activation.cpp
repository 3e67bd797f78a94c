// Activation functions.

#include <numbers>

#include "ops/functions.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;
using Aliases = std::vector<std::string>;

Definition activation(std::string_view schema, std::string_view doc, void (*lower)(Lowering&),
                      Aliases aliases, bool in_place = true, bool top_level = false) {
  return {.schema = schema,
          .doc = doc,
          .variants = {.function = top_level,
                       .method = top_level,
                       .in_place = in_place,
                       .aliases = std::move(aliases)},
          .promotion = Promotion::Promote,
          .accepts = Accepts::Inexact,
          .lower = lower,
          .samples = unary_samples,
          .errors = [] {
            return std::vector<ErrorSample>{
                {{{indices({2}, 3)}}, "RuntimeError", "not implemented for 'Long'"}};
          }};
}

// 0 has slope 0 and NaN stays, which a maximum would give otherwise.
Definition relu_definition() {
  Definition d = activation(
      "relu(Tensor self) -> Tensor", "max(self, 0); slope 0 at 0.",
      [](Lowering& l) {
        const Expr x = l["self"];
        l.result(select(le(x, 0.0), 0.0, x));
      },
      {"nn.functional.relu", "nn.functional.relu_"}, true, true);
  d.accepts = Accepts::NumbersNoBool;
  d.saves_result = true;
  d.errors = [] {
    return std::vector<ErrorSample>{{{{mask({2})}}, "RuntimeError", "not implemented for 'Bool'"}};
  };
  // In terms of the result, so that the input need not be kept.
  d.vjp = [](VjpLowering& v) {
    v.gradients[0] = select(le(v.results[0], 0.0), 0.0, v.cotangents[0]);
  };
  return d;
}
const Register kRelu(relu_definition());

void check_range(const Call& call, Arguments&) {
  check<ValueError>(call.number("min_val").to_double() <= call.number("max_val").to_double(), [&] {
    return concat(call.name(), ": min_val ", call.number("min_val").to_double(),
                  " must not be greater than max_val ", call.number("max_val").to_double());
  });
}
Expr hard_limit(const Expr& x, const Expr& low, const Expr& high) {
  return select(le(x, low), low, select(ge(x, high), high, x));
}
Definition hardtanh_definition() {
  Definition d =
      activation("hardtanh(Tensor self, Scalar min_val=-1, Scalar max_val=1) -> Tensor",
                 "self limited to [min_val, max_val]; slope 0 at both ends.",
                 [](Lowering& l) { l.result(hard_limit(l["self"], l["min_val"], l["max_val"])); },
                 {"nn.functional.hardtanh", "nn.functional.hardtanh_"});
  d.accepts = Accepts::NumbersNoBool;
  d.canonical = check_range;
  d.errors = [] {
    return std::vector<ErrorSample>{
        {{{t({2}), 1.0, -1.0}}, "ValueError", "must not be greater than max_val"}};
  };
  return d;
}
const Register kHardtanh(hardtanh_definition());
Expr relu6(const Expr& x) { return hard_limit(x, full_like(x, 0.0), full_like(x, 6.0)); }
/// Integers stay integers.
Definition of_numbers(Definition d) {
  d.accepts = Accepts::NumbersNoBool;
  d.errors = [] {
    return std::vector<ErrorSample>{{{{mask({2})}}, "RuntimeError", "not implemented for 'Bool'"}};
  };
  return d;
}
/// Integers become the default float dtype.
Definition to_floats(Definition d) {
  d.promotion = Promotion::ToFloat;
  d.accepts = Accepts::All;
  d.errors = nullptr;
  return d;
}
const Register kRelu6(of_numbers(activation("relu6(Tensor self) -> Tensor", "min(max(self, 0), 6).",
                                            [](Lowering& l) { l.result(relu6(l["self"])); },
                                            {"nn.functional.relu6"})));
const Register kHardsigmoid(activation("hardsigmoid(Tensor self) -> Tensor",
                                       "min(max(self + 3, 0), 6) / 6.",
                                       [](Lowering& l) {
                                         const Expr x = l["self"];
                                         const Expr y = relu6(x + 3.0) / 6.0;
                                         l.result(select(is_nan(x), stop_gradient(y), y));
                                       },
                                       {"nn.functional.hardsigmoid"}));
const Register kHardswish(activation("hardswish(Tensor self) -> Tensor",
                                     "self * min(max(self + 3, 0), 6) / 6.",
                                     [](Lowering& l) {
                                       const Expr x = l["self"];
                                       const Expr is_low = lt(x, -3.0);
                                       const Expr is_high = logical_not(le(x, 3.0));
                                       // No infinity has a slope of 0 times itself.
                                       const Expr near =
                                           select(logical_or(is_low, is_high), 0.0, x);
                                       const Expr middle = near * (near + 3.0) / 6.0;
                                       l.result(select(is_low, 0.0, select(is_high, x, middle)));
                                     },
                                     {"nn.functional.hardswish"}));

Definition gelu_definition() {
  Definition d =
      activation("gelu(Tensor self, *, str approximate=\"none\") -> Tensor",
                 "self * P(N(0, 1) <= self), exactly (\"none\") or by a tanh (\"tanh\"). "
                 "Hendrycks and Gimpel, 2016.",
                 [](Lowering& l) {
                   const Expr x = l["self"];
                   if (l.call().string("approximate") == "tanh") {
                     constexpr double kBeta = std::numbers::sqrt2 * std::numbers::inv_sqrtpi;
                     const Expr inner = (x + x * x * x * 0.044715) * kBeta;
                     return l.result(x * 0.5 * (tanh(inner) + 1.0));
                   }
                   l.result(gelu(x));
                 },
                 {"nn.functional.gelu"});
  d.canonical = [](const Call& call, Arguments&) {
    const std::string& how = call.string("approximate");
    check(how == "none" || how == "tanh", [&] {
      return concat(call.name(), ": approximate argument must be either none or tanh, got '", how,
                    "'");
    });
  };
  d.samples = [] {
    SampleList list = unary_samples();
    list.push_back({{t({2, 3})}, {{"approximate", std::string("tanh")}}});
    return list;
  };
  return d;
}
const Register kGelu(gelu_definition());
const Register kSilu(activation("silu(Tensor self) -> Tensor", "self * sigmoid(self).",
                                [](Lowering& l) {
                                  const Expr x = l["self"];
                                  l.result(x * sigmoid(x));
                                },
                                {"nn.functional.silu"}));
const Register kMish(activation("mish(Tensor self) -> Tensor", "self * tanh(softplus(self)).",
                                [](Lowering& l) {
                                  const Expr x = l["self"];
                                  l.result(x * tanh(softplus(x)));
                                },
                                {"nn.functional.mish"}));
const Register kSoftplus(activation(
    "softplus(Tensor self, Scalar beta=1, Scalar threshold=20) -> Tensor",
    "log(1 + exp(beta * self)) / beta, self itself where beta * self is above threshold.",
    [](Lowering& l) {
      const Expr x = l["self"];
      const Expr beta = l["beta"];
      const Expr scaled = x * beta;
      const Expr linear = gt(scaled, l["threshold"]);
      l.result(select(linear, x, softplus(scaled) / beta));
    },
    {"nn.functional.softplus"}, false));
const Register kLogsigmoid(activation(
    "log_sigmoid(Tensor self) -> Tensor", "log(sigmoid(self)).",
    [](Lowering& l) { l.result(-softplus(-l["self"])); }, {"nn.functional.logsigmoid"}, false));
const Register kSoftsign(to_floats(activation(
    "softsign(Tensor self) -> Tensor", "self / (1 + |self|).",
    [](Lowering& l) {
      const Expr x = l["self"];
      l.result(x / (abs(x) + 1.0));
    },
    {"nn.functional.softsign"}, false)));
const Register kTanhshrink(to_floats(activation(
    "tanhshrink(Tensor self) -> Tensor", "self - tanh(self).",
    [](Lowering& l) {
      const Expr x = l["self"];
      l.result(x - tanh(x));
    },
    {"nn.functional.tanhshrink"}, false)));

const Register kElu(activation(
    "elu(Tensor self, Scalar alpha=1, Scalar scale=1, Scalar input_scale=1) -> Tensor",
    "scale * (self if self > 0 else alpha * (exp(input_scale * self) - 1)).",
    [](Lowering& l) {
      const Expr x = l["self"];
      const Expr below = le(x, 0.0);
      const Expr low = expm1(select(below, x, 0.0) * l["input_scale"]) * (l["alpha"] * l["scale"]);
      l.result(select(below, low, x * l["scale"]));
    },
    {"nn.functional.elu", "nn.functional.elu_"}));
const Register kSelu(
    activation("selu(Tensor self) -> Tensor",
               "1.0507 * (self if self > 0 else 1.6733 * (exp(self) - 1)). Klambauer et al., 2017.",
               [](Lowering& l) {
                 constexpr double kAlpha = 1.6732632423543772848170429916717;
                 constexpr double kScale = 1.0507009873554804934193349852946;
                 const Expr x = l["self"];
                 const Expr below = le(x, 0.0);
                 const Expr low = expm1(select(below, x, 0.0)) * (kAlpha * kScale);
                 l.result(select(below, low, x * kScale));
               },
               {"selu", "selu_", "nn.functional.selu", "nn.functional.selu_"}));
Definition celu_definition() {
  Definition d =
      activation("celu(Tensor self, Scalar alpha=1.0) -> Tensor",
                 "max(0, self) + min(0, alpha * (exp(self / alpha) - 1)). Barron, 2017.",
                 [](Lowering& l) {
                   const Expr x = l["self"];
                   const Expr alpha = l["alpha"];
                   const Expr below = le(x, 0.0);
                   l.result(select(below, alpha * expm1(select(below, x, 0.0) / alpha), x));
                 },
                 {"celu", "celu_", "nn.functional.celu", "nn.functional.celu_"});
  d.canonical = [](const Call& call, Arguments&) {
    check(call.number("alpha").to_double() != 0,
          [&] { return concat(call.name(), ": ZeroDivisionError: alpha cannot be 0 for CELU"); });
  };
  return d;
}
const Register kCelu(celu_definition());
const Register kLeakyRelu(
    activation("leaky_relu(Tensor self, Scalar negative_slope=0.01) -> Tensor",
               "self where it is positive, negative_slope * self elsewhere.",
               [](Lowering& l) {
                 const Expr x = l["self"];
                 l.result(select(gt(x, 0.0), x, x * l["negative_slope"]));
               },
               {"nn.functional.leaky_relu", "nn.functional.leaky_relu_"}));
const Register kThreshold(of_numbers(activation(
    "threshold(Tensor self, Scalar threshold=0, Scalar value=0) -> Tensor",
    "self where it is above threshold, value elsewhere.",
    [](Lowering& l) {
      const Expr x = l["self"];
      l.result(select(le(x, l["threshold"]), l["value"], x));
    },
    {"threshold", "threshold_", "nn.functional.threshold", "nn.functional.threshold_"})));
const Register kHardshrink(activation(
    "hardshrink(Tensor self, Scalar lambd=0.5) -> Tensor",
    "self where |self| > lambd, 0 elsewhere.",
    [](Lowering& l) {
      const Expr x = l["self"];
      l.result(select(le(abs(x), l["lambd"]), 0.0, x));
    },
    {"hardshrink", "Tensor.hardshrink", "nn.functional.hardshrink"}, false));
Definition softshrink_definition() {
  Definition d = activation(
      "softshrink(Tensor self, Scalar lambd=0.5) -> Tensor",
      "self moved towards 0 by lambd, 0 where |self| <= lambd.",
      [](Lowering& l) {
        const Expr x = l["self"];
        const Expr d = l["lambd"];
        const Expr outside = select(gt(x, d), x - d, select(lt(x, -d), x + d, 0.0));
        l.result(select(is_nan(x), x, outside));
      },
      {"nn.functional.softshrink"}, false);
  d.canonical = [](const Call& call, Arguments&) {
    check(call.number("lambd").to_double() >= 0, [&] {
      return concat(call.name(), ": lambda must be greater or equal to 0, but found to be ",
                    call.number("lambd").to_double());
    });
  };
  return d;
}
const Register kSoftshrink(softshrink_definition());

const Register kPrelu({
    .schema = "prelu(Tensor self, Tensor weight) -> Tensor",
    .doc = "self where it is positive, weight * self elsewhere; one weight, or one a channel "
           "(axis 1).",
    .variants = {.aliases = {"nn.functional.prelu"}},
    .accepts = Accepts::Floats,
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& x = call.tensor("self");
          const TensorInfo& weight = call.tensor("weight");
          const int64_t channels = x.dim() > 1 ? x.sizes[1] : 1;
          check(weight.numel() == 1 || weight.numel() == channels, [&] {
            return concat(call.name(),
                          ": Mismatch of parameter numbers and input channel size. "
                          "Found parameter numbers = ",
                          weight.numel(), " and channel size = ", channels);
          });
          TensorInfo info = x;
          info.strides.clear();
          results.push_back(info);
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          Expr weight = l["weight"];
          if (weight.rank() > 0 && !weight.dim(0).is_one()) {
            const Ints axes{1};
            weight = broadcast(weight, axes, x.shape());
          } else if (weight.rank() > x.rank()) {
            weight = reshape(weight, {});
          }
          l.result(select(gt(x, 0.0), x, x * weight));
        },
    .autocast = "lower_precision",
    .samples =
        [] { return SampleList{{{t({2, 3}), t({3})}}, {{t({2, 3}), t({1})}}, {{t({}), t({1})}}}; },
});

const Register kGlu({
    .schema = "glu(Tensor self, int dim=-1) -> Tensor",
    .doc = "a * sigmoid(b), where a and b are the halves of self along dim. Dauphin et al., 2017.",
    .variants = {.function = false, .method = false, .aliases = {"nn.functional.glu"}},
    .accepts = Accepts::Floats,
    .axes = {"dim"},
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& x = call.tensor("self");
          check(x.dim() > 0,
                [&] { return concat(call.name(), ": does not support 0-dimensional tensors"); });
          TensorInfo info{x.dtype, x.sizes, {}};
          int64_t& extent = info.sizes[static_cast<size_t>(call.integer("dim"))];
          check(extent % 2 == 0, [&] {
            return concat(call.name(), ": Halving dimension must be even, but dimension ",
                          call.integer("dim"), " is size ", extent);
          });
          extent /= 2;
          results.push_back(info);
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          const int axis = static_cast<int>(l.call().integer("dim"));
          const Dim half = x.dim(axis).floor_div(2);
          l.result(slice(x, axis, 0, half) * sigmoid(slice(x, axis, half, half)));
        },
    .samples = [] { return SampleList{{{t({2, 4})}}, {{t({4, 3}), Scalar(0)}}}; },
});

}  // namespace
}  // namespace flambeau::ops
