// Normalisation over rows and channels.

#include <algorithm>

#include "ops/checks.h"
#include "ops/functions.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

/// The trailing axes that `normalized_shape` names.
Ints row_axes(const Call& call) {
  const int64_t rank = call.tensor("input").dim();
  const auto count = static_cast<int64_t>(call.integers("normalized_shape").size());
  Ints axes;
  for (int64_t i = rank - count; i < rank; ++i) axes.push_back(i);
  return axes;
}
void check_rows(const Call& call) {
  const TensorInfo& x = call.tensor("input");
  const Ints& shape = call.integers("normalized_shape");
  check(!shape.empty(), [&] {
    return concat(call.name(),
                  ": Expected normalized_shape to be at least 1-dimensional, i.e., "
                  "containing at least one element, but got normalized_shape = []");
  });
  const bool fits = x.sizes.size() >= shape.size() &&
                    std::equal(shape.begin(), shape.end(), x.sizes.end() - shape.size());
  check(fits, [&] {
    return concat(call.name(), ": Given normalized_shape=", list_text(shape),
                  ", expected input with shape [*, ", list_text(shape).substr(1),
                  ", but got input of size", list_text(x.sizes));
  });
  for (const char* name : {"weight", "bias"}) {
    const auto& parameters = call.definition().parsed.parameters;
    const bool has = std::any_of(parameters.begin(), parameters.end(),
                                 [&](const Parameter& p) { return p.name == name; });
    const TensorInfo* t = has ? call.optional_tensor(name) : nullptr;
    check(t == nullptr || t->sizes == shape, [&] {
      return concat(call.name(), ": Expected ", name,
                    " to be of same shape as normalized_shape, "
                    "but got ",
                    name, " of shape ", list_text(t->sizes),
                    " and normalized_shape = ", list_text(shape));
    });
  }
}
void row_norm_shape(const Call& call, ResultInfos& results) {
  check_rows(call);
  const TensorInfo& x = call.tensor("input");
  results.push_back({x.dtype, x.sizes, {}});
}

struct Statistics {
  Expr mean;
  Expr rstd;
};
Statistics statistics(Lowering& l, const Expr& x, const Ints& axes) {
  const Expr center = mean(x, axes);
  const Expr variance = mean(square(x - center), axes);
  return {center, 1.0 / sqrt(variance + l["eps"])};
}
Expr scaled(Lowering& l, Expr value) {
  if (l["weight"].valid()) value = value * l["weight"];
  if (l["bias"].valid()) value = value + l["bias"];
  return value;
}
/// The gradient of (x - mean) * rstd * weight + bias from the statistics: three sums, where
/// differentiating the definition gives five.
void row_norm_vjp(VjpLowering& v, const Expr& center, const Expr& rstd) {
  Lowering& l = v.forward;
  const Expr& g = v.cotangents[0];
  if (!g.valid()) return;
  const Ints axes = row_axes(l.call());
  const Expr normal = (l["input"] - center) * rstd;
  const Expr scaled_g = l["weight"].valid() ? g * l["weight"] : g;
  const Expr inner = scaled_g - mean(scaled_g, axes) - normal * mean(scaled_g * normal, axes);
  size_t next = 0;
  v.gradients[next++] = inner * rstd;
  if (l["weight"].valid()) v.gradients[next++] = g * normal;
  if (l["bias"].valid()) v.gradients[next++] = g;
}

SampleList layer_samples() {
  return {{{t({2, 3}), Ints{3}, t({3}), t({3})}},
          {{t({2, 3, 4}), Ints{3, 4}, t({3, 4}), t({3, 4})}},
          {{t({2, 3}), Ints{3}, t({3})}},
          {{t({2, 5}), Ints{5}}, {{"eps", 1e-3}}}};
}
const Register kLayerNorm({
    .schema = "layer_norm(Tensor input, int[] normalized_shape, Tensor? weight=None, Tensor? "
              "bias=None, float eps=1e-05, bool cudnn_enable=True) -> Tensor",
    .doc = "(x - mean) / sqrt(variance + eps) * weight + bias over the last axes, which have "
           "normalized_shape. Ba et al., 2016.",
    .variants = {.method = false, .aliases = {"nn.functional.layer_norm"}},
    .accepts = Accepts::Floats,
    .shape = row_norm_shape,
    .lower =
        [](Lowering& l) {
          const Expr x = l["input"];
          const Statistics s = statistics(l, x, row_axes(l.call()));
          l.save(s.mean);
          l.save(s.rstd);
          l.result(scaled(l, (x - s.mean) * s.rstd));
        },
    .vjp = [](VjpLowering& v) { row_norm_vjp(v, v.saved[0], v.saved[1]); },
    .samples = layer_samples,
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2, 3}), Ints{4}}}, "RuntimeError", "expected input with shape [*, 4]"}};
        },
});
const Register kNativeLayerNorm({
    .schema = "native_layer_norm(Tensor input, int[] normalized_shape, Tensor? weight, Tensor? "
              "bias, float eps) -> (Tensor, Tensor, Tensor)",
    .doc = "layer_norm with the mean and 1 / sqrt(variance + eps) of each row.",
    .variants = {.method = false},
    .accepts = Accepts::Floats,
    .shape =
        [](const Call& call, ResultInfos& results) {
          row_norm_shape(call, results);
          TensorInfo row{results[0].dtype, results[0].sizes, {}};
          for (const int64_t axis : row_axes(call)) row.sizes[static_cast<size_t>(axis)] = 1;
          results.push_back(row);
          results.push_back(row);
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["input"];
          const Statistics s = statistics(l, x, row_axes(l.call()));
          l.result(scaled(l, (x - s.mean) * s.rstd));
          l.result(s.mean);
          l.result(s.rstd);
        },
    // As PyTorch, which differentiates the first result alone.
    .vjp = [](VjpLowering& v) { row_norm_vjp(v, v.results[1], v.results[2]); },
    .saves_result = true,
    .samples =
        [] {
          return SampleList{{{typed({2, 3}, DType::Float32, -2, 2), Ints{3},
                              typed({3}, DType::Float32, -2, 2), std::monostate(), 1e-5}}};
        },
});

const Register kRmsNorm({
    .schema = "rms_norm(Tensor input, int[] normalized_shape, Tensor? weight=None, float? "
              "eps=None) -> Tensor",
    .doc = "x / sqrt(mean(x^2) + eps) * weight over the last axes; eps is the dtype's epsilon "
           "unless given. Zhang and Sennrich, 2019.",
    .variants = {.method = false, .aliases = {"nn.functional.rms_norm"}},
    .accepts = Accepts::Inexact,
    .shape = row_norm_shape,
    .lower =
        [](Lowering& l) {
          const Expr x = l["input"];
          const Expr squares = mean(square(x), row_axes(l.call()));
          const DType dtype = l.call().tensor("input").dtype;
          const double epsilon =
              real_dtype(dtype) == DType::Float64 ? 2.220446049250313e-16 : 1.1920928955078125e-07;
          const Expr shifted = l.call().is_none("eps") ? squares + epsilon : squares + l["eps"];
          const Expr normal = x * (1.0 / sqrt(shifted));
          l.result(l["weight"].valid() ? normal * l["weight"] : normal);
        },
    .samples = [] { return SampleList{{{t({2, 3}), Ints{3}, t({3})}}, {{t({2, 3}), Ints{3}}}}; },
});

/// A vector of one value a channel, seen along axis 1 of a tensor of this rank.
Expr channels(const Expr& value, int rank) {
  Expr result = value;
  for (int i = 2; i < rank; ++i) result = unsqueeze(result, -1);
  return result;
}
const Register kGroupNorm({
    .schema = "group_norm(Tensor input, int num_groups, Tensor? weight=None, Tensor? bias=None, "
              "float eps=1e-05, bool cudnn_enabled=True) -> Tensor",
    .doc = "Channels (axis 1) normalised in num_groups groups, each over its channels and all "
           "positions, then scaled and shifted a channel. Wu and He, 2018.",
    .variants = {.method = false, .aliases = {"nn.functional.group_norm"}},
    .accepts = Accepts::Floats,
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& x = call.tensor("input");
          const int64_t groups = call.integer("num_groups");
          check(x.dim() >= 2, [&] {
            return concat(call.name(),
                          ": Expected at least 2 dimensions for input tensor but "
                          "received ",
                          x.dim());
          });
          check(groups > 0 && x.sizes[1] % groups == 0, [&] {
            return concat(call.name(),
                          ": Expected number of channels in input to be divisible by "
                          "num_groups, but got input of shape ",
                          list_text(x.sizes), " and num_groups=", groups);
          });
          for (const char* name : {"weight", "bias"}) {
            const TensorInfo* t = call.optional_tensor(name);
            check(t == nullptr || (t->dim() == 1 && t->sizes[0] == x.sizes[1]), [&] {
              return concat(call.name(), ": Expected ", name,
                            " to be a vector of size equal to the number of channels in input, "
                            "but got ",
                            name, " of shape ", list_text(t->sizes), " and input of shape ",
                            list_text(x.sizes));
            });
          }
          results.push_back({x.dtype, x.sizes, {}});
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["input"];
          const int64_t groups = l.call().integer("num_groups");
          Shape grouped{x.dim(0), Dim(groups), x.dim(1).floor_div(groups)};
          for (int i = 2; i < x.rank(); ++i) grouped.push_back(x.dim(i));
          const Expr parts = reshape(x, grouped);
          Ints axes;
          for (int64_t i = 2; i < parts.rank(); ++i) axes.push_back(i);
          const Statistics s = statistics(l, parts, axes);
          Expr result = reshape((parts - s.mean) * s.rstd, x.shape());
          if (l["weight"].valid()) result = result * channels(l["weight"], x.rank());
          if (l["bias"].valid()) result = result + channels(l["bias"], x.rank());
          l.result(result);
        },
    .samples =
        [] {
          return SampleList{{{t({2, 4, 3}), Scalar(2), t({4}), t({4})}}, {{t({2, 4}), Scalar(2)}}};
        },
});

}  // namespace
}  // namespace flambeau::ops
