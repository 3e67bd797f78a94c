// Normalisation of each channel over the batch: the arithmetic of batch_norm and instance_norm. The
// running statistics are their callers'.

#include "ops/checks.h"
#include "ops/functions.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

/// Every axis but the channels'.
Ints batch_axes(int64_t rank) {
  Ints axes{0};
  for (int64_t i = 2; i < rank; ++i) axes.push_back(i);
  return axes;
}
/// One value a channel, seen along axis 1 of a tensor of this rank.
Expr along_channels(const Expr& value, int rank) {
  Expr result = value;
  for (int i = 2; i < rank; ++i) result = unsqueeze(result, -1);
  return result;
}
Expr per_channel(const Expr& value) { return sum(value, batch_axes(value.rank()), false); }

void check_channels(const Call& call) {
  const TensorInfo& x = call.tensor("input");
  check(x.dim() >= 2, [&] {
    return concat(call.name(), ": Expected at least 2 dimensions, got shape ", list_text(x.sizes));
  });
  for (const Parameter& parameter : call.definition().parsed.parameters) {
    const bool is_vector = parameter.name == "weight" || parameter.name == "bias" ||
                           parameter.name == "mean" || parameter.name == "var";
    const TensorInfo* t = is_vector ? call.optional_tensor(parameter.name) : nullptr;
    check(t == nullptr || t->sizes == Ints{x.sizes[1]}, [&] {
      return concat(call.name(), ": ", parameter.name, " should contain ", x.sizes[1],
                    " elements, one a channel, got shape ", list_text(t->sizes));
    });
  }
}
Expr scaled(Lowering& l, Expr value) {
  const int rank = value.rank();
  if (l["weight"].valid()) value = value * along_channels(l["weight"], rank);
  if (l["bias"].valid()) value = value + along_channels(l["bias"], rank);
  return value;
}

const Register kBatchNorm({
    .schema = "_channel_norm(Tensor input, Tensor? weight, Tensor? bias, float eps) -> (Tensor, "
              "Tensor, Tensor)",
    .doc = "Each channel (axis 1) normalised by its mean and variance over all other axes, scaled "
           "and shifted; the mean and the biased variance. Ioffe and Szegedy, 2015.",
    .variants = {.function = false, .method = false},
    .accepts = Accepts::Floats,
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_channels(call);
          const TensorInfo& x = call.tensor("input");
          results.push_back({x.dtype, x.sizes, {}});
          results.push_back({x.dtype, {x.sizes[1]}, {}});
          results.push_back({x.dtype, {x.sizes[1]}, {}});
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["input"];
          const Ints axes = batch_axes(x.rank());
          const Expr center = mean(x, axes);
          const Expr variance = mean(square(x - center), axes);
          const Expr rstd = 1.0 / sqrt(variance + l["eps"]);
          l.save(center);
          l.save(rstd);
          l.result(scaled(l, (x - center) * rstd));
          l.result(squeeze(center, axes));
          l.result(squeeze(variance, axes));
        },
    // Three sums, where differentiating the definition gives five.
    .vjp =
        [](VjpLowering& v) {
          Lowering& l = v.forward;
          const Expr x = l["input"];
          const Expr center = v.saved[0];
          const Expr rstd = v.saved[1];
          const Ints axes = batch_axes(x.rank());
          const Expr inverse_count = 1.0 / count(x, axes, x.dtype());
          Expr input_gradient;
          const auto add = [&](const Expr& part) {
            input_gradient = input_gradient.valid() ? input_gradient + part : part;
          };
          size_t next = 1;
          if (const Expr& g = v.cotangents[0]; g.valid()) {
            const Expr normal = (x - center) * rstd;
            Expr factor = rstd;
            if (l["weight"].valid()) factor = factor * along_channels(l["weight"], x.rank());
            add((g - mean(g, axes) - normal * mean(g * normal, axes)) * factor);
            if (l["weight"].valid()) v.gradients[next++] = per_channel(g * normal);
            if (l["bias"].valid()) v.gradients[next++] = per_channel(g);
          }
          if (const Expr& g = v.cotangents[1]; g.valid())
            add(broadcast_to(along_channels(g * inverse_count, x.rank()), x.shape()));
          if (const Expr& g = v.cotangents[2]; g.valid())
            add(along_channels(g * inverse_count, x.rank()) * 2.0 * (x - center));
          if (input_gradient.valid()) v.gradients[0] = input_gradient;
        },
    .samples =
        [] {
          return SampleList{{{t({4, 3}), t({3}), t({3}), 1e-5}},
                            {{t({2, 3, 4}), t({3}), std::monostate(), 1e-3}},
                            {{t({2, 3, 2, 2}), std::monostate(), std::monostate(), 1e-5}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({4}), std::monostate(), std::monostate(), 1e-5}}, "RuntimeError", "at least 2"},
              {{{t({4, 3}), t({2}), std::monostate(), 1e-5}},
               "RuntimeError",
               "weight should contain 3 elements"}};
        },
});
const Register kGivenNorm({
    .schema = "_channel_norm_given(Tensor input, Tensor? weight, Tensor? bias, Tensor mean, Tensor "
              "var, float eps) -> Tensor",
    .doc = "Each channel (axis 1) normalised by the given mean and variance, scaled and shifted.",
    .variants = {.function = false, .method = false},
    .accepts = Accepts::Floats,
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_channels(call);
          const TensorInfo& x = call.tensor("input");
          results.push_back({x.dtype, x.sizes, {}});
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["input"];
          const Expr rstd = 1.0 / sqrt(l["var"] + l["eps"]);
          l.result(scaled(
              l, (x - along_channels(l["mean"], x.rank())) * along_channels(rstd, x.rank())));
        },
    .samples =
        [] {
          return SampleList{
              {{t({4, 3}), t({3}), t({3}), t({3}), t({3}, 0.5, 2), 1e-5}},
              {{t({2, 3, 4}), std::monostate(), std::monostate(), t({3}), t({3}, 0.5, 2), 1e-3}}};
        },
});

}  // namespace
}  // namespace flambeau::ops
