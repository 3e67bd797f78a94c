// Convolutions as one contraction over windows.

#include <algorithm>

#include "ops/checks.h"
#include "ops/nn/spatial.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

/// What a call convolves, its arguments brought to one value an axis. A convolution and its
/// transpose are one map between two tensors, `source` and `image`: each element of the image sees
/// a window of the source. Weights are [channels of the image, channels of the source / groups, k].
struct Convolution {
  Ints sizes;   // of the input, with batch
  Ints result;  // sizes, with batch
  Ints weight;
  Windows windows;  // of the source
  int64_t groups = 1;
  bool transposed = false;  // the input is the image

  size_t rank() const { return windows.size.size(); }
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
  check(c.weight[0] >= c.groups, [&] {
    return concat(call.name(), ": Given groups=", c.groups, ", expected weight to be at least ",
                  c.groups, " at dimension 0, but got weight of size ", list_text(c.weight));
  });
  const auto list = [&](const char* name) {
    return spatial_argument(call, call.integers(name), kSpatial, name);
  };
  Windows& w = c.windows;
  w.stride = list("stride");
  w.dilation = list("dilation");
  for (size_t i = 0; i < kSpatial; ++i)
    check(w.stride[i] > 0 && w.dilation[i] > 0, [&] {
      return concat(call.name(), ": non-positive stride or dilation is not supported, got ",
                    list_text(w.stride), " and ", list_text(w.dilation));
    });
  w.size = Ints(c.weight.begin() + 2, c.weight.end());
  check(std::find(w.size.begin(), w.size.end(), 0) == w.size.end(), [&] {
    return concat(call.name(), ": kernel size should be greater than zero, but got ",
                  list_text(w.size));
  });
  const int64_t in_channels = kTransposed ? c.weight[0] : c.weight[1] * c.groups;
  const int64_t out_channels = kTransposed ? c.weight[1] * c.groups : c.weight[0];
  check(c.sizes[1] == in_channels && out_channels % c.groups == 0 && in_channels % c.groups == 0,
        [&] {
          return concat(call.name(), ": Given groups=", c.groups, ", weight of size ",
                        list_text(c.weight), ", expected input", list_text(c.sizes), " to have ",
                        in_channels, " channels, but got ", c.sizes[1], " channels instead");
        });
  const bool empty = std::find(c.sizes.begin() + 2, c.sizes.end(), 0) != c.sizes.end();
  check(!empty || c.sizes[0] == 0 || c.sizes[1] == 0, [&] {
    return concat(call.name(),
                  ": Only zero batch or zero channel inputs are supported, but got input shape: ",
                  list_text(c.sizes));
  });
  check_same_dtype(call, {"input", "weight", "bias"});
  if (const TensorInfo* bias = call.optional_tensor("bias"))
    check(bias->dim() == 1 && bias->sizes[0] == out_channels, [&] {
      return concat(call.name(), ": expected bias to be 1-dimensional with ", out_channels,
                    " elements, but got bias of size ", list_text(bias->sizes));
    });
  c.result = {c.sizes[0], out_channels};
  const auto* mode = std::get_if<std::string>(&call["padding"]);
  const auto too_small = [&](bool fails, int64_t padded, int64_t reach) {
    check(!fails, [&] {
      return concat(call.name(), ": Calculated padded input size per channel: ", padded,
                    ". Kernel size: ", reach + 1,
                    ". Kernel size can't be greater than actual input size");
    });
  };
  for (size_t i = 0; i < kSpatial; ++i) {
    const int64_t reach = w.dilation[i] * (w.size[i] - 1);
    const int64_t extent = c.sizes[i + 2];
    check(mode != nullptr || list("padding")[i] >= 0, [&] {
      return concat(call.name(), ": negative padding is not supported, got ",
                    list_text(list("padding")));
    });
    if constexpr (kTransposed) {
      const Ints output_padding = list("output_padding");
      const int64_t pad = list("padding")[i];
      check(output_padding[i] < std::max(w.stride[i], w.dilation[i]), [&] {
        return concat(call.name(),
                      ": output padding must be smaller than either stride or "
                      "dilation, but got output_padding ",
                      list_text(output_padding));
      });
      // The result is what windows are of, and its padding holds what falls outside.
      const int64_t spread = (extent - 1) * w.stride[i] + 1;
      const int64_t count = std::max<int64_t>(spread + reach - 2 * pad + output_padding[i], 0);
      too_small(count == 0, spread + 2 * (reach - pad) + output_padding[i], reach);
      w.low.push_back(pad);
      w.high.push_back(pad - output_padding[i]);
      c.result.push_back(count);
    } else {
      const int64_t pad = mode != nullptr ? (*mode == "same" ? reach / 2 : 0) : list("padding")[i];
      w.low.push_back(pad);
      w.high.push_back(mode != nullptr && *mode == "same" ? reach - pad : pad);
      const int64_t count = w.count(i, extent);
      too_small(count == 0, extent + w.low[i] + w.high[i], reach);
      c.result.push_back(count);
    }
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

int64_t product(const Ints& sizes, size_t first = 0) {
  int64_t product = 1;
  for (size_t i = first; i < sizes.size(); ++i) product *= sizes[i];
  return product;
}

/// Of `first` and the others, as joining axes of these extents has it.
Dim product(const Dim& first, const Shape& others) {
  Dim product = first;
  for (const Dim& extent : others) product = product * extent;
  return product;
}

/// The extents of space, of which a program knows no numbers.
struct Space {
  Shape source, image;
};
/// Of a call with this input.
Space spaces_of(const Convolution& c, const Expr& input) {
  const Windows& w = c.windows;
  if (!c.transposed) return {space_of(input), counts_of(w, input)};
  Space space{{}, space_of(input)};
  for (size_t i = 0; i < c.rank(); ++i) {
    const int64_t reach = w.dilation[i] * (w.size[i] - 1);
    space.source.push_back((space.image[i] - 1) * w.stride[i] + (1 + reach - w.low[i] - w.high[i]));
  }
  return space;
}

/// The windows of x [N, C, spatial...] with its margins as a matrix for each group: [N, groups,
/// C / groups * k, windows], or (by_group) [groups, N * windows, C / groups * k].
Expr window_matrix(const Expr& x, const Shape& counts, const Windows& w, int64_t groups,
                   bool by_group) {
  const size_t rank = w.size.size();
  const int64_t channels = x.dim(1).constant() / groups;
  Shape split{x.dim(0), Dim(groups), Dim(channels)};
  Ints places, inside;
  for (size_t i = 0; i < rank; ++i) {
    split.push_back(counts[i]);
    places.push_back(static_cast<int64_t>(i) + 3);
  }
  for (size_t i = 0; i < rank; ++i) {
    split.push_back(Dim(w.size[i]));
    inside.push_back(static_cast<int64_t>(i + rank) + 3);
  }
  const Dim inner(channels * product(w.size));
  Ints order = by_group ? Ints{1, 0} : Ints{0, 1, 2};
  const auto append = [&](const Ints& axes) {
    for (const int64_t axis : axes) order.push_back(axis);
  };
  append(by_group ? places : inside);
  if (by_group) order.push_back(2);
  append(by_group ? inside : places);
  const Expr windows = reshape(windows_of(x, counts, w), split);
  return reshape(permute(windows, order),
                 by_group ? Shape{Dim(groups), product(x.dim(0), counts), inner}
                          : Shape{x.dim(0), Dim(groups), inner, product(1, counts)});
}

/// Places of a window up to this are terms of a sum that is written out.
constexpr int64_t kMostTaps = 64;

/// Whether each channel of the image sees one channel of the source through a small window.
bool is_by_channel(const Expr& x, const Ints& weight, const Windows& w, int64_t groups) {
  return is_float(x.dtype()) && groups == x.dim(1).constant() && groups == weight[0] &&
         weight[1] == 1 && product(w.size) > 0 && product(w.size) <= kMostTaps;
}

/// Calls visit(k, place) for each place of a window, the last axis fastest.
template <class Visit>
void for_each_tap(const Windows& w, const Visit& visit) {
  for (int64_t k = 0; k < product(w.size); ++k) {
    Ints place(w.size.size(), 0);
    int64_t rest = k;
    for (size_t i = place.size(); i-- > 0; rest /= w.size[i]) place[i] = rest % w.size[i];
    visit(k, place);
  }
}

/// [N, C, counts...]: the element at `place` of every window of the padded x.
Expr at_tap(const Expr& padded, const Shape& counts, const Windows& w, const Ints& place) {
  Shape start{Dim(0), Dim(0)};
  Shape count{padded.dim(0), padded.dim(1)};
  Shape step{Dim(1), Dim(1)};
  for (size_t i = 0; i < place.size(); ++i) {
    start.push_back(Dim(place[i] * w.dilation[i]));
    count.push_back(counts[i]);
    step.push_back(Dim(w.stride[i]));
  }
  return slice(padded, start, count, step);
}

/// The same as `correlate` where is_by_channel: a product of a vector and a matrix for each channel
/// is the chain of multiply-adds that a contraction is, over slices.
Expr correlate_by_channel(const Expr& padded, const Shape& counts, const Expr& weight,
                          const Windows& w, const Expr& bias) {
  const DType dtype = compute_dtype(padded.dtype());
  const Expr x = convert(padded, dtype);
  const Expr taps = reshape(convert(weight, dtype), {weight.dim(0), Dim(product(w.size))});
  const auto along_channels = [&](Expr values) {
    while (values.rank() <= static_cast<int>(w.size.size())) values = unsqueeze(values, -1);
    return values;
  };
  Expr y;
  for_each_tap(w, [&](int64_t k, const Ints& place) {
    const Expr seen = at_tap(x, counts, w, place);
    const Expr factor = broadcast_to(along_channels(slice(taps, 1, Dim(k), Dim(1))), seen.shape());
    y = fma(seen, factor, y.valid() ? y : full_like(seen, 0.0));
  });
  y = convert(y, padded.dtype());
  return bias.valid() ? y + along_channels(unsqueeze(bias, -1)) : y;
}

/// The image [N, out, counts...] of x, with its margins, by weights [out, in / groups, k...], and
/// bias if valid.
Expr correlate(const Expr& x, const Shape& counts, const Expr& weight, const Ints& weight_sizes,
               const Windows& w, int64_t groups, const Expr& bias) {
  const Dim out(weight_sizes[0] / groups);
  const Dim inner(product(weight_sizes, 1));
  const Expr matrix = window_matrix(x, counts, w, groups, false);
  const Expr kernel =
      broadcast_to(reshape(weight, {Dim(groups), out, inner}), {x.dim(0), Dim(groups), out, inner});
  Shape image{x.dim(0), Dim(weight_sizes[0])};
  for (const Dim& count : counts) image.push_back(count);
  Expr y = contract(kernel, matrix);
  if (bias.valid()) y = y + reshape(bias, {Dim(groups), out, Dim(1)});
  return reshape(y, image);
}

/// The image of the source.
Expr image_of(const Convolution& c, const Space& space, const Expr& source, const Expr& weight,
              const Expr& bias = {}) {
  const Windows& w = c.windows;
  const Expr x = with_margins(source, w, 0.0);
  if (is_by_channel(source, c.weight, w, c.groups))
    return correlate_by_channel(x, space.image, weight, w, bias);
  return correlate(x, space.image, weight, c.weight, w, c.groups, bias);
}

/// What the image is of, by the transposed map: the image, spread by the stride, sees windows of
/// the flipped weights.
Expr source_of(const Convolution& c, const Space& space, const Expr& image, const Expr& weight,
               const Expr& bias = {}) {
  Windows w = c.windows;
  Shape low, high;
  Ints interior;
  Ints axes;
  Shape split{Dim(c.groups), Dim(c.weight[0] / c.groups), Dim(c.weight[1])};
  Ints order{0, 2, 1};
  Ints joined{c.groups * c.weight[1], c.weight[0] / c.groups};
  for (size_t i = 0; i < c.rank(); ++i) {
    const int64_t reach = w.dilation[i] * (w.size[i] - 1);
    const Dim spread = (space.image[i] - 1) * w.stride[i] + 1;
    interior.push_back(w.stride[i] - 1);
    low.push_back(reach - w.low[i]);
    high.push_back(space.source[i] - spread + w.low[i]);
    w.stride[i] = 1;
    axes.push_back(static_cast<int64_t>(i) + 2);
    split.push_back(Dim(w.size[i]));
    order.push_back(static_cast<int64_t>(i) + 3);
    joined.push_back(w.size[i]);
  }
  const Expr flipped = reshape(permute(reshape(flip(weight, axes), split), order), dims_of(joined));
  const Expr x = with_margins(image, low, high, interior, 0.0);
  // Where the stride spreads the image, slices would look for its elements one by one.
  const bool dense =
      std::all_of(interior.begin(), interior.end(), [](int64_t n) { return n == 0; });
  if (dense && is_by_channel(image, joined, w, c.groups))
    return correlate_by_channel(x, space.source, flipped, w, bias);
  return correlate(x, space.source, flipped, joined, w, c.groups, bias);
}

/// The gradient of the weights, where `source` or `image` is that of the result.
Expr weight_gradient(const Convolution& c, const Space& space, const Expr& source,
                     const Expr& image) {
  const Windows& w = c.windows;
  const Expr x = with_margins(source, w, 0.0);
  if (is_by_channel(source, c.weight, w, c.groups)) {
    std::vector<Expr> taps;
    Ints axes{0};
    for (size_t i = 0; i < c.rank(); ++i) axes.push_back(static_cast<int64_t>(i) + 2);
    for_each_tap(w, [&](int64_t, const Ints& place) {
      const Expr product = at_tap(x, space.image, w, place) * image;
      taps.push_back(unsqueeze(sum(product, axes, false), -1));
    });
    return reshape(concatenate(taps, 1), dims_of(c.weight));
  }
  const int64_t out = c.weight[0] / c.groups;
  Shape split{image.dim(0), Dim(c.groups), Dim(out)};
  Ints order{1, 2, 0};
  for (const Dim& extent : space.image) {
    order.push_back(static_cast<int64_t>(split.size()));
    split.push_back(extent);
  }
  const Expr rows = reshape(permute(reshape(image, split), order),
                            {Dim(c.groups), Dim(out), product(image.dim(0), space.image)});
  return reshape(contract(rows, window_matrix(x, space.image, w, c.groups, true)),
                 dims_of(c.weight));
}

template <int kRank, bool kTransposed>
void lower_convolution(Lowering& l) {
  const Convolution c = convolution_of<kRank, kTransposed>(l.call());
  const Expr x = with_batch(l["input"], kRank);
  const Space space = spaces_of(c, x);
  const Expr y = kTransposed ? source_of(c, space, x, l["weight"], l["bias"])
                             : image_of(c, space, x, l["weight"], l["bias"]);
  l.result(without_batch(y, l["input"], kRank));
}

/// Both gradients are contractions over windows too, where differentiating a window's reads would
/// scatter.
template <int kRank, bool kTransposed>
void convolution_vjp(VjpLowering& v) {
  Lowering& l = v.forward;
  const Convolution c = convolution_of<kRank, kTransposed>(l.call());
  const Expr x = with_batch(l["input"], kRank);
  const Expr g = with_batch(v.cotangents[0], kRank);
  const Expr weight = l["weight"];
  const Space space = spaces_of(c, x);
  v.gradients[0] =
      without_batch(kTransposed ? image_of(c, space, g, weight) : source_of(c, space, g, weight),
                    l["input"], kRank);
  v.gradients[1] = kTransposed ? weight_gradient(c, space, g, x) : weight_gradient(c, space, x, g);
  if (l["bias"].valid()) {
    Ints axes{0};
    for (size_t i = 0; i < c.rank(); ++i) axes.push_back(static_cast<int64_t>(i) + 2);
    v.gradients[2] = prim::sum(g, axes, false);
  }
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
          .vjp = convolution_vjp<kRank, kTransposed>,
          .fixed = all_but_space<kRank>,
          .autocast = "lower_precision",
          .samples = std::move(samples),
          .errors = [] {
            SampleTensor x, weight, none;
            x.shape = weight.shape = none.shape = Ints(static_cast<size_t>(kRank) + 2, 2);
            x.shape.back() = 0;
            none.shape[0] = 0;
            return std::vector<ErrorSample>{
                {{{x, weight}}, "RuntimeError", "Only zero batch or zero channel inputs"},
                {{{weight, none}}, "RuntimeError", "to be at least 1 at dimension 0"}};
          }};
}
SampleList samples1() {
  return {{{t({2, 4, 7}), t({6, 2, 3}), t({6}), Ints{2}, Ints{1}, Ints{1}, Scalar(2)}},
          {{t({4, 7}), t({2, 4, 3})}}};
}
SampleList samples2() {
  return {{{t({1, 2, 5, 5}), t({3, 2, 3, 2}), t({3}), Ints{2, 1}, Ints{1, 0}, Ints{1, 2}}},
          {{t({2, 3, 4, 5}), t({3, 1, 3, 2}), t({3}), Ints{1}, Ints{1}, Ints{1}, Scalar(3)}},
          {{t({1, 2, 5, 5}), t({2, 1, 3, 2}), std::monostate(), Ints{2, 1}, Ints{1, 0}, Ints{1, 2},
            Scalar(2)}}};
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
