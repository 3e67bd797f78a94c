// Maxima over windows that divide the input as evenly as possible.

#include <algorithm>

#include "ops/nn/spatial.h"
#include "ops/reduce/reduce.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

/// Window o of `out` covers [floor(o n / out), ceil((o + 1) n / out)).
struct Axis {
  int64_t n, out;
  /// The length of the longest window.
  int64_t longest() const {
    int64_t most = 0;
    for (int64_t o = 0; o < out; ++o)
      most = std::max(most, ((o + 1) * n + out - 1) / out - o * n / out);
    return most;
  }
};
template <int kRank>
SmallVector<Axis, 3> axes_of(const Call& call) {
  constexpr auto kSpatial = static_cast<size_t>(kRank);
  const Ints& sizes = call.tensor("self").sizes;
  batched_sizes(call, sizes, kSpatial);
  const bool empty = std::find(sizes.begin() + 1, sizes.end(), 0) != sizes.end();
  const Ints given = spatial_argument(call, call.integers("output_size"), kSpatial, "output_size");
  SmallVector<Axis, 3> axes;
  for (size_t i = 0; i < kSpatial; ++i) {
    const Axis axis{sizes[sizes.size() - kSpatial + i], given[i]};
    check(!empty && axis.out >= 0, [&] {
      return concat(call.name(),
                    ": Expected input to have non-zero size for non-batch dimensions, "
                    "and output_size of no negative numbers, but got input of ",
                    list_text(sizes), " and output_size ", list_text(given));
    });
    axes.push_back(axis);
  }
  return axes;
}

template <int kRank>
void lower_maximum(Lowering& l) {
  constexpr auto kSpatial = static_cast<size_t>(kRank);
  const SmallVector<Axis, 3> axes = axes_of<kRank>(l.call());
  const Expr x = with_batch(l["self"], kSpatial);
  // [N, C, out..., window...]: a shorter window repeats its last element, which changes no maximum.
  Shape outer{x.dim(0), x.dim(1)};
  for (const Axis& axis : axes) outer.emplace_back(axis.out);
  Shape shape = outer;
  Ints window;
  for (const Axis& axis : axes) {
    window.push_back(static_cast<int64_t>(shape.size()));
    shape.emplace_back(axis.longest());
  }
  const auto begin = [&](const Expr& o, const Axis& axis) {
    return o * static_cast<double>(axis.n) / full_like(o, static_cast<double>(axis.out));
  };
  std::vector<Expr> places{iota(x.builder(), shape, 0), iota(x.builder(), shape, 1)};
  for (size_t i = 0; i < kSpatial; ++i) {
    const Axis& axis = axes[i];
    const Expr o = iota(x.builder(), shape, static_cast<int>(i) + 2);
    const Expr k = iota(x.builder(), shape, static_cast<int>(i + kSpatial) + 2);
    const Expr end = ((o + 1.0) * static_cast<double>(axis.n) + static_cast<double>(axis.out - 1)) /
                     full_like(o, static_cast<double>(axis.out));
    places.push_back(minimum(begin(o, axis) + k, end - 1.0));
  }
  const Expr windows = gather(stop_gradient(x), places);
  Expr rest = squeeze(index_of_extreme(windows, amax(windows, window), window), window);
  std::vector<Expr> found{iota(x.builder(), outer, 0), iota(x.builder(), outer, 1)};
  found.resize(2 + kSpatial);
  for (size_t i = kSpatial; i-- > 0;) {
    const Expr length = full_like(rest, static_cast<double>(axes[i].longest()));
    const Expr o = iota(x.builder(), outer, static_cast<int>(i) + 2);
    found[i + 2] = begin(o, axes[i]) + remainder(rest, length);
    rest = rest / length;
  }
  Expr flat = full_like(rest, 0.0);
  for (size_t i = 0; i < kSpatial; ++i) flat = flat * static_cast<double>(axes[i].n) + found[i + 2];
  l.result(without_batch(gather(x, found), l["self"], kSpatial));
  l.result(without_batch(flat, l["self"], kSpatial));
}

/// The axes of space: how long the longest window is follows from their extents.
template <int kRank>
uint64_t fixed_space(const Call& call, size_t) {
  return ~uint64_t{0} << (call.tensor("self").dim() - kRank);
}

template <int kRank>
std::vector<ErrorSample> no_channels() {
  SampleTensor x;
  x.shape = Ints(static_cast<size_t>(kRank) + 2, 2);
  x.shape[1] = 0;
  return {{{{x, Ints{2}}}, "RuntimeError", "to have non-zero size for non-batch dimensions"}};
}
template <int kRank>
Definition adaptive_max(std::string_view schema, std::string alias) {
  return {.schema = schema,
          .doc =
              "The maximum over each of output_size windows that divide the input as evenly as "
              "possible, and its place in the plane of the input.",
          .variants = {.function = false, .method = false, .aliases = {std::move(alias)}},
          .accepts = Accepts::NumbersNoBool,
          .shape =
              [](const Call& call, ResultInfos& results) {
                const SmallVector<Axis, 3> axes = axes_of<kRank>(call);
                Ints sizes = call.tensor("self").sizes;
                for (size_t i = 0; i < axes.size(); ++i)
                  sizes[sizes.size() - axes.size() + i] = axes[i].out;
                results.push_back({call.tensor("self").dtype, sizes, {}});
                results.push_back({DType::Int64, sizes, {}});
              },
          .lower = lower_maximum<kRank>,
          .fixed = fixed_space<kRank>,
          .autocast = kRank == 3 ? "float32" : "",
          .samples =
              [] {
                SampleTensor x;
                x.shape = {1, 2};
                for (int i = 0; i < kRank; ++i) x.shape.push_back(5 + i);
                SampleTensor single = x;
                single.shape.erase(0);
                return SampleList{{{x, Ints{3}}}, {{x, Ints{1}}}, {{single, Ints{2}}}};
              },
          .errors = no_channels<kRank>};
}
const Register kAdaptiveMax1d(
    adaptive_max<1>("adaptive_max_pool1d(Tensor self, int[1] output_size) -> (Tensor, Tensor)",
                    "nn.functional.adaptive_max_pool1d_with_indices"));
const Register kAdaptiveMax2d(
    adaptive_max<2>("adaptive_max_pool2d(Tensor self, int[2] output_size) -> (Tensor, Tensor)",
                    "nn.functional.adaptive_max_pool2d_with_indices"));
const Register kAdaptiveMax3d(
    adaptive_max<3>("adaptive_max_pool3d(Tensor self, int[3] output_size) -> (Tensor, Tensor)",
                    "nn.functional.adaptive_max_pool3d_with_indices"));

}  // namespace
}  // namespace flambeau::ops
