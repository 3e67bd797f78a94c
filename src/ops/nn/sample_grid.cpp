// Images read at given places, and their patches as columns.

#include <algorithm>

#include "ops/nn/spatial.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

// ---- patches
const Register kUnfold({
    .schema = "_im2col(Tensor input, int[2] kernel_size, int[2] dilation=1, int[2] padding=0, "
              "int[2] stride=1) -> Tensor",
    .doc = "Each window of an image [N, C, H, W] as a column of C * kernel elements: [N, C * kH * "
           "kW, windows].",
    .variants = {.function = false, .method = false, .aliases = {"nn.functional.unfold"}},
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& x = call.tensor("input");
          check(is_float(x.dtype) || is_complex(x.dtype) || is_bool(x.dtype), [&] {
            return concat('"', call.name(), "\" not implemented for '", info(x.dtype).name, "'");
          });
          const Ints sizes = batched_sizes(call, x.sizes, 2);
          check(std::find(sizes.begin() + 1, sizes.end(), 0) == sizes.end(), [&] {
            return concat(call.name(),
                          ": Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and "
                          "other non-zero dimensions for input, but got: ",
                          list_text(x.sizes));
          });
          Windows w{call.integers("kernel_size"), call.integers("stride"),
                    call.integers("dilation"), call.integers("padding"), call.integers("padding")};
          int64_t columns = 1;
          for (size_t i = 0; i < 2; ++i) {
            check(w.size[i] > 0 && w.stride[i] > 0 && w.dilation[i] > 0 && w.low[i] >= 0, [&] {
              return concat(call.name(),
                            ": kernel size, stride and dilation should be greater "
                            "than zero and padding non-negative, but got ",
                            list_text(w.size), ", ", list_text(w.stride), ", ",
                            list_text(w.dilation), " and ", list_text(w.low));
            });
            const int64_t count = w.count(i, sizes[i + 2]);
            check(count > 0, [&] {
              return concat(call.name(), ": Given an input of spatial size ",
                            list_text(Ints(sizes.begin() + 2, sizes.end())),
                            " and kernel_size=", list_text(w.size),
                            ", there is no window: its components must be at "
                            "least one");
            });
            columns *= count;
          }
          const int64_t rows = sizes[1] * w.size[0] * w.size[1];
          results.push_back(
              {x.dtype, x.dim() == 3 ? Ints{rows, columns} : Ints{sizes[0], rows, columns}, {}});
        },
    .lower =
        [](Lowering& l) {
          const Call& call = l.call();
          const Expr x = with_batch(l["input"], 2);
          const Windows w{call.integers("kernel_size"), call.integers("stride"),
                          call.integers("dilation"), call.integers("padding"),
                          call.integers("padding")};
          const Ints order{0, 1, 4, 5, 2, 3};
          const Shape counts = counts_of(w, x);
          const Expr patches = permute(windows_of(with_margins(x, w, 0.0), counts, w), order);
          Shape shape{x.dim(1) * (w.size[0] * w.size[1]), counts[0] * counts[1]};
          if (call.tensor("input").dim() == 4) shape.insert(0, x.dim(0));
          l.result(reshape(patches, shape));
        },
    .fixed = all_but_space<2>,
    .samples =
        [] {
          return SampleList{{{t({2, 2, 4, 5}), Ints{2, 3}}},
                            {{t({1, 4, 4}), Ints{2, 2}, Ints{2, 1}, Ints{1, 0}, Ints{1, 2}}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({1, 1, 0, 4}), Ints{2, 2}, Ints{1, 1}, Ints{1, 1}}},
               "RuntimeError",
               "with possibly 0 batch size and other non-zero dimensions"}};
        },
});

// ---- places
enum class Padding : uint8_t { Zeros, Border, Reflection };

struct Sampling {
  std::string mode;
  Padding padding;
  bool align_corners;
};
Sampling sampling_of(const Call& call) {
  const auto& parameters = call.definition().parsed.parameters;
  Sampling s{"", Padding::Zeros, false};
  s.align_corners = !call.is_none("align_corners") && call.boolean("align_corners");
  if (parameters[2].type == ArgumentType::Int) {
    const int64_t mode = call.integer("interpolation_mode");
    const int64_t padding = call.integer("padding_mode");
    check(mode >= 0 && mode <= 2 && padding >= 0 && padding <= 2, [&] {
      return concat(call.name(), ": there is no mode ", mode, " or no padding ", padding,
                    "; both are 0, 1 or 2");
    });
    s.mode = mode == 0 ? "bilinear" : mode == 1 ? "nearest" : "bicubic";
    s.padding = static_cast<Padding>(padding);
    return s;
  }
  s.mode = call.string("mode");
  const int rank = call.tensor("input").dim() - 2;
  check<ValueError>(s.mode == "bilinear" || s.mode == "nearest" || s.mode == "bicubic", [&] {
    return concat(call.name(),
                  ": expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: "
                  "'",
                  s.mode, "'");
  });
  check(s.mode != "bicubic" || rank == 2,
        [&] { return concat(call.name(), ": bicubic interpolation only supports 4D input"); });
  const std::string& padding = call.string("padding_mode");
  if (padding == "border")
    s.padding = Padding::Border;
  else if (padding == "reflection")
    s.padding = Padding::Reflection;
  else
    check<ValueError>(padding == "zeros", [&] {
      return concat(call.name(),
                    ": expected padding_mode to be 'zeros', 'border', or "
                    "'reflection', but got: '",
                    padding, "'");
    });
  return s;
}

/// NaN is low, as PyTorch's documentation has it; both bounds have slope 0.
Expr bounded(const Expr& x, double low, const Expr& high) {
  return select(gt(x, low), select(lt(x, high), x, high), low);
}
/// x reflected at low and `span` (over 0) behind it until it lies between.
Expr reflected(const Expr& x, double low, const Expr& span) {
  const Expr away = abs(x - low);
  const Expr turns = stop_gradient(floor(away / span));
  const Expr extra = away - turns * span;
  const Expr even = eq(turns - floor(turns / 2.0) * 2.0, 0.0);
  return select(even, extra + low, span - extra + low);
}

/// Reads images [N, C, spatial...] at integer places along each spatial axis, arrays of [N,
/// out...].
class Reader {
 public:
  Reader(const Expr& image, const Sampling& sampling) : image_(image), sampling_(sampling) {}

  Dim pixels(size_t axis) const { return image_.dim(static_cast<int>(axis) + 2); }
  /// A number of pixels as coordinates are.
  Expr number(const Dim& n) const { return convert(extent(image_.builder(), n), image_.dtype()); }

  /// Grid coordinates of [-1, 1] as pixels.
  Expr unnormalized(const Expr& x, size_t axis) const {
    const Dim n = pixels(axis);
    return sampling_.align_corners ? (x + 1.0) / 2.0 * number(n - 1)
                                   : ((x + 1.0) * number(n) - 1.0) / 2.0;
  }
  /// The pixel coordinate that the padding makes of one outside.
  Expr padded(const Expr& x, size_t axis) const {
    const Dim n = pixels(axis);
    Expr place = x;
    if (sampling_.padding == Padding::Zeros) return place;
    if (sampling_.padding == Padding::Reflection)
      place = !sampling_.align_corners ? reflected(place, -0.5, number(n))
              : n.is_one()             ? full_like(place, 0.0)
                                       : reflected(place, 0, number(n - 1));
    return bounded(place, 0, number(n - 1));
  }
  /// [N, C, out...]: the pixels at whole coordinates, 0 outside.
  Expr at(std::span<const Expr> places) const {
    Shape shape{image_.dim(0), image_.dim(1)};
    for (int i = 1; i < places[0].rank(); ++i) shape.push_back(places[0].dim(i));
    std::vector<Expr> index{iota(image_.builder(), shape, 0), iota(image_.builder(), shape, 1)};
    Expr inside;
    for (size_t axis = 0; axis < places.size(); ++axis) {
      const Expr& place = places[axis];
      const Expr here = logical_and(ge(place, 0.0), lt(place, number(pixels(axis))));
      inside = inside.valid() ? logical_and(inside, here) : here;
      index.push_back(
          wide(convert(replace_where(logical_not(here), place, 0.0), DType::Int64), shape));
    }
    return select(wide(inside, shape), gather(image_, index), 0.0);
  }
  /// [N, out...] for every channel.
  static Expr wide(const Expr& x, const Shape& shape) {
    return broadcast_to(unsqueeze(x, 1), shape);
  }

 private:
  const Expr& image_;
  const Sampling& sampling_;
};

Expr channelled(const Expr& weight) { return unsqueeze(weight, 1); }

Expr linear_sample(const Reader& reader, std::span<const Expr> pixels) {
  const size_t rank = pixels.size();
  std::vector<Expr> low;
  std::vector<Expr> share;
  for (const Expr& pixel : pixels) {
    low.push_back(stop_gradient(floor(pixel)));
    share.push_back(pixel - low.back());
  }
  Expr total;
  for (size_t corner = 0; corner < (size_t{1} << rank); ++corner) {
    std::vector<Expr> places;
    Expr weight;
    for (size_t axis = 0; axis < rank; ++axis) {
      const bool upper = (corner >> (rank - 1 - axis) & 1) != 0;
      places.push_back(upper ? low[axis] + 1.0 : low[axis]);
      const Expr own = upper ? share[axis] : 1.0 - share[axis];
      weight = weight.valid() ? weight * own : own;
    }
    const Expr term = reader.at(places) * channelled(weight);
    total = total.valid() ? total + term : term;
  }
  return total;
}

Expr cubic_sample(const Reader& reader, std::span<const Expr> pixels) {
  constexpr double kA = -0.75;
  const auto near = [](const Expr& x) { return ((kA + 2) * x - (kA + 3)) * x * x + 1.0; };
  const auto far = [](const Expr& x) { return ((x - 5.0) * x + 8.0) * x * kA - 4 * kA; };
  std::vector<Expr> low;
  std::vector<std::vector<Expr>> weights;
  for (const Expr& pixel : pixels) {
    low.push_back(stop_gradient(floor(pixel)));
    const Expr x = pixel - low.back();
    weights.push_back({far(x + 1.0), near(x), near(1.0 - x), far(2.0 - x)});
  }
  Expr total;
  for (size_t i = 0; i < 4; ++i) {
    Expr row;
    for (size_t k = 0; k < 4; ++k) {
      const Expr places[] = {reader.padded(low[0] + static_cast<double>(i) - 1.0, 0),
                             reader.padded(low[1] + static_cast<double>(k) - 1.0, 1)};
      const Expr term = reader.at(places) * channelled(weights[1][k]);
      row = row.valid() ? row + term : term;
    }
    const Expr term = row * channelled(weights[0][i]);
    total = total.valid() ? total + term : term;
  }
  return total;
}

void grid_shape(const Call& call, ResultInfos& results) {
  sampling_of(call);
  const TensorInfo& x = call.tensor("input");
  const TensorInfo& grid = call.tensor("grid");
  check((x.dim() == 4 || x.dim() == 5) && grid.dim() == x.dim(), [&] {
    return concat(call.name(),
                  ": expected 4D or 5D input and grid with same number of "
                  "dimensions, but got input with sizes ",
                  list_text(x.sizes), " and grid with sizes ", list_text(grid.sizes));
  });
  check(x.sizes[0] == grid.sizes[0] && grid.sizes.back() == x.dim() - 2 && x.dtype == grid.dtype,
        [&] {
          return concat(call.name(), ": expected grid of ", info(x.dtype).name, " with batch size ",
                        x.sizes[0], " and size ", x.dim() - 2, " in last dimension, but got ",
                        info(grid.dtype).name, " with sizes ", list_text(grid.sizes));
        });
  for (size_t i = 2; i < x.sizes.size(); ++i)
    check(x.sizes[i] > 0, [&] {
      return concat(call.name(),
                    ": expected input to have non-empty spatial dimensions, "
                    "but input has sizes ",
                    list_text(x.sizes));
    });
  Ints sizes{x.sizes[0], x.sizes[1]};
  sizes.append(grid.sizes.begin() + 1, grid.sizes.end() - 1);
  results.push_back({x.dtype, sizes, {}});
}
void lower_grid(Lowering& l) {
  const Sampling sampling = sampling_of(l.call());
  const Expr x = l["input"];
  const Expr grid = l["grid"];
  const Reader reader(x, sampling);
  const int last = grid.rank() - 1;
  const auto rank = static_cast<size_t>(x.rank() - 2);
  std::vector<Expr> pixels;
  for (size_t axis = 0; axis < rank; ++axis) {
    // The grid names the last axis first.
    const Expr part = slice(grid, last, Dim(static_cast<int64_t>(rank - 1 - axis)), Dim(1));
    const Expr pixel = reader.unnormalized(squeeze(part, Ints{last}), axis);
    pixels.push_back(sampling.mode == "bicubic" ? pixel : reader.padded(pixel, axis));
  }
  if (sampling.mode == "bicubic") return l.result(cubic_sample(reader, pixels));
  if (sampling.mode == "bilinear") return l.result(linear_sample(reader, pixels));
  for (Expr& pixel : pixels) pixel = round(pixel);
  l.result(reader.at(pixels));
}
const Register kGridSample({
    .schema = "_grid_sample(Tensor input, Tensor grid, str mode=\"bilinear\", str "
              "padding_mode=\"zeros\", bool? align_corners=None) -> Tensor",
    .doc = "Images [N, C, (D,) H, W] read at the places (x, y(, z)) in [-1, 1] of grid [N, out..., "
           "2 or 3]. Jaderberg et al., 2015.",
    .variants = {.function = false, .method = false, .aliases = {"nn.functional.grid_sample"}},
    .accepts = Accepts::Floats,
    .shape = grid_shape,
    .lower = lower_grid,
    .autocast = "float32",
    .samples =
        [] {
          SampleList list;
          for (const char* mode : {"bilinear", "nearest", "bicubic"})
            for (const char* padding : {"zeros", "border", "reflection"})
              list.push_back({{t({1, 2, 4, 3}), t({1, 2, 2, 2}, -0.9, 0.9), std::string(mode),
                               std::string(padding)},
                              {{"align_corners", Scalar(padding[0] == 'b')}}});
          list.push_back({{t({1, 1, 2, 3, 2}), t({1, 2, 1, 2, 3}, -0.8, 0.8)}});
          return list;
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({1, 2, 4, 3}), t({1, 2, 2, 3})}}, "RuntimeError", "size 2 in last dimension"}};
        },
});

const Register kGridSampler2d({
    .schema =
        "grid_sampler_2d(Tensor input, Tensor grid, int interpolation_mode, int padding_mode, "
        "bool align_corners) -> Tensor",
    .doc =
        "nn.functional.grid_sample with its modes as numbers: bilinear, nearest, bicubic; zeros, "
        "border, reflection.",
    .variants = {.method = false, .aliases = {"grid_sampler", "grid_sampler_3d"}},
    .accepts = Accepts::Floats,
    .shape = grid_shape,
    .lower = lower_grid,
    .autocast = "float32",
    .samples =
        [] {
          return SampleList{
              {{t({1, 2, 4, 3}), t({1, 2, 2, 2}, -0.9, 0.9), Scalar(0), Scalar(1), Scalar(true)}}};
        },
});

}  // namespace
}  // namespace flambeau::ops
