// Convolutions as one contraction over windows.

#include <algorithm>

#include "ops/checks.h"
#include "ops/nn/spatial.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

/// What a call convolves, its arguments brought to one value an axis.
struct Convolution {
  Ints sizes;  // of the input, with batch
  Ints weight;
  Windows windows;
  Ints stride, output_padding;
  int64_t groups = 1;
  bool transposed = false;
  Ints result;  // sizes, with batch
};

template <int kRank, bool kTransposed>
Convolution convolution_of(const Call& call) {
  constexpr auto kSpatial = static_cast<size_t>(kRank);
  Convolution c;
  c.transposed = kTransposed;
  c.sizes = batched_sizes(call, call.tensor("input").sizes, kSpatial);
  c.weight = call.tensor("weight").sizes;
  c.groups = call.integer("groups");
  check(c.weight.size() == kSpatial + 2, [&] {
    return concat(call.name(), ": Expected ", kSpatial + 2, "-dimensional weight, but got ",
                  list_text(c.weight));
  });
  check(c.groups > 0, [&] {
    return concat(call.name(), ": non-positive groups is not supported, got ", c.groups);
  });
  const auto list = [&](const char* name) {
    return spatial_argument(call, call.integers(name), kSpatial, name);
  };
  c.stride = list("stride");
  c.windows.dilation = list("dilation");
  for (size_t i = 0; i < kSpatial; ++i)
    check(c.stride[i] > 0 && c.windows.dilation[i] > 0, [&] {
      return concat(call.name(), ": non-positive stride or dilation is not supported, got ",
                    list_text(c.stride), " and ", list_text(c.windows.dilation));
    });
  c.windows.size = Ints(c.weight.begin() + 2, c.weight.end());
  const int64_t in_channels = kTransposed ? c.weight[0] : c.weight[1] * c.groups;
  const int64_t out_channels = kTransposed ? c.weight[1] * c.groups : c.weight[0];
  check(c.sizes[1] == in_channels && out_channels % c.groups == 0 && in_channels % c.groups == 0,
        [&] {
          return concat(call.name(), ": Given groups=", c.groups, ", weight of size ",
                        list_text(c.weight), ", expected input", list_text(c.sizes), " to have ",
                        in_channels, " channels, but got ", c.sizes[1], " channels instead");
        });
  check_same_dtype(call, {"input", "weight", "bias"});
  if (const TensorInfo* bias = call.optional_tensor("bias"))
    check(bias->dim() == 1 && bias->sizes[0] == out_channels, [&] {
      return concat(call.name(), ": expected bias to be 1-dimensional with ", out_channels,
                    " elements, but got bias of size ", list_text(bias->sizes));
    });
  c.result = {c.sizes[0], out_channels};
  const auto* mode = std::get_if<std::string>(&call["padding"]);
  for (size_t i = 0; i < kSpatial; ++i) {
    const int64_t reach = c.windows.dilation[i] * (c.windows.size[i] - 1);
    if constexpr (kTransposed) {
      c.output_padding = list("output_padding");
      const int64_t pad = list("padding")[i];
      check(c.output_padding[i] < std::max(c.stride[i], c.windows.dilation[i]), [&] {
        return concat(call.name(),
                      ": output padding must be smaller than either stride or "
                      "dilation, but got output_padding ",
                      list_text(c.output_padding));
      });
      // A convolution of the input spread by the stride.
      c.windows.low.push_back(reach - pad);
      c.windows.high.push_back(reach - pad + c.output_padding[i]);
      c.windows.stride.push_back(1);
    } else {
      const int64_t pad = mode != nullptr ? (*mode == "same" ? reach / 2 : 0) : list("padding")[i];
      c.windows.low.push_back(pad);
      c.windows.high.push_back(mode != nullptr && *mode == "same" ? reach - pad : pad);
      c.windows.stride.push_back(c.stride[i]);
    }
    const int64_t extent_here =
        kTransposed ? (c.sizes[i + 2] - 1) * c.stride[i] + 1 : c.sizes[i + 2];
    const int64_t count = c.windows.count(i, extent_here);
    check(count > 0 || c.sizes[i + 2] == 0, [&] {
      return concat(call.name(), ": Calculated padded input size per channel: ",
                    extent_here + c.windows.low[i] + c.windows.high[i],
                    ". Kernel size: ", reach + 1,
                    ". Kernel size can't be greater than actual input size");
    });
    c.result.push_back(count);
  }
  return c;
}

template <int kRank, bool kTransposed>
void convolution_shape(const Call& call, ResultInfos& results) {
  const Convolution c = convolution_of<kRank, kTransposed>(call);
  Ints sizes = c.result;
  if (call.tensor("input").sizes.size() == static_cast<size_t>(kRank) + 1)
    sizes = Ints(sizes.begin() + 1, sizes.end());
  results.push_back({call.tensor("input").dtype, sizes, {}});
}

template <int kRank, bool kTransposed>
void lower_convolution(Lowering& l) {
  constexpr auto kSpatial = static_cast<size_t>(kRank);
  Convolution c = convolution_of<kRank, kTransposed>(l.call());
  Expr x = with_batch(l["input"], kSpatial);
  Expr weight = l["weight"];
  const int64_t g = c.groups;
  if (kTransposed) {
    Ints interior;
    for (const int64_t stride : c.stride) interior.push_back(stride - 1);
    const Ints none(kSpatial, 0);
    x = with_margins(x, none, none, interior, 0.0);
    for (size_t i = 0; i < kSpatial; ++i)
      c.sizes[i + 2] = std::max<int64_t>((c.sizes[i + 2] - 1) * c.stride[i] + 1, 0);
    // [in, out / g, k...] to [out, in / g, k...], flipped.
    Ints axes;
    Shape split{Dim(g), Dim(c.weight[0] / g), Dim(c.weight[1])};
    Ints order{0, 2, 1};
    Shape joined{Dim(g * c.weight[1]), Dim(c.weight[0] / g)};
    for (size_t i = 0; i < kSpatial; ++i) {
      axes.push_back(static_cast<int64_t>(i) + 2);
      split.push_back(Dim(c.weight[i + 2]));
      order.push_back(static_cast<int64_t>(i) + 3);
      joined.push_back(Dim(c.weight[i + 2]));
    }
    weight = reshape(permute(reshape(flip(weight, axes), split), order), joined);
  }
  const int64_t channels = c.sizes[1];
  const int64_t out_channels = c.result[1];
  // [N, C, windows..., k...] to [g, N * windows, C / g * k].
  const Expr windows = windows_of(x, c.sizes, c.windows, 0.0);
  Shape split{Dim(c.sizes[0]), Dim(g), Dim(channels / g)};
  Ints order{1, 0};
  int64_t rows = c.sizes[0];
  int64_t inner = channels / g;
  for (size_t i = 0; i < kSpatial; ++i) {
    split.push_back(Dim(c.result[i + 2]));
    order.push_back(static_cast<int64_t>(i) + 3);
    rows *= c.result[i + 2];
  }
  order.push_back(2);
  for (size_t i = 0; i < kSpatial; ++i) {
    split.push_back(Dim(c.windows.size[i]));
    order.push_back(static_cast<int64_t>(i + kSpatial) + 3);
    inner *= c.windows.size[i];
  }
  const Expr matrix =
      reshape(permute(reshape(windows, split), order), {Dim(g), Dim(rows), Dim(inner)});
  const Expr kernel = transpose(reshape(weight, {Dim(g), Dim(out_channels / g), Dim(inner)}), 1, 2);
  // [g, N * windows, out / g] to [N, out, windows...].
  Shape apart{Dim(g), Dim(c.sizes[0])};
  Ints back{1, 0};
  Shape result{Dim(c.sizes[0]), Dim(out_channels)};
  back.push_back(static_cast<int64_t>(kSpatial) + 2);
  for (size_t i = 0; i < kSpatial; ++i) {
    apart.push_back(Dim(c.result[i + 2]));
    back.push_back(static_cast<int64_t>(i) + 2);
    result.push_back(Dim(c.result[i + 2]));
  }
  apart.push_back(Dim(out_channels / g));
  Expr y = reshape(permute(reshape(contract(matrix, kernel), apart), back), result);
  if (l["bias"].valid()) {
    Expr bias = l["bias"];
    for (size_t i = 0; i < kSpatial; ++i) bias = unsqueeze(bias, bias.rank());
    y = y + bias;
  }
  l.result(without_batch(y, l["input"], kSpatial));
}

template <int kRank, bool kTransposed>
Definition convolution(std::string_view schema, std::string name,
                       std::function<SampleList()> samples) {
  return {.schema = schema,
          .doc = kTransposed
                     ? "The gradient of a convolution in its input, as an operation: every element "
                       "spreads over a window of the result."
                     : "result[n, o, p] = bias[o] + the sum over c and k of weight[o, c, k] * "
                       "input[n, c, p * stride + k * dilation - padding], channels in groups.",
          .variants = {.method = false, .aliases = {std::move(name)}},
          .accepts = Accepts::NumbersNoBool,
          .shape = convolution_shape<kRank, kTransposed>,
          .lower = lower_convolution<kRank, kTransposed>,
          .by_shape = true,
          .autocast = "lower_precision",
          .samples = std::move(samples)};
}
SampleList samples1() {
  return {{{t({2, 4, 7}), t({6, 2, 3}), t({6}), Ints{2}, Ints{1}, Ints{1}, Scalar(2)}},
          {{t({4, 7}), t({2, 4, 3})}}};
}
SampleList samples2() {
  return {{{t({1, 2, 5, 5}), t({3, 2, 3, 2}), t({3}), Ints{2, 1}, Ints{1, 0}, Ints{1, 2}}}};
}
SampleList samples3() { return {{{t({1, 2, 3, 4, 3}), t({2, 2, 2, 2, 2})}}}; }
SampleList same_samples() {
  return {{{t({2, 2, 5}), t({3, 2, 4}), t({3})}, {{"padding", std::string("same")}}}};
}
const Register kConv1d(convolution<1, false>(
    "conv1d(Tensor input, Tensor weight, Tensor? bias=None, int[1] stride=1, int[1] padding=0, "
    "int[1] dilation=1, int groups=1) -> Tensor",
    "nn.functional.conv1d", samples1));
const Register kConv1dPadding(convolution<1, false>(
    "conv1d.padding(Tensor input, Tensor weight, Tensor? bias=None, int[1] stride=1, str "
    "padding=\"valid\", int[1] dilation=1, int groups=1) -> Tensor",
    "nn.functional.conv1d", same_samples));
const Register kConv2d(convolution<2, false>(
    "conv2d(Tensor input, Tensor weight, Tensor? bias=None, int[2] stride=1, int[2] padding=0, "
    "int[2] dilation=1, int groups=1) -> Tensor",
    "nn.functional.conv2d", samples2));
const Register kConv2dPadding(convolution<2, false>(
    "conv2d.padding(Tensor input, Tensor weight, Tensor? bias=None, int[2] stride=1, str "
    "padding=\"valid\", int[2] dilation=1, int groups=1) -> Tensor",
    "nn.functional.conv2d", [] {
      return SampleList{{{t({1, 2, 4, 4}), t({2, 2, 3, 3})}, {{"padding", std::string("same")}}}};
    }));
const Register kConv3d(convolution<3, false>(
    "conv3d(Tensor input, Tensor weight, Tensor? bias=None, int[3] stride=1, int[3] padding=0, "
    "int[3] dilation=1, int groups=1) -> Tensor",
    "nn.functional.conv3d", samples3));
const Register kConv3dPadding(convolution<3, false>(
    "conv3d.padding(Tensor input, Tensor weight, Tensor? bias=None, int[3] stride=1, str "
    "padding=\"valid\", int[3] dilation=1, int groups=1) -> Tensor",
    "nn.functional.conv3d", [] {
      return SampleList{
          {{t({1, 1, 3, 3, 3}), t({1, 1, 2, 2, 2})}, {{"padding", std::string("same")}}}};
    }));
const Register kConvTranspose1d(convolution<1, true>(
    "conv_transpose1d(Tensor input, Tensor weight, Tensor? bias=None, int[1] stride=1, int[1] "
    "padding=0, int[1] output_padding=0, int groups=1, int[1] dilation=1) -> Tensor",
    "nn.functional.conv_transpose1d", [] {
      return SampleList{
          {{t({2, 4, 5}), t({4, 3, 3}), t({6}), Ints{2}, Ints{1}, Ints{1}, Scalar(2)}}};
    }));
const Register kConvTranspose2d(convolution<2, true>(
    "conv_transpose2d(Tensor input, Tensor weight, Tensor? bias=None, int[2] stride=1, int[2] "
    "padding=0, int[2] output_padding=0, int groups=1, int[2] dilation=1) -> Tensor",
    "nn.functional.conv_transpose2d", [] {
      return SampleList{{{t({1, 2, 3, 3}), t({2, 3, 2, 3}), t({3}), Ints{2, 1}, Ints{1, 2}}}};
    }));
const Register kConvTranspose3d(convolution<3, true>(
    "conv_transpose3d(Tensor input, Tensor weight, Tensor? bias=None, int[3] stride=1, int[3] "
    "padding=0, int[3] output_padding=0, int groups=1, int[3] dilation=1) -> Tensor",
    "nn.functional.conv_transpose3d",
    [] { return SampleList{{{t({1, 2, 2, 3, 2}), t({2, 2, 2, 2, 2})}}}; }));

}  // namespace
}  // namespace flambeau::ops
