// Images of another size: each output position reads one, two or four input positions of each axis.

#include <algorithm>
#include <cmath>

#include "ops/index/index.h"
#include "ops/nn/spatial.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

enum class Mode : uint8_t { Nearest, NearestExact, Linear, Cubic, Area };

/// How one axis is resized; N is an integer or a Dim.
template <class N>
struct Axis {
  N in, out;
  double factor;  ///< input positions per output position, if the caller said so; else 0
  bool corners;   ///< those of the input lie on those of the output
};

/// How a call resizes: its mode and spatial axes.
struct Resize {
  Mode mode = Mode::Nearest;
  bool align_corners = false;
  bool antialias = false;
  SmallVector<Axis<int64_t>, 3> axes;
};

bool interpolates(Mode mode) { return mode == Mode::Linear || mode == Mode::Cubic; }

template <class T>
const T* given(const Call& call, std::string_view name) {
  for (const Parameter& p : call.definition().parsed.parameters)
    if (p.name == name) return std::get_if<T>(&call[name]);
  return nullptr;
}
bool flag(const Call& call, std::string_view name, bool otherwise) {
  const auto* value = given<Scalar>(call, name);
  return value == nullptr ? otherwise : value->to_bool();
}

Mode mode_of(const Call& call, const std::string& text, size_t spatial) {
  struct Known {
    const char* name;
    Mode mode;
    size_t spatial;  ///< 0: any
  };
  static constexpr Known kModes[] = {
      {"nearest", Mode::Nearest, 0}, {"nearest-exact", Mode::NearestExact, 0},
      {"area", Mode::Area, 0},       {"linear", Mode::Linear, 1},
      {"bilinear", Mode::Linear, 2}, {"trilinear", Mode::Linear, 3},
      {"bicubic", Mode::Cubic, 2}};
  for (const Known& known : kModes) {
    if (text != known.name) continue;
    check<NotImplementedError>(known.spatial == 0 || known.spatial == spatial, [&] {
      return concat(call.name(), ": Got ", spatial + 2, "D input, but ", text, " mode needs ",
                    known.spatial + 2, "D input");
    });
    return known.mode;
  }
  throw NotImplementedError(concat(
      call.name(),
      ": Input Error: Only 3D, 4D and 5D input Tensors supported for the modes: nearest | linear | "
      "bilinear | bicubic | trilinear | area | nearest-exact (got ",
      text, ")"));
}

/// Reads a call; `mode` and `align` are those of operations that have them by name.
Resize resize_of(const Call& call, const char* mode, bool align) {
  const TensorInfo& x = call.tensor("input");
  check<NotImplementedError>(x.dim() >= 3 && x.dim() <= 5, [&] {
    return concat(call.name(), ": Input Error: Only 3D, 4D and 5D input Tensors supported (got ",
                  x.dim(), "D)");
  });
  const size_t spatial = x.sizes.size() - 2;
  Resize r;
  r.mode = mode_of(call, mode != nullptr ? mode : call.string("mode"), spatial);
  const auto* corners = given<Scalar>(call, "align_corners");
  check<ValueError>(corners == nullptr || interpolates(r.mode), [&] {
    return concat(call.name(),
                  ": align_corners option can only be set with the interpolating "
                  "modes: linear | bilinear | bicubic | trilinear");
  });
  check(r.mode == Mode::Area || x.sizes[1] > 0, [&] {
    return concat(call.name(), ": Non-empty ", x.dim(),
                  "D data tensor expected but got a tensor with sizes ", list_text(x.sizes));
  });
  r.align_corners = corners == nullptr ? align : corners->to_bool();
  r.antialias = flag(call, "antialias", false);
  check<ValueError>(!r.antialias || (spatial == 2 && interpolates(r.mode)), [&] {
    return concat(call.name(),
                  ": Anti-alias option is restricted to bilinear and bicubic modes "
                  "and requires a 4-D tensor as input");
  });
  const auto* sizes = given<Ints>(call, "size");
  const auto* factors = given<std::vector<double>>(call, "scale_factor");
  check<ValueError>(sizes == nullptr || factors == nullptr, [&] {
    return concat(call.name(), ": only one of size or scale_factor should be defined");
  });
  check<ValueError>(sizes != nullptr || factors != nullptr, [&] {
    return concat(call.name(), ": either size or scale_factor should be defined");
  });
  const size_t count = sizes != nullptr ? sizes->size() : factors->size();
  check<ValueError>(count == spatial || count == 1, [&] {
    return concat(call.name(),
                  ": Input and output must have the same number of spatial "
                  "dimensions, but got input with spatial dimensions of ",
                  spatial, " and ", sizes != nullptr ? "output size" : "scale_factor", " of ",
                  count, " numbers");
  });
  for (size_t i = 0; i < spatial; ++i) {
    Axis<int64_t> axis{x.sizes[i + 2], 0, 0, r.align_corners};
    const size_t k = count == 1 ? 0 : i;
    if (sizes != nullptr)
      axis.out = (*sizes)[k];
    else
      axis.out = static_cast<int64_t>(std::floor(static_cast<double>(axis.in) * (*factors)[k]));
    check(axis.in > 0 && axis.out > 0, [&] {
      return concat(call.name(),
                    ": Input and output sizes should be greater than 0, but got input "
                    "of ",
                    list_text(x.sizes), " and ", axis.out, " along axis ", i + 2);
    });
    const bool by_factor = factors != nullptr && !flag(call, "recompute_scale_factor", false);
    if (by_factor && !r.align_corners) axis.factor = 1 / (*factors)[k];
    r.axes.push_back(axis);
  }
  return r;
}

/// Input positions per output position, of shape [].
Expr scale_of(Builder& builder, const Axis<Dim>& a, DType dtype) {
  const auto number = [&](const Dim& n) { return convert(extent(builder, n), dtype); };
  if (a.factor != 0) return constant(builder, dtype, a.factor);
  if (!a.corners) return number(a.in) / number(a.out);
  const Expr last = number(a.out - 1);
  return select(gt(last, 0.0), number(a.in - 1) / last, 0.0);
}
/// x at `index` (one axis, Int64) of `axis`.
Expr taken(const Expr& x, int axis, const Expr& index) {
  std::vector<Expr> places;
  for (int i = 0; i < x.rank(); ++i)
    places.push_back(as_axis(i == axis ? index : iota(x.builder(), {x.dim(i)}, 0), i, x.rank()));
  return gather(x, places);
}
/// Into [0, n - 1].
Expr clamped(const Expr& index, const Dim& n) {
  const Expr low = select(lt(index, 0.0), 0.0, index);
  const Expr last = convert(extent(index.builder(), n - 1), index.dtype());
  return select(gt(low, last), last, low);
}
/// A vector of weights along `axis` of arrays of rank `rank`.
Expr weight(const Expr& values, int axis, int rank, DType dtype) {
  return as_axis(convert(values, dtype), axis, rank);
}

/// Keys' cubic convolution (1981) with parameter a: the weight of a sample at distance x.
Expr cubic_near(const Expr& x, double a) { return ((a + 2) * x - (a + 3)) * x * x + 1.0; }
Expr cubic_far(const Expr& x, double a) { return ((x - 5.0) * x + 8.0) * x * a - 4 * a; }

/// The weights of a triangular or cubic filter as wide as the reduction, which add up to one.
Expr filter_weights(const Expr& x, const Axis<Dim>& a, Mode mode) {
  const Shape square{a.in, a.out};
  const auto real = [&](int axis) {
    return convert(iota(x.builder(), square, axis), DType::Float64);
  };
  const Expr scale = scale_of(x.builder(), a, DType::Float64);
  const Expr width = select(lt(scale, 1.0), 1.0, scale);
  const Expr support = width * (mode == Mode::Cubic ? 2.0 : 1.0);
  const Expr center = (real(1) + 0.5) * scale;
  const Expr place = real(0);
  const Expr first = floor(center - support + 0.5);
  const Expr end = floor(center + support + 0.5);
  const Expr distance = abs((place - center + 0.5) / width);
  Expr value = 1.0 - distance;
  if (mode == Mode::Cubic)
    value = select(lt(distance, 1.0), cubic_near(distance, -0.5), cubic_far(distance, -0.5));
  const Expr reach = logical_and(logical_and(ge(place, first), lt(place, end)),
                                 lt(distance, mode == Mode::Cubic ? 2.0 : 1.0));
  const Expr kept = select(reach, value, 0.0);
  return kept / sum(kept, Ints{0});
}

Expr resized(const Expr& x, int axis, const Axis<Dim>& a, const Resize& r) {
  if (r.mode == Mode::Area) return adaptive_average(x, axis, a.in, a.out);
  if (r.antialias) return weighted(x, axis, filter_weights(x, a, r.mode));
  // Positions are computed as PyTorch does: in float32, unless the values are float64.
  const DType dtype = x.dtype() == DType::Float64 ? DType::Float64 : DType::Float32;
  const Expr out = convert(iota(x.builder(), {a.out}, 0), dtype);
  const Expr scale = scale_of(x.builder(), a, dtype);
  const auto index_of = [&](const Expr& real) { return convert(floor(real), DType::Int64); };
  if (r.mode == Mode::Nearest || r.mode == Mode::NearestExact) {
    const Expr at = r.mode == Mode::Nearest ? out : out + 0.5;
    return taken(x, axis, clamped(index_of(at * scale), a.in));
  }
  Expr real = r.align_corners ? out * scale : (out + 0.5) * scale - 0.5;
  const int rank = x.rank();
  if (r.mode == Mode::Linear) {
    if (!r.align_corners) real = select(lt(real, 0.0), 0.0, real);
    const Expr low = clamped(index_of(real), a.in);
    const Expr high = clamped(low + 1.0, a.in);
    const Expr part = real - convert(low, dtype);
    const Expr share = select(gt(part, 1.0), 1.0, part);
    return taken(x, axis, low) * weight(1.0 - share, axis, rank, x.dtype()) +
           taken(x, axis, high) * weight(share, axis, rank, x.dtype());
  }
  constexpr double kA = -0.75;
  const Expr base = floor(real);
  const Expr t = real - base;
  const Expr weights[] = {cubic_far(t + 1.0, kA), cubic_near(t, kA), cubic_near(1.0 - t, kA),
                          cubic_far(2.0 - t, kA)};
  Expr total;
  for (int k = 0; k < 4; ++k) {
    const Expr index = clamped(index_of(base) + static_cast<double>(k - 1), a.in);
    const Expr term = taken(x, axis, index) * weight(weights[k], axis, rank, x.dtype());
    total = total.valid() ? total + term : term;
  }
  return total;
}

/// Pictures of bytes are rounded after each axis, as image libraries do.
Expr resized_bytes(const Expr& x, int axis, const Axis<Dim>& a, const Resize& r) {
  const Expr real = floor(resized(convert(x, DType::Float32), axis, a, r) + 0.5);
  return convert(clamped(real, 256), DType::UInt8);
}

/// The operations that have their mode by name.
enum class Named : uint8_t { No, Nearest, Bilinear };
template <Named kNamed>
Resize read(const Call& call) {
  if (kNamed == Named::No) return resize_of(call, nullptr, false);
  return kNamed == Named::Nearest ? resize_of(call, "nearest", false)
                                  : resize_of(call, "bilinear", true);
}
template <Named kNamed>
Definition resize(std::string_view schema, std::string_view doc, std::vector<std::string> aliases,
                  std::function<SampleList()> samples) {
  return {
      .schema = schema,
      .doc = doc,
      .variants = {.function = false, .method = false, .aliases = std::move(aliases)},
      .shape =
          [](const Call& call, ResultInfos& results) {
            const Resize r = read<kNamed>(call);
            const TensorInfo& x = call.tensor("input");
            const bool picks = r.mode == Mode::Nearest || r.mode == Mode::NearestExact;
            const bool rounds = x.dtype == DType::UInt8 && interpolates(r.mode);
            check(picks || rounds || is_float(x.dtype), [&] {
              return concat('"', call.name(), "\" not implemented for '", info(x.dtype).name, "'");
            });
            TensorInfo result{x.dtype, x.sizes, {}};
            for (size_t i = 0; i < r.axes.size(); ++i) result.sizes[i + 2] = r.axes[i].out;
            results.push_back(result);
          },
      .lower =
          [](Lowering& l) {
            const Resize r = read<kNamed>(l.call());
            Expr x = l["input"];
            for (size_t i = r.axes.size(); i-- > 0;) {
              const int axis = static_cast<int>(i) + 2;
              const Axis<Dim> a{x.dim(axis), l.result_shape(0)[i + 2], r.axes[i].factor,
                                r.axes[i].corners};
              x = x.dtype() == DType::UInt8 && interpolates(r.mode) ? resized_bytes(x, axis, a, r)
                                                                    : resized(x, axis, a, r);
            }
            l.result(x);
          },
      .dynamic = {"size"},
      .result_sizes = true,  // scale_factor may give any
      .samples = std::move(samples)};
}
const Register kInterpolate([] {
  Definition d = resize<Named::No>(
      "interpolate(Tensor input, int[1]? size=None, float[1]? scale_factor=None, str "
      "mode=\"nearest\", bool? align_corners=None, bool? recompute_scale_factor=None, bool "
      "antialias=False) -> Tensor",
      "input [N, C, ...] resized to `size` (or by scale_factor) along its spatial axes: nearest, "
      "nearest-exact, linear, bilinear, trilinear, bicubic or area.",
      {"nn.functional.interpolate", "nn.functional.upsample"}, [] {
        const auto sample = [](SampleTensor x, Ints size, const char* mode, int align) {
          Sample s{{std::move(x), std::move(size)}, {{"mode", std::string(mode)}}};
          if (align >= 0) s.keyword.emplace_back("align_corners", Scalar(align == 1));
          return s;
        };
        SampleList list = {sample(t({1, 2, 5}), {3}, "nearest", -1),
                           sample(t({1, 2, 3}), {7}, "nearest-exact", -1),
                           sample(t({1, 2, 5}), {8}, "linear", 0),
                           sample(t({1, 2, 4, 3}), {6, 5}, "bilinear", 0),
                           sample(t({1, 2, 4, 3}), {2, 5}, "bilinear", 1),
                           sample(t({1, 1, 3, 4}), {5, 2}, "bicubic", 0),
                           sample(t({1, 1, 3, 4}), {5, 6}, "bicubic", 1),
                           sample(t({1, 1, 2, 3, 2}), {3, 2, 4}, "trilinear", 0),
                           sample(t({1, 2, 5, 6}), {2, 4}, "area", -1)};
        list.push_back({{t({1, 2, 6, 5}), Ints{2, 3}},
                        {{"mode", std::string("bilinear")}, {"antialias", Scalar(true)}}});
        list.push_back({{t({1, 2, 6, 5}), std::monostate(), std::vector<double>{1.5}},
                        {{"mode", std::string("bilinear")}}});
        return list;
      });
  d.errors = [] {
    return std::vector<ErrorSample>{
        {{{t({1, 2, 3})}}, "ValueError", "either size or scale_factor"},
        {{{t({1, 2, 3}), Ints{4}}, {{"mode", std::string("bilinear")}}},
         "NotImplementedError",
         "bilinear mode needs 4D input"},
        {{{t({1, 2, 3}), Ints{4, 5}}}, "ValueError", "same number of spatial"}};
  };
  return d;
}());
const Register kUpsampleNearest(resize<Named::Nearest>(
    "upsample_nearest(Tensor input, int[1]? size=None, float[1]? scale_factor=None) -> Tensor",
    "input resized along its spatial axes by the nearest neighbour.",
    {"nn.functional.upsample_nearest"},
    [] { return SampleList{{{t({1, 2, 3, 4}), Ints{5, 2}}}}; }));
const Register kUpsampleBilinear(resize<Named::Bilinear>(
    "upsample_bilinear(Tensor input, int[1]? size=None, float[1]? scale_factor=None) -> Tensor",
    "input [N, C, H, W] resized bilinearly, corners on corners.",
    {"nn.functional.upsample_bilinear"},
    [] { return SampleList{{{t({1, 2, 3, 4}), Ints{5, 2}}}}; }));

}  // namespace
}  // namespace flambeau::ops
