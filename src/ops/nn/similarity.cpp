// Distances between rows, the losses made of them, and channels rearranged as pixels.

#include "ops/loss/loss.h"
#include "ops/reduce/reduce.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

const Register kCosineSimilarity({
    .schema = "cosine_similarity(Tensor x1, Tensor x2, int dim=1, float eps=1e-08) -> Tensor",
    .doc = "sum(x1 * x2) / (max(|x1|, eps) * max(|x2|, eps)) along `dim`, broadcast.",
    .variants = {.method = false, .aliases = {"nn.functional.cosine_similarity"}},
    .promotion = Promotion::Promote,
    .accepts = Accepts::Floats,
    .broadcasts = true,
    .shape =
        [](const Call& call, ResultInfos& results) {
          const SmallVector<Ints, 2> shapes{call.tensor("x1").sizes, call.tensor("x2").sizes};
          Ints sizes = call.broadcast(shapes);
          const int64_t axis = call.axis(call.integer("dim"), static_cast<int64_t>(sizes.size()));
          results.push_back({common_dtype(call), reduced_sizes(sizes, {axis}, false), {}});
        },
    .lower =
        [](Lowering& l) {
          const Expr a = l["x1"];
          const Expr b = l["x2"];
          const Expr product = a * b;
          if (product.rank() == 0) return l.result(product / (abs(a) * abs(b)));
          const Ints axes{l.call().axis(l.call().integer("dim"), product.rank())};
          const auto unit = [&](const Expr& x) {
            const Expr wide = broadcast_to(x, product.shape());
            const Expr norm = safe_sqrt(sum(wide * wide, axes));
            return wide / select(lt(norm, l["eps"]), l["eps"], norm);
          };
          l.result(sum(unit(a) * unit(b), axes, false));
        },
    .samples =
        [] { return SampleList{{{t({2, 3}), t({2, 3})}}, {{t({2, 3}), t({3}), Scalar(-1)}}}; },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2, 3}), t({2, 3}), Scalar(5)}}, "IndexError", "[-2, 1], but got 5"}};
        },
});

/// The norm of a - b + eps, of the call's order, over the last axis.
Expr row_distance(Lowering& l, const Expr& a, const Expr& b, const Expr& eps, bool keep) {
  const Expr d = a - b + eps;
  return p_norm(l, d, d.rank() == 0 ? Ints{} : Ints{d.rank() - 1}, keep);
}
const Register kPairwiseDistance({
    .schema = "pairwise_distance(Tensor x1, Tensor x2, float p=2, float eps=1e-06, bool "
              "keepdim=False) -> Tensor",
    .doc = "The p-norm of x1 - x2 + eps over the last axis.",
    .variants = {.method = false, .aliases = {"nn.functional.pairwise_distance"}},
    .promotion = Promotion::ToFloat,
    .broadcasts = true,
    .shape =
        [](const Call& call, ResultInfos& results) {
          const SmallVector<Ints, 2> shapes{call.tensor("x1").sizes, call.tensor("x2").sizes};
          const Ints sizes = call.broadcast(shapes);
          const Ints axes{static_cast<int64_t>(sizes.size()) - 1};
          if (!sizes.empty()) check_norm_exists(call, call.number("p"), sizes, axes);
          results.push_back(
              {real_dtype(common_dtype(call)), reduced_sizes(sizes, axes, keeps_axes(call)), {}});
        },
    .lower =
        [](Lowering& l) {
          l.result(row_distance(l, l["x1"], l["x2"], l["eps"], keeps_axes(l.call())));
        },
    .special = {{"p", norm_orders()}},
    .samples =
        [] {
          return SampleList{{{t({2, 3}), t({2, 3})}},
                            {{t({2, 3}), t({3}), 1.0}},
                            {{t({2, 3}), t({2, 3}), -INFINITY}}};
        },
});

// ---- losses of embeddings
// ----------------------------------------------------------------------------
const Register kCosineEmbedding({
    .schema = "cosine_embedding_loss(Tensor input1, Tensor input2, Tensor target, float margin=0, "
              "bool? size_average=None, bool? reduce=None, str reduction=\"mean\") -> Tensor",
    .doc = "1 - cos where the target is 1, max(0, cos - margin) where it is -1, for the cosine of "
           "the angle between the rows.",
    .variants = {.function = true,
                 .method = false,
                 .aliases = {"nn.functional.cosine_embedding_loss"}},
    .promotion = Promotion::Promote,
    .unpromoted = {"target"},
    .canonical = resolve_reduction,
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& a = call.tensor("input1");
          const TensorInfo& target = call.tensor("target");
          check(a.dim() == target.dim() + 1, [&] {
            return concat(call.name(), ": ", target.dim(), "D target tensor expects ",
                          target.dim() + 1, "D input tensors, but found inputs with sizes ",
                          list_text(a.sizes), " and ", list_text(call.tensor("input2").sizes));
          });
          SmallVector<Ints, 2> shapes{a.sizes, call.tensor("input2").sizes};
          Ints sizes = call.broadcast(shapes);
          sizes.pop_back();
          shapes = {sizes, target.sizes};
          const DType common = common_dtype(call);
          loss_result(call, results, is_inexact(common) ? common : default_dtype(),
                      call.broadcast(shapes));
        },
    .lower =
        [](Lowering& l) {
          const DType dtype = is_inexact(l.compute()) ? l.compute() : default_dtype();
          const Expr a = convert(l["input1"], dtype);
          const Expr b = convert(l["input2"], dtype);
          const Expr y = convert(l["target"], dtype);
          constexpr double kEpsilon = 1e-12;
          const Ints axes{a.rank() - 1};
          const Expr squares =
              (sum(a * a, axes, false) + kEpsilon) * (sum(b * b, axes, false) + kEpsilon);
          const Expr cosine = sum(a * b, axes, false) / sqrt(squares);
          const Expr away = cosine - convert(l.number("margin"), dtype);
          const Expr negative = select(le(away, 0.0), 0.0, away);
          l.result(reduced(
              l, select(eq(y, 1.0), 1.0 - cosine, 0.0) + select(eq(y, -1.0), negative, 0.0)));
        },
    .autocast = "float32",
    .samples =
        [] {
          return SampleList{{{t({3, 4}), t({3, 4}), typed({3}, DType::Int64, 1, 1)}},
                            {{t({3, 4}), t({3, 4}), typed({3}, DType::Int64, -1, -1), 0.1}}};
        },
});
const Register kTripletMargin({
    .schema = "triplet_margin_loss(Tensor anchor, Tensor positive, Tensor negative, float "
              "margin=1.0, float p=2, float eps=1e-06, bool swap=False, bool? size_average=None, "
              "bool? reduce=None, str reduction=\"mean\") -> Tensor",
    .doc = "max(0, d(anchor, positive) - d(anchor, negative) + margin); with swap the nearer of "
           "anchor and positive to the negative counts. Balntas et al., 2016.",
    .variants = {.method = false, .aliases = {"nn.functional.triplet_margin_loss"}},
    .promotion = Promotion::Promote,
    .canonical =
        [](const Call& call, Arguments& arguments) {
          check<ValueError>(call.real("margin") > 0, [&] {
            return concat(call.name(), ": margin must be greater than 0, got ",
                          call.real("margin"));
          });
          resolve_reduction(call, arguments);
        },
    .shape =
        [](const Call& call, ResultInfos& results) {
          const SmallVector<Ints, 3> shapes{call.tensor("anchor").sizes,
                                            call.tensor("positive").sizes,
                                            call.tensor("negative").sizes};
          check(shapes[0].size() == shapes[1].size() && shapes[1].size() == shapes[2].size(), [&] {
            return concat(call.name(),
                          ": The anchor, positive, and negative tensors are expected "
                          "to have the same number of dimensions, but got: anchor ",
                          shapes[0].size(), "D, positive ", shapes[1].size(), "D, and negative ",
                          shapes[2].size(), "D inputs");
          });
          Ints sizes = call.broadcast(shapes);
          if (!sizes.empty()) sizes.pop_back();
          const DType common = common_dtype(call);
          loss_result(call, results, is_inexact(common) ? real_dtype(common) : default_dtype(),
                      sizes);
        },
    .lower =
        [](Lowering& l) {
          const DType dtype = is_inexact(l.compute()) ? l.compute() : default_dtype();
          const Expr a = convert(l["anchor"], dtype);
          const Expr p = convert(l["positive"], dtype);
          const Expr n = convert(l["negative"], dtype);
          const auto distance = [&](const Expr& x, const Expr& y) {
            return row_distance(l, x, y, convert(l.number("eps"), real_dtype(dtype)), false);
          };
          const Expr near = distance(a, p);
          Expr far = distance(a, n);
          if (l.call().boolean("swap")) far = minimum(far, distance(p, n));
          const Expr loss = near - far + convert(l.number("margin"), real_dtype(dtype));
          l.result(reduced(l, select(le(loss, 0.0), 0.0, loss)));
        },
    .special = {{"p", norm_orders()}},
    .autocast = "float32",
    .samples =
        [] {
          return SampleList{{{t({3, 4}), t({3, 4}), t({3, 4}), 2.0}},
                            {{t({3, 4}), t({3, 4}), t({3, 4}), 5.0}, {{"swap", Scalar(true)}}}};
        },
});

// ---- softmin
// ---------------------------------------------------------------------------------------
const Register kSoftmin({
    .schema = "_softmin(Tensor input, int? dim=None, int _stacklevel=3, ScalarType? dtype=None) -> "
              "Tensor",
    .doc = "softmax(-input) along `dim`.",
    .variants = {.function = false, .method = false, .aliases = {"nn.functional.softmin"}},
    .axes = {"dim"},
    .canonical =
        [](const Call& call, Arguments& arguments) {
          if (!call.is_none("dim")) return;
          const int rank = call.tensor("input").dim();
          arguments[1] = Scalar(rank == 0 || rank == 1 || rank == 3 ? 0 : 1);
        },
    .shape =
        [](const Call& call, ResultInfos& results) {
          const DType dtype = call.dtype_or("dtype", call.tensor("input").dtype);
          check(is_float(dtype), [&] {
            return concat("\"", call.name(), "\" not implemented for '", info(dtype).name, "'");
          });
          results.push_back({dtype, call.tensor("input").sizes, {}});
        },
    .lower =
        [](Lowering& l) {
          const Expr x = as_dtype(l, l["input"]);
          // NOLINTNEXTLINE(misc-redundant-expression): NaN where x is not finite
          l.result(x.rank() == 0 ? exp(x - x)
                                 : softmax(-x, static_cast<int>(l.call().integer("dim"))));
        },
    .samples = [] { return SampleList{{{t({2, 3}), Scalar(1)}}, {{t({2, 3})}}}; },
});

// ---- channels and pixels
// ---------------------------------------------------------------------------
template <bool kShuffle>
Definition pixels(std::string_view schema, std::string_view doc, std::vector<std::string> aliases) {
  return {.schema = schema,
          .doc = doc,
          .variants = {.method = false, .aliases = std::move(aliases)},
          .shape =
              [](const Call& call, ResultInfos& results) {
                const TensorInfo& x = call.tensor("self");
                const int64_t r = std::get<Scalar>(call.arguments()[1]).to_int();
                check(x.dim() >= 3 && r > 0, [&] {
                  return concat(call.name(),
                                " expects input to have at least 3 dimensions and a "
                                "positive factor, but got input with ",
                                x.dim(), " dimension(s) and factor ", r);
                });
                TensorInfo result{x.dtype, x.sizes, {}};
                const size_t c = x.sizes.size() - 3;
                const bool fits = kShuffle ? x.sizes[c] % (r * r) == 0
                                           : x.sizes[c + 1] % r == 0 && x.sizes[c + 2] % r == 0;
                check(fits, [&] {
                  return concat(call.name(),
                                " expects its input's channels or pixels to be "
                                "divisible by the factor ",
                                r, ", but got ", list_text(x.sizes));
                });
                result.sizes[c] = kShuffle ? x.sizes[c] / (r * r) : x.sizes[c] * r * r;
                for (size_t i : {c + 1, c + 2})
                  result.sizes[i] = kShuffle ? x.sizes[i] * r : x.sizes[i] / r;
                results.push_back(result);
              },
          .lower =
              [](Lowering& l) {
                const Expr x = l["self"];
                const int64_t r = std::get<Scalar>(l.call().arguments()[1]).to_int();
                const int c = x.rank() - 3;
                Shape split;
                Shape result;
                Ints order;
                for (int i = 0; i < c; ++i) {
                  split.push_back(x.dim(i));
                  result.push_back(x.dim(i));
                  order.push_back(i);
                }
                const Dim channels = x.dim(c);
                const Dim rows = x.dim(c + 1);
                const Dim columns = x.dim(c + 2);
                const Dim f(r);
                const int64_t at = c;
                if (kShuffle) {
                  for (const Dim& d : {channels.floor_div(r * r), f, f, rows, columns})
                    split.push_back(d);
                  for (const int64_t axis : {0, 3, 1, 4, 2}) order.push_back(at + axis);
                  for (const Dim& d : {channels.floor_div(r * r), rows * r, columns * r})
                    result.push_back(d);
                } else {
                  for (const Dim& d : {channels, rows.floor_div(r), f, columns.floor_div(r), f})
                    split.push_back(d);
                  for (const int64_t axis : {0, 2, 4, 1, 3}) order.push_back(at + axis);
                  for (const Dim& d : {channels * (r * r), rows.floor_div(r), columns.floor_div(r)})
                    result.push_back(d);
                }
                l.result(reshape(permute(reshape(x, split), order), result));
              },
          .samples = [] { return SampleList{{{t({1, 4, 2, 2}), Scalar(2)}}}; }};
}

const Register kPixelShuffle(
    pixels<true>("pixel_shuffle(Tensor self, int upscale_factor) -> Tensor",
                 "Channels [C * r^2, H, W] as pixels [C, H * r, W * r]. Shi et al., 2016.",
                 {"nn.functional.pixel_shuffle"}));
const Register kPixelUnshuffle(pixels<false>(
    "pixel_unshuffle(Tensor self, int downscale_factor) -> Tensor",
    "Pixels [C, H * r, W * r] as channels [C * r^2, H, W].", {"nn.functional.pixel_unshuffle"}));
const Register kChannelShuffle({
    .schema = "channel_shuffle(Tensor self, int groups) -> Tensor",
    .doc = "Channels (axis 1) in `groups` groups, one of each in turn. Zhang et al., 2017.",
    .variants = {.method = false, .aliases = {"nn.functional.channel_shuffle"}},
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& x = call.tensor("self");
          const int64_t groups = call.integer("groups");
          check(x.dim() > 2 && groups > 0 && x.sizes[1] % groups == 0, [&] {
            return concat(call.name(),
                          " expects input with > 2 dims and channels divisible by "
                          "groups, but got ",
                          list_text(x.sizes), " and ", groups);
          });
          results.push_back({x.dtype, x.sizes, {}});
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          const int64_t groups = l.call().integer("groups");
          Shape split{x.dim(0), Dim(groups), x.dim(1).floor_div(groups)};
          for (int i = 2; i < x.rank(); ++i) split.push_back(x.dim(i));
          l.result(reshape(transpose(reshape(x, split), 1, 2), x.shape()));
        },
    .samples = [] { return SampleList{{{t({1, 4, 2}), Scalar(2)}}}; },
});

}  // namespace
}  // namespace flambeau::ops
