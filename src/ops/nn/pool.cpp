// Averages and maxima over windows.

#include <algorithm>
#include <cmath>

#include "ops/nn/spatial.h"
#include "ops/reduce/reduce.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

constexpr const char* kNoSpace = "tensor with optional 0 dim batch size for input";

/// The windows of a pooling call; with ceil_mode they may reach over the end, which `high` makes
/// room for.
template <int kRank>
Windows pooling_of(const Call& call, const Ints& sizes) {
  constexpr auto kSpatial = static_cast<size_t>(kRank);
  check(std::find(sizes.begin() + 1, sizes.end(), 0) == sizes.end(), [&] {
    return concat(call.name(), ": Expected ", kRank + 1, "D or ", kRank + 2, "D (batch mode) ",
                  kNoSpace, ", but got: ", list_text(call.tensor("self").sizes));
  });
  Windows w;
  w.size = spatial_argument(call, call.integers("kernel_size"), kSpatial, "kernel_size");
  const auto* stride = std::get_if<Ints>(&call["stride"]);
  w.stride = stride == nullptr || stride->empty()
                 ? w.size
                 : spatial_argument(call, *stride, kSpatial, "stride");
  w.low = spatial_argument(call, call.integers("padding"), kSpatial, "padding");
  w.high = w.low;
  w.dilation = Ints(kSpatial, 1);
  for (const Parameter& p : call.definition().parsed.parameters)
    if (p.name == "dilation")
      w.dilation = spatial_argument(call, call.integers("dilation"), kSpatial, "dilation");
  for (size_t i = 0; i < kSpatial; ++i) {
    check(w.size[i] > 0 && w.stride[i] > 0 && w.dilation[i] > 0, [&] {
      return concat(call.name(),
                    ": kernel size, stride and dilation should be greater than zero, "
                    "but got ",
                    list_text(w.size), ", ", list_text(w.stride), ", ", list_text(w.dilation));
    });
    check(w.low[i] >= 0 && w.low[i] <= w.size[i] / 2, [&] {
      return concat(call.name(),
                    ": pad should be at most half of kernel size, but got pad=", w.low[i],
                    " and kernel_size=", w.size[i]);
    });
    const int64_t n = sizes[i + 2];
    const int64_t span = n + 2 * w.low[i] - w.dilation[i] * (w.size[i] - 1) - 1;
    int64_t count = span < 0 ? 0 : span / w.stride[i] + 1;
    if (call.boolean("ceil_mode") && span > -w.stride[i]) {
      count = (span + w.stride[i] - 1) / w.stride[i] + 1;
      // A window must begin inside the input or the margin before it.
      if ((count - 1) * w.stride[i] >= n + w.low[i]) --count;
      const int64_t needed = (count - 1) * w.stride[i] + w.dilation[i] * (w.size[i] - 1) + 1;
      w.high[i] = std::max(w.high[i], needed - n - w.low[i]);
    }
    check(count > 0, [&] {
      return concat(call.name(), ": Given input size: ", list_text(sizes),
                    ". Calculated output size is too small");
    });
  }
  return w;
}
/// The windows of x, with the margins that pooling_of() gives it.
Expr pooling_windows(const Call& call, const Windows& w, const Expr& x, double margin) {
  Shape counts = counts_of(w, x);
  Shape high = dims_of(w.low);
  if (call.boolean("ceil_mode"))
    for (size_t i = 0; i < counts.size(); ++i) {
      const Dim inside = x.dim(static_cast<int>(i) + 2) + w.low[i];
      const int64_t reach = w.dilation[i] * (w.size[i] - 1);
      counts[i] = min((inside + (w.low[i] - reach - 1)).ceil_div(w.stride[i]),
                      (inside - 1).floor_div(w.stride[i])) +
                  1;
      high[i] = max((counts[i] - 1) * w.stride[i] + (reach + 1) - inside, w.low[i]);
    }
  const Ints none(w.size.size(), 0);
  return windows_of(with_margins(x, dims_of(w.low), high, none, margin), counts, w);
}
/// The extent of x along axis `i` of space.
Expr extent_of(const Expr& x, size_t i) {
  return extent(x.builder(), x.dim(static_cast<int>(i) + 2));
}
template <int kRank>
Ints pooled_sizes(const Call& call) {
  const Ints& own = call.tensor("self").sizes;
  const Ints sizes = batched_sizes(call, own, static_cast<size_t>(kRank));
  const Windows w = pooling_of<kRank>(call, sizes);
  Ints result = own;
  for (size_t i = 0; i < static_cast<size_t>(kRank); ++i)
    result[own.size() - static_cast<size_t>(kRank) + i] = w.count(i, sizes[i + 2]);
  return result;
}
/// A tensor whose last axis is empty, which all pools refuse.
template <int kRank>
SampleTensor spaceless() {
  SampleTensor x;
  x.shape = Ints(static_cast<size_t>(kRank) + 2, 2);
  x.shape.back() = 0;
  return x;
}
template <int kRank>
Ints window_axes() {
  Ints axes;
  for (int64_t i = 0; i < kRank; ++i) axes.push_back(kRank + 2 + i);
  return axes;
}

bool has_divisor(const Call& call) {
  const auto& parameters = call.definition().parsed.parameters;
  return parameters.back().name == "divisor_override" && !call.is_none("divisor_override");
}

template <int kRank>
void lower_average(Lowering& l) {
  constexpr auto kSpatial = static_cast<size_t>(kRank);
  const Expr x = with_batch(l["self"], kSpatial);
  const Ints sizes = batched_sizes(l.call(), l.call().tensor("self").sizes, kSpatial);
  const Windows w = pooling_of<kRank>(l.call(), sizes);
  const Expr total = sum(pooling_windows(l.call(), w, x, 0.0), window_axes<kRank>(), false);
  if (has_divisor(l.call()))
    return l.result(without_batch(total / static_cast<double>(l.call().integer("divisor_override")),
                                  l["self"], kSpatial));
  // How many elements a window counts: those inside, or inside the margins of `padding`.
  const bool margins = l.call().boolean("count_include_pad");
  Expr count = constant(x, x.dtype(), Scalar(1));
  Shape shape = total.shape();
  for (size_t i = 0; i < kSpatial; ++i) {
    const Expr start =
        iota(x.builder(), shape, static_cast<int>(i) + 2) * static_cast<double>(w.stride[i]) -
        static_cast<double>(w.low[i]);
    const Expr end = extent_of(x, i) + static_cast<double>(margins ? w.low[i] : 0);
    const Expr last = minimum(start + static_cast<double>(w.size[i]), end);
    const Expr first = margins ? start : maximum(start, full_like(start, 0.0));
    count = count * convert(last - first, x.dtype());
  }
  l.result(without_batch(total / count, l["self"], kSpatial));
}
template <int kRank>
Definition average_pool(std::string_view schema, std::vector<std::string> aliases,
                        std::function<SampleList()> samples) {
  return {.schema = schema,
          .doc = "The mean over each window; margins count as zeros if count_include_pad.",
          .variants = {.function = false, .method = false, .aliases = std::move(aliases)},
          .accepts = Accepts::NumbersNoBool,
          .shape =
              [](const Call& call, ResultInfos& r) {
                if (has_divisor(call))
                  check(call.integer("divisor_override") != 0,
                        [&] { return concat(call.name(), ": divisor must be not zero"); });
                r.push_back({call.tensor("self").dtype, pooled_sizes<kRank>(call), {}});
              },
          .lower = lower_average<kRank>,
          .fixed = all_but_space<kRank>,
          .autocast = kRank == 3 ? "float32" : "",
          .samples = std::move(samples),
          .errors =
              [] {
                return std::vector<ErrorSample>{
                    {{{spaceless<kRank>(), Ints{2}, Ints{1}, Ints{1}}}, "RuntimeError", kNoSpace}};
              }};
}
const Register kAvgPool1d(average_pool<1>(
    "avg_pool1d(Tensor self, int[1] kernel_size, int[1]? stride=None, int[1] padding=0, bool "
    "ceil_mode=False, bool count_include_pad=True) -> Tensor",
    {"avg_pool1d", "nn.functional.avg_pool1d"}, [] {
      return SampleList{{{t({2, 3, 7}), Ints{3}, Ints{2}, Ints{1}}},
                        {{t({3, 6}), Ints{2}}},
                        {{t({1, 2, 1}), Ints{3}}, {{"ceil_mode", Scalar(true)}}}};
    }));
const Register kAvgPool2d(average_pool<2>(
    "avg_pool2d(Tensor self, int[2] kernel_size, int[2]? stride=None, int[2] padding=0, bool "
    "ceil_mode=False, bool count_include_pad=True, int? divisor_override=None) -> Tensor",
    {"nn.functional.avg_pool2d"}, [] {
      return SampleList{
          {{t({1, 2, 5, 5}), Ints{3, 2}, Ints{2}, Ints{1}, Scalar(true), Scalar(false)}}};
    }));
const Register kAvgPool3d(average_pool<3>(
    "avg_pool3d(Tensor self, int[3] kernel_size, int[3]? stride=None, int[3] padding=0, bool "
    "ceil_mode=False, bool count_include_pad=True, int? divisor_override=None) -> Tensor",
    {"nn.functional.avg_pool3d"}, [] { return SampleList{{{t({1, 2, 3, 4, 3}), Ints{2}}}}; }));

// ---- maxima
// ----------------------------------------------------------------------------------------
/// The number that no element is below.
double lowest_of(DType dtype) {
  if (is_float(dtype)) return -INFINITY;
  if (!info(dtype).is_signed) return 0;
  return -std::ldexp(1.0, static_cast<int>(8 * size_of(dtype)) - 1);
}

template <int kRank, bool kIndices>
void lower_maximum(Lowering& l) {
  constexpr auto kSpatial = static_cast<size_t>(kRank);
  const Expr x = with_batch(l["self"], kSpatial);
  const Ints sizes = batched_sizes(l.call(), l.call().tensor("self").sizes, kSpatial);
  const Windows w = pooling_of<kRank>(l.call(), sizes);
  const Ints axes = window_axes<kRank>();
  const double lowest = lowest_of(x.dtype());
  const Expr windows = stop_gradient(pooling_windows(l.call(), w, x, lowest));
  // Which element of the window is the first maximum, and where it is in its plane.
  Expr rest = index_of_extreme(windows, amax(windows, axes), axes);
  rest = squeeze(rest, axes);
  const Shape shape = rest.shape();
  SmallVector<Expr, 3> places;
  places.resize(kSpatial);
  for (size_t i = kSpatial; i-- > 0;) {
    const Expr size = full_like(rest, static_cast<double>(w.size[i]));
    const Expr inside = remainder(rest, size);
    rest = rest / size;
    places[i] =
        iota(x.builder(), shape, static_cast<int>(i) + 2) * static_cast<double>(w.stride[i]) +
        inside * static_cast<double>(w.dilation[i]) - static_cast<double>(w.low[i]);
  }
  std::vector<Expr> index{iota(x.builder(), shape, 0), iota(x.builder(), shape, 1)};
  Expr flat = full_like(rest, 0.0);
  Expr beyond;
  for (size_t i = 0; i < kSpatial; ++i) {
    // A margin is the first maximum only where all elements are the lowest number: then it is the
    // first one inside. Dilated windows may have none.
    const Expr zero = full_like(flat, 0.0);
    const bool dilated = w.dilation[i] > 1 && w.low[i] > 0;
    if (dilated) {
      const auto step = static_cast<double>(w.dilation[i]);
      const Expr start =
          iota(x.builder(), shape, static_cast<int>(i) + 2) * static_cast<double>(w.stride[i]) -
          static_cast<double>(w.low[i]);
      const Expr before = maximum(zero - start + (step - 1), zero) / full_like(start, step);
      places[i] = maximum(places[i], start + before * step);
    } else {
      places[i] = maximum(places[i], zero);
    }
    flat = flat * extent_of(x, i) + places[i];
    if (dilated) {
      const Expr last = extent_of(x, i) - 1.0;
      const Expr here = gt(places[i], last);
      beyond = beyond.valid() ? logical_or(beyond, here) : here;
      places[i] = minimum(places[i], last);
    }
    index.push_back(places[i]);
  }
  Expr value = gather(x, index);
  if (beyond.valid()) value = select(beyond, full_like(value, lowest), value);
  l.result(without_batch(value, l["self"], kSpatial));
  if (kIndices) l.result(without_batch(flat, l["self"], kSpatial));
}
template <int kRank, bool kIndices>
Definition maximum_pool(std::string_view schema, std::vector<std::string> aliases) {
  return {.schema = schema,
          .doc = kIndices
                     ? "The maximum of each window and its place in the plane of the input."
                     : "The maximum of each window; the first of equal ones gets the gradient.",
          .variants = {.function = false, .method = false, .aliases = std::move(aliases)},
          .accepts = Accepts::NumbersNoBool,
          .shape =
              [](const Call& call, ResultInfos& results) {
                const Ints sizes = pooled_sizes<kRank>(call);
                results.push_back({call.tensor("self").dtype, sizes, {}});
                if (kIndices) results.push_back({DType::Int64, sizes, {}});
              },
          .lower = lower_maximum<kRank, kIndices>,
          .fixed = all_but_space<kRank>,
          .samples =
              [] {
                SampleTensor x;
                x.shape = {1, 2};
                for (int i = 0; i < kRank; ++i) x.shape.push_back(4 + i);
                SampleTensor shorter = x;  // than a window
                shorter.shape.back() = 2;
                return SampleList{{{x, Ints{3}, Ints{2}, Ints{1}}},
                                  {{x, Ints{2}}, {{"ceil_mode", Scalar(true)}}},
                                  {{shorter, Ints{3}}, {{"ceil_mode", Scalar(true)}}},
                                  {{x, Ints{2}, Ints{1}, Ints{1}, Ints{3}}}};
              },
          .errors =
              [] {
                return std::vector<ErrorSample>{
                    {{{spaceless<kRank>(), Ints{2}, Ints{1}, Ints{1}}}, "RuntimeError", kNoSpace}};
              }};
}
const Register kMaxPool1dIndices(maximum_pool<1, true>(
    "max_pool1d_with_indices(Tensor self, int[1] kernel_size, int[1]? stride=None, int[1] "
    "padding=0, int[1] dilation=1, bool ceil_mode=False) -> (Tensor, Tensor)",
    {"nn.functional.max_pool1d_with_indices"}));
const Register kMaxPool2dIndices(maximum_pool<2, true>(
    "max_pool2d_with_indices(Tensor self, int[2] kernel_size, int[2]? stride=None, int[2] "
    "padding=0, int[2] dilation=1, bool ceil_mode=False) -> (Tensor, Tensor)",
    {"nn.functional.max_pool2d_with_indices"}));
const Register kMaxPool3dIndices(maximum_pool<3, true>(
    "max_pool3d_with_indices(Tensor self, int[3] kernel_size, int[3]? stride=None, int[3] "
    "padding=0, int[3] dilation=1, bool ceil_mode=False) -> (Tensor, Tensor)",
    {"nn.functional.max_pool3d_with_indices"}));
const Register kMaxPool1d(maximum_pool<1, false>(
    "max_pool1d(Tensor self, int[1] kernel_size, int[1]? stride=None, int[1] padding=0, int[1] "
    "dilation=1, bool ceil_mode=False) -> Tensor",
    {"max_pool1d", "nn.functional.max_pool1d"}));
const Register kMaxPool2d(maximum_pool<2, false>(
    "max_pool2d(Tensor self, int[2] kernel_size, int[2]? stride=None, int[2] padding=0, int[2] "
    "dilation=1, bool ceil_mode=False) -> Tensor",
    {"max_pool2d", "nn.functional.max_pool2d"}));
const Register kMaxPool3d(maximum_pool<3, false>(
    "max_pool3d(Tensor self, int[3] kernel_size, int[3]? stride=None, int[3] padding=0, int[3] "
    "dilation=1, bool ceil_mode=False) -> Tensor",
    {"max_pool3d", "nn.functional.max_pool3d"}));

// ---- windows that divide the input evenly
// ------------------------------------------------------------
template <int kRank>
Ints adaptive_sizes(const Call& call) {
  constexpr auto kSpatial = static_cast<size_t>(kRank);
  const Ints& own = call.tensor("self").sizes;
  batched_sizes(call, own, kSpatial);
  Ints result = own;
  const Ints given = spatial_argument(call, call.integers("output_size"), kSpatial, "output_size");
  for (size_t i = 0; i < kSpatial; ++i) {
    check(given[i] >= 0, [&] {
      return concat(call.name(),
                    ": elements of output_size must be greater than or equal to 0 but "
                    "received ",
                    list_text(given));
    });
    result[result.size() - kSpatial + i] = given[i];
  }
  // One window is a mean of all, NaN if there are none; PyTorch looks at the channels in 3d alone.
  const size_t first = kRank == 3 ? 1 : own.size() - kSpatial;
  const bool one = std::all_of(given.begin(), given.end(), [](int64_t n) { return n == 1; });
  check(one || std::find(own.begin() + first, own.end(), 0) == own.end(), [&] {
    return concat(call.name(),
                  "(): Expected input to have non-zero size for non-batch dimensions, but input "
                  "has sizes ",
                  list_text(own));
  });
  return result;
}
template <int kRank>
Definition adaptive_pool(std::string_view schema, std::vector<std::string> aliases) {
  return {.schema = schema,
          .doc =
              "The mean over windows that divide the input into output_size parts, as even as "
              "possible.",
          .variants = {.function = false, .method = false, .aliases = std::move(aliases)},
          .accepts = Accepts::Floats,
          .shape =
              [](const Call& call, ResultInfos& r) {
                r.push_back({call.tensor("self").dtype, adaptive_sizes<kRank>(call), {}});
              },
          .lower =
              [](Lowering& l) {
                const Ints& sizes = l.call().tensor("self").sizes;
                const Ints result = adaptive_sizes<kRank>(l.call());
                Expr x = l["self"];
                const size_t first = sizes.size() - static_cast<size_t>(kRank);
                if (std::all_of(result.begin() + first, result.end(),
                                [](int64_t n) { return n == 1; })) {
                  Ints axes;
                  for (size_t i = first; i < sizes.size(); ++i)
                    axes.push_back(static_cast<int64_t>(i));
                  return l.result(mean(x, axes));
                }
                for (size_t i = first; i < sizes.size(); ++i) {
                  const int axis = static_cast<int>(i);
                  x = adaptive_average(x, axis, x.dim(axis), Dim(result[i]));
                }
                l.result(x);
              },
          .autocast = kRank == 3 ? "float32" : "",
          .samples =
              [] {
                SampleTensor x;
                x.shape = {1, 2};
                for (int i = 0; i < kRank; ++i) x.shape.push_back(5 + i);
                return SampleList{{{x, Ints{3}}}, {{x, Ints{1}}}};
              },
          .errors =
              [] {
                return std::vector<ErrorSample>{{{{spaceless<kRank>(), Ints{2}}},
                                                 "RuntimeError",
                                                 "to have non-zero size for non-batch dimensions"}};
              }};
}
const Register kAdaptiveAvg1d(
    adaptive_pool<1>("adaptive_avg_pool1d(Tensor self, int[1] output_size) -> Tensor",
                     {"adaptive_avg_pool1d", "nn.functional.adaptive_avg_pool1d"}));
const Register kAdaptiveAvg2d(
    adaptive_pool<2>("adaptive_avg_pool2d(Tensor self, int[2] output_size) -> Tensor",
                     {"nn.functional.adaptive_avg_pool2d"}));
const Register kAdaptiveAvg3d(
    adaptive_pool<3>("adaptive_avg_pool3d(Tensor self, int[3] output_size) -> Tensor",
                     {"nn.functional.adaptive_avg_pool3d"}));

}  // namespace
}  // namespace flambeau::ops
